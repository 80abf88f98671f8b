//go:build memo

package memo

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// Off lets everything be computed again, for tests.
var Off bool

// most bounds a table. A run of the simulator has fewer of everything.
const most = 1 << 13

// table is what one function gave.
type table[K comparable, V any] struct{ known map[K]V }

func (t *table[K, V]) keep(key K, v V) V {
	if t.known == nil || len(t.known) == most {
		t.known = make(map[K]V)
	}
	t.known[key] = v
	return v
}

// Func returns f, which is called once for each argument.
func Func[K comparable, V any](f func(K) V) func(K) V {
	t := new(table[K, V])
	return func(key K) V {
		if v, ok := t.known[key]; ok && !Off {
			return v
		}
		return t.keep(key, f(key))
	}
}

// Try returns f, which is called once for each argument.
func Try[K comparable, V any](f func(K) (V, error)) func(K) (V, error) {
	type result struct {
		v   V
		err error
	}
	of := Func(func(key K) (r result) { r.v, r.err = f(key); return r })
	return func(key K) (V, error) { r := of(key); return r.v, r.err }
}

var (
	verified table[string, bool]
	derived  table[string, []byte]
	input    []byte
)

// Verify is [ed25519.Verify], which is called once for each input. All keys have one length, and
// all signatures.
func Verify(public ed25519.PublicKey, message, signature []byte) bool {
	if Off || len(public) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize {
		return ed25519.Verify(public, message, signature)
	}
	input = append(append(append(input[:0], public...), signature...), message...)
	if ok, known := verified.known[string(input)]; known {
		return ok
	}
	return verified.keep(string(input), ed25519.Verify(public, message, signature))
}

// HKDF is [hkdf.Key] with SHA-256, which is called once for each input.
func HKDF(secret, salt []byte, info string, size int) ([]byte, error) {
	if Off {
		return hkdf.Key(sha256.New, secret, salt, info, size)
	}
	input = binary.BigEndian.AppendUint16(input[:0], uint16(size))
	input = append(binary.BigEndian.AppendUint32(input, uint32(len(secret))), secret...)
	input = append(binary.BigEndian.AppendUint32(input, uint32(len(salt))), salt...)
	input = append(input, info...)
	if key, known := derived.known[string(input)]; known {
		return bytes.Clone(key), nil // whoever has it wipes it
	}
	key, err := hkdf.Key(sha256.New, secret, salt, info, size)
	if err == nil {
		derived.keep(string(input), bytes.Clone(key))
	}
	return key, err
}
