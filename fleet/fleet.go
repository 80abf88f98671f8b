// Package fleet is what a client knows of a vault: the fleet id that it pins, and
// the bundle, signed by the fleet's identity key, of the channel keys that it
// seals to and of the policy that limits guesses. spec/vault-protocol.md §7 is
// the exact format. In bytes:
//
//	16  "keepsake bundle", version 1 or 2
//	 8  serial                            8  issued
//	32  identity public key               1  number of channel keys
//	 n × 1232  not before 8 | not after 8 | public key 1216
//	 1  largest attempt limit m           1  number of waits, m − 1
//	 (m−1) × 8  waits
//	 8  cool-down                         8  grace                  1  flags
//	33  fleet key, in version 2 and no other
//	64  Ed25519 signature over a label, the version and all before
//
// The id comes with the application or from the operator, never from the relay.
// The bundle may come from anybody: [Open] refuses one that another fleet made,
// [Bundle.Follows] one that is older than what was seen before, and
// [Bundle.Current] is the key to seal to. [Example] runs a client through all
// three.
//
// Times and durations are uint64 milliseconds; times count from 1970-01-01 UTC.
// Values are safe for concurrent reading.
package fleet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"keepsake.example/oprf/p256"
	"keepsake.example/sealed"
)

// The version of the bundle is its sixteenth byte.
const (
	Version         = 1 // of a fleet without a fleet key
	VersionHardened = 2 // of a fleet with one
)

// Limits, spec/vault-protocol.md §7.1.
const (
	MaxSize     = 65536 // bytes of a bundle that a reader looks at
	MaxKeys     = 8     // channel keys, at least 1
	MaxAttempts = 10    // the largest attempt limit
	MaxTime     = 1<<43 - 1

	// MaxDuration is the longest wait, cool-down and grace: 366 days. A time and a
	// duration can be added without a thought of overflow.
	MaxDuration = 366 * 24 * 3600 * 1000
)

var (
	// ErrFormat is a bundle that is not in the one form of §7.1, or with a value
	// out of its range.
	ErrFormat = errors.New("fleet: not a bundle in its one form")
	// ErrForeign is a bundle of another fleet than the pinned one.
	ErrForeign = errors.New("fleet: bundle of another fleet")
	// ErrSignature is a bundle that the fleet's identity key did not sign.
	ErrSignature = errors.New("fleet: bundle not signed by its fleet")
	// ErrStale is a bundle older than one that was seen, or another one of the same
	// serial. Whoever served it is lying or broken: keep what was seen.
	ErrStale = errors.New("fleet: bundle older than one seen before, or another one of the same serial")
	// ErrNoKey is a bundle without a channel key that is valid now: ask for a new
	// bundle, and stop if that has none either.
	ErrNoKey = errors.New("fleet: no channel key is valid now")

	errID = errors.New("fleet: not a fleet id of 64 hexadecimal digits")
)

// ID returns the id of the fleet with an identity public key.
func ID(identity ed25519.PublicKey) sealed.FleetID {
	return sha256.Sum256(append(append([]byte("keepsake fleet id"), Version), identity...))
}

// FormatID returns 64 hexadecimal digits in lower case.
func FormatID(id sealed.FleetID) string { return hex.EncodeToString(id[:]) }

// ParseID reads 64 hexadecimal digits of either case, with spaces, tabs, line ends
// and dashes anywhere between them, as people group them.
func ParseID(text string) (sealed.FleetID, error) {
	var id sealed.FleetID
	digits := strings.Map(dropSpacing, text)
	// The length is compared first: Decode writes as far as the text goes.
	if len(digits) != hex.EncodedLen(len(id)) {
		return id, errID
	}
	if _, err := hex.Decode(id[:], []byte(digits)); err != nil {
		return sealed.FleetID{}, errID
	}
	return id, nil
}

func dropSpacing(r rune) rune {
	if strings.ContainsRune(" \t\r\n-", r) {
		return -1
	}
	return r
}

// ChannelKey is a key that clients seal to, and when.
type ChannelKey struct {
	NotBefore, NotAfter uint64 // milliseconds: valid from NotBefore on, and no more at NotAfter
	Key                 *sealed.PublicKey
}

// Bundle is what a fleet says of itself.
type Bundle struct {
	Serial   uint64 // from 1; grows with each bundle of a fleet
	Issued   uint64 // milliseconds
	Identity ed25519.PublicKey
	Keys     []ChannelKey // 1 to MaxKeys, no two alike
	Policy   Policy

	// FleetKey is H = h·G, the public half of the key that the fleet's hardware holds
	// (spec/vault-protocol.md §3.7): a point of P-256, SEC 1 compressed. Zeros if the
	// fleet has none.
	FleetKey [p256.PointSize]byte
}

// Hardened reports whether the fleet has a key in its hardware.
func (b *Bundle) Hardened() bool { return b.FleetKey != [p256.PointSize]byte{} }

// Follows returns nil if the bundle may be used by a client that has seen a bundle
// of this serial and digest, and ErrStale otherwise. A client that has seen none
// gives serial 0. It keeps the highest serial, and its digest, for good.
func (b *Bundle) Follows(seenSerial uint64, seenDigest [32]byte) error {
	if b.Serial < seenSerial || b.Serial == seenSerial && b.Digest() != seenDigest {
		return ErrStale
	}
	return nil
}

// Current returns the key that is valid at a time of the client's clock and whose
// NotAfter is latest, the first of several.
func (b *Bundle) Current(now uint64) (*sealed.PublicKey, error) {
	var best *ChannelKey
	for i := range b.Keys {
		k := &b.Keys[i]
		if k.NotBefore <= now && now < k.NotAfter && (best == nil || k.NotAfter > best.NotAfter) {
			best = k
		}
	}
	if best == nil {
		return nil, ErrNoKey
	}
	return best.Key, nil
}

// check refuses what no bundle may say.
func (b *Bundle) check() error {
	switch {
	case b.Serial == 0:
		return fmt.Errorf("%w: serial 0", ErrFormat)
	case b.Issued > MaxTime:
		return fmt.Errorf("%w: issued at %d", ErrFormat, b.Issued)
	case len(b.Identity) != ed25519.PublicKeySize:
		return fmt.Errorf("%w: identity key of %d bytes", ErrFormat, len(b.Identity))
	case len(b.Keys) < 1 || len(b.Keys) > MaxKeys:
		return fmt.Errorf("%w: %d channel keys", ErrFormat, len(b.Keys))
	}
	for i, k := range b.Keys {
		if err := k.check(b.Keys[:i]); err != nil {
			return err
		}
	}
	if err := b.Policy.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if b.Hardened() {
		if err := p256.Check(b.FleetKey); err != nil {
			return fmt.Errorf("%w: fleet key: %w", ErrFormat, err)
		}
	}
	return nil
}

func (k *ChannelKey) check(before []ChannelKey) error {
	if k.Key == nil {
		return fmt.Errorf("%w: no channel key", ErrFormat)
	}
	if k.NotAfter <= k.NotBefore || k.NotAfter > MaxTime {
		return fmt.Errorf("%w: channel key valid from %d to %d", ErrFormat, k.NotBefore, k.NotAfter)
	}
	enc := k.Key.Bytes()
	for _, o := range before {
		if other := o.Key.Bytes(); bytes.Equal(enc[:], other[:]) {
			return fmt.Errorf("%w: a channel key twice", ErrFormat)
		}
	}
	return nil
}
