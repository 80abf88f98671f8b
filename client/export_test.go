package client

import (
	"crypto/ed25519"
	"time"

	"keepsake.example/cloud/retry"
)

// TestingStep has f called between the steps of a change; an error is a crash.
func (c *Client) TestingStep(f func(name string) error) { c.s.step = f }

// For comparison with package token.
var (
	LoginMessage   = loginMessage
	RefreshMessage = refreshMessage
)

// Thumbprint is the one that tokens are compared with.
func Thumbprint(k ed25519.PublicKey) [32]byte { return thumbprint([32]byte(k)) }

// RecodeSecrets decodes and encodes again.
func RecodeSecrets(data []byte) ([]byte, error) {
	s, err := decodeSecrets(data)
	if err != nil {
		return nil, err
	}
	return encodeSecrets(s)
}

// SampleSecrets are secrets with every field set.
func SampleSecrets(verifier []byte) []byte {
	s := newSecrets()
	s.refresh, s.verifier, s.next = "refresh-token", verifier, verifier
	b, err := encodeSecrets(s)
	if err != nil {
		panic(err)
	}
	return b
}

// PrintedSecrets is a value that must not show what it holds.
func PrintedSecrets() any { return *newSecrets() }

// TestingWriteVaultState writes vault.json.
func (c *Client) TestingWriteVaultState(s *VaultState) error { return c.writeVaultState(s) }

// TestingTimes sets after what time Waiting is told, and how long each of several servers is waited for
// at first.
func (c *Client) TestingTimes(notice, haste time.Duration) { c.s.notice, c.s.haste = notice, haste }

// Outage is what tells of waits for a cloud, and of their end.
func Outage(tell func(string)) (waiting func(retry.Wait), over func()) {
	o := &outage{tell: tell}
	return o.waiting, o.over
}

// TestingAgain is how long requests to a cloud are tried again, and those before its first answer.
func (c *Client) TestingAgain() (patience, connect time.Duration) {
	o := c.again(&outage{})
	return o.Patience, o.Connect
}
