package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// A KeySource has an issuer's public keys: [Static], [File] or [URL]. It is
// safe for concurrent use.
type KeySource interface {
	// Err tells what is wrong with the source now, nil if nothing: whether it
	// could be read last time, and whether it has keys at all. Tokens go on
	// being checked with the last good keys.
	Err() error
	find(kid, algorithm string) (key, bool)
}

const (
	// maxKeySet is how many bytes a key set may have; 32 RSA keys with
	// certificates stay below.
	maxKeySet = 64 << 10
	// maxKeys bounds the search for a key.
	maxKeys = 32
)

// key is one public key and the algorithms it is good for.
type key struct {
	id         string
	public     any
	algorithms []string
}

// keySet is immutable.
type keySet []key

// find gives the key with the id; with no id, the only key that fits: trying
// one after the other would let one issuer's key stand for another and do
// work for a forger.
func (s keySet) find(kid, algorithm string) (found key, ok bool) {
	for _, k := range s {
		if !slices.Contains(k.algorithms, algorithm) || kid != "" && k.id != kid {
			continue
		}
		if ok {
			return key{}, false
		}
		found, ok = k, true
	}
	return found, ok
}

// parseKeySet reads a JWK Set (RFC 7517 §5). Keys of other kinds and for other
// uses are passed over, as issuers publish them beside; but a secret in it,
// whose issuer is no longer one, and a set without any key of use are errors.
func parseKeySet(text []byte) (keySet, error) {
	if len(text) > maxKeySet {
		return nil, fmt.Errorf("token: a key set of over %d bytes", maxKeySet)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, errors.New("token: not a JWK set")
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("token: a key set of over %d keys", maxKeys)
	}
	var set keySet
	for _, r := range raw.Keys {
		k, err := parseKey(r)
		if err != nil {
			return nil, err
		}
		if len(k.algorithms) > 0 {
			set = append(set, k)
		}
	}
	return set, set.check()
}

func (s keySet) check() error {
	if len(s) == 0 {
		return errors.New("token: a key set without a public key for EdDSA, ES256, RS256 or PS256")
	}
	seen := make(map[string]bool)
	for _, k := range s {
		if k.id != "" && seen[k.id] {
			return errors.New("token: a key set with two keys of one kid")
		}
		seen[k.id] = true
	}
	return nil
}

// parseKey reads one JWK; a key of no use has no algorithms.
func parseKey(raw json.RawMessage) (key, error) {
	var secret struct {
		Symmetric json.RawMessage `json:"k"`
		Private   json.RawMessage `json:"d"`
	}
	if json.Unmarshal(raw, &secret) == nil && (secret.Symmetric != nil || secret.Private != nil) {
		return key{}, errors.New("token: a secret key in a set of public keys")
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil || !k.Valid() || k.Use != "" && k.Use != "sig" {
		return key{}, nil
	}
	fits := suits(k.Key)
	if k.Algorithm != "" {
		fits = slices.DeleteFunc(fits, func(a string) bool { return a != k.Algorithm })
	}
	return key{id: k.KeyID, public: k.Key, algorithms: fits}, nil
}

// suits lists the algorithms for a kind of key. Larger RSA keys cost the
// verifier too much, smaller ones are too weak.
func suits(public any) []string {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return []string{EdDSA}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return []string{ES256}
		}
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= 2048 && n <= 4096 {
			return []string{RS256, PS256}
		}
	}
	return nil
}

// static is a set that never changes.
type static keySet

// Static gives the keys of a JWK Set (RFC 7517 §5) of at most 64 KiB.
func Static(jwks []byte) (KeySource, error) {
	set, err := parseKeySet(jwks)
	if err != nil {
		return nil, err
	}
	return static(set), nil
}

func (s static) Err() error                             { return nil }
func (s static) find(kid, algorithm string) (key, bool) { return keySet(s).find(kid, algorithm) }

// current is a set that is exchanged as a whole, and what went wrong last.
type current struct {
	set atomic.Pointer[keySet]
	err atomic.Pointer[error]
}

func (c *current) replace(set keySet) {
	c.set.Store(&set)
	c.err.Store(nil)
}

func (c *current) fail(err error) { c.err.Store(&err) }

func (c *current) find(kid, algorithm string) (key, bool) {
	set := c.set.Load()
	if set == nil {
		return key{}, false
	}
	return set.find(kid, algorithm)
}

func (c *current) Err() error {
	if err := c.err.Load(); err != nil {
		return *err
	}
	return nil
}
