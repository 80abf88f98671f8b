package issuer

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"keepsake.example/token"
)

// ErrReused tells that a refresh token was used that had been used before. Its
// line has ended: the device, and whoever else has its tokens and its key,
// must log in again. To the client it is ErrRefused, which it wraps.
var ErrReused = fmt.Errorf("%w: a refresh token was used twice", ErrRefused)

// refreshSize is line (16), generation (4) and MAC (32).
const refreshSize = 16 + 4 + sha256.Size

// refreshToken is computed, so that the same request can be answered again.
func (i *Issuer) refreshToken(id [16]byte, generation uint32) string {
	b := binary.BigEndian.AppendUint32(id[:], generation)
	return base64.RawURLEncoding.EncodeToString(append(b, mac(i.refreshKey, b)...))
}

func (i *Issuer) parseRefresh(raw string) (id [16]byte, generation uint32, ok bool) {
	if len(raw) != base64.RawURLEncoding.EncodedLen(refreshSize) {
		return id, 0, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(raw)
	if err != nil || len(b) != refreshSize || !hmac.Equal(b[20:], mac(i.refreshKey, b[:20])) {
		return id, 0, false
	}
	return [16]byte(b[:16]), binary.BigEndian.Uint32(b[16:20]), true
}

// Refresh exchanges a refresh token, with the device's proof
// ([token.RefreshMessage]), for new tokens.
func (i *Issuer) Refresh(ctx context.Context, from netip.Addr, refresh string, proof []byte) (*Tokens, error) {
	now := i.c.Now()
	if err := allow(i.tries, addressKey(from), now); err != nil {
		return nil, err
	}
	id, generation, ok := i.parseRefresh(refresh)
	if !ok {
		return nil, ErrRefused
	}
	var next *line
	var verdict error
	err := i.store.transact(ctx, func(tx *sql.Tx) error {
		l, err := lineOf(tx, id, now)
		if err != nil {
			return err
		}
		// The proof first: an old token without the key of the device ends nothing.
		if l == nil || !ed25519.Verify(l.device, token.RefreshMessage(i.c.Name, refresh), proof) {
			verdict = ErrRefused
			return nil
		}
		next = l
		verdict, err = i.advance(tx, l, generation, now)
		return err
	})
	if err := errors.Join(verdict, err); err != nil {
		return nil, fmt.Errorf("refreshing: %w", err)
	}
	return i.tokens(next, now)
}

// advance moves a line on from the token of the given generation.
func (i *Issuer) advance(tx *sql.Tx, l *line, generation uint32, now time.Time) (verdict, err error) {
	switch {
	case generation == l.generation:
		l.generation++
		l.used = now
		return nil, moveLine(tx, l, now.Add(i.c.Limits.RefreshIdle))
	case generation+1 == l.generation && now.Sub(l.used) <= i.c.Limits.Repeat:
		return nil, nil // the answer was lost, and its token not yet used
	case generation < l.generation:
		return ErrReused, endLine(tx, l.id)
	}
	return ErrRefused, nil // of the future: the store is an older copy
}
