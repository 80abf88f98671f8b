package memo_test

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"keepsake.example/internal/memo"
)

var errOdd = errors.New("odd")

// Func and Try give what the function gives, whether it is called or not.
func TestResults(t *testing.T) {
	double := memo.Func(func(n int) int { return 2 * n })
	half := memo.Try(func(n int) (int, error) {
		if n%2 != 0 {
			return 0, errOdd
		}
		return n / 2, nil
	})
	for range 3 {
		for n := range 20 {
			if got := double(n); got != 2*n {
				t.Errorf("double(%d) = %d", n, got)
			}
			if got, err := half(n); n%2 == 0 && (got != n/2 || err != nil) || n%2 != 0 && !errors.Is(err, errOdd) {
				t.Errorf("half(%d) = %d, %v", n, got, err)
			}
		}
	}
}

// Verify takes what package ed25519 takes, also the second time, and whatever was taken before.
func TestVerify(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, message := key.Public().(ed25519.PublicKey), []byte("a message")
	signature := ed25519.Sign(key, message)
	for range 2 {
		if !memo.Verify(public, message, signature) {
			t.Error("a signature does not hold")
		}
		for name, b := range map[string][]byte{"key": public, "message": message, "signature": signature} {
			for i := range b {
				b[i] ^= 1
				if memo.Verify(public, message, signature) {
					t.Errorf("%s, byte %d changed: it holds", name, i)
				}
				b[i] ^= 1
			}
		}
		if memo.Verify(public, append(message, 0), signature) || memo.Verify(public, message[1:], append(signature, message[0])) {
			t.Error("other lengths: it holds")
		}
	}
}
