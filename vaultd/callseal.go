package vaultd

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// What members ask each other is sealed under the root group's secret, inside the
// links: whoever has a member's key file, but not what is under its anchor, can
// connect, and can neither ask for an account's evaluation nor read one.
// spec/replication.md §16.
const (
	callLabel = "keepsake call\x01"
	saltSize  = 32
)

var errSeal = errors.New("vaultd: a question or an answer that was not sealed by a member of this fleet")

// call is the sealing of one question and its answer.
type call struct {
	request, answer cipher.AEAD
}

// newCall derives the keys of a call: of its own, since the salt is, so that the
// nonce can be zeros.
func newCall(secret, salt []byte, from, to uint64) (*call, error) {
	var c call
	for direction, aead := range map[byte]*cipher.AEAD{1: &c.request, 2: &c.answer} {
		info := binary.BigEndian.AppendUint64(append([]byte(callLabel), direction), from)
		info = binary.BigEndian.AppendUint64(info, to)
		key, err := hkdf.Key(sha256.New, secret, salt, string(info), 32)
		if err != nil {
			return nil, fmt.Errorf("deriving the key of a call: %w", err)
		}
		block, err := aes.NewCipher(key)
		clear(key)
		if err != nil {
			return nil, err
		}
		if *aead, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// onceOnly is the nonce of keys that seal once.
var onceOnly [12]byte

// sealRequest seals a question: its kind, the salt, the rest.
func (s *Server) sealRequest(ctx context.Context, to uint64, kind byte, rest []byte) (c *call, b []byte, err error) {
	lost := s.root().replica.SecretFor(ctx, to, func(secret []byte) { c, b, err = sealRequest(secret, s.self, to, kind, rest) })
	return c, b, errors.Join(lost, err)
}

func sealRequest(secret []byte, self, to uint64, kind byte, rest []byte) (*call, []byte, error) {
	b := make([]byte, 1+saltSize, 1+saltSize+len(rest)+16)
	b[0] = kind
	rand.Read(b[1:])
	c, err := newCall(secret, b[1:], self, to)
	if err != nil {
		return nil, nil, err
	}
	return c, c.request.Seal(b, onceOnly[:], rest, b[:1]), nil
}

// openRequest opens a question of another member.
func (s *Server) openRequest(ctx context.Context, from uint64, b []byte) (c *call, kind byte, rest []byte, err error) {
	err = errSeal
	lost := s.root().replica.SecretsOf(ctx, from, func(secret []byte) (right bool) {
		c, kind, rest, err = openRequest(secret, from, s.self, b)
		return err == nil
	})
	return c, kind, rest, errors.Join(lost, err)
}

func openRequest(secret []byte, from, self uint64, b []byte) (c *call, kind byte, rest []byte, err error) {
	if len(b) < 1+saltSize {
		return nil, 0, nil, errSeal
	}
	if c, err = newCall(secret, b[1:1+saltSize], from, self); err != nil {
		return nil, 0, nil, err
	}
	if rest, err = c.request.Open(nil, onceOnly[:], b[1+saltSize:], b[:1]); err != nil {
		return nil, 0, nil, errSeal
	}
	return c, b[0], rest, nil
}

func (c *call) sealAnswer(b []byte) []byte { return c.answer.Seal(nil, onceOnly[:], b, nil) }

func (c *call) openAnswer(b []byte) ([]byte, error) {
	opened, err := c.answer.Open(nil, onceOnly[:], b, nil)
	if err != nil {
		return nil, errSeal
	}
	return opened, nil
}
