//go:build !memo

package memo

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
)

// Func returns f.
func Func[K comparable, V any](f func(K) V) func(K) V { return f }

// Try returns f.
func Try[K comparable, V any](f func(K) (V, error)) func(K) (V, error) { return f }

// Verify is [ed25519.Verify].
func Verify(public ed25519.PublicKey, message, signature []byte) bool {
	return ed25519.Verify(public, message, signature)
}

// HKDF is [hkdf.Key] with SHA-256.
func HKDF(secret, salt []byte, info string, size int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, size)
}
