//go:build memo

package memo

import "crypto/ed25519"

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
