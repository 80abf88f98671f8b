package fleet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"keepsake.example/oprf/p256"
	"keepsake.example/sealed"
)

const (
	magic          = "keepsake bundle"
	labelSignature = "keepsake bundle signature\x01"

	frontSize = len(magic) + 1 + 8 + 8 + ed25519.PublicKeySize + 1 // to the number of keys
	keySize   = 8 + 8 + sealed.PublicKeySize
	tailSize  = 8 + 8 + 1 + ed25519.SignatureSize // after the waits, but for the fleet key

	flagInsecure = 1
)

// Sign returns the bundle's bytes. It refuses a bundle with a value out of its
// range, or of another identity than the key's.
func (b *Bundle) Sign(identity ed25519.PrivateKey) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("signing a bundle: %w", err)
	}
	if !b.Identity.Equal(identity.Public()) {
		return nil, fmt.Errorf("signing a bundle: %w", ErrForeign)
	}
	content := b.content()
	return append(content, ed25519.Sign(identity, signed(content))...), nil
}

// Digest returns the SHA-256 of all bytes before the signature, for
// [Bundle.Follows]. The bundle must be one that [Open] returned or [Bundle.Sign]
// accepted.
func (b *Bundle) Digest() [32]byte { return sha256.Sum256(b.content()) }

func signed(content []byte) []byte { return slices.Concat([]byte(labelSignature), content) }

// content is all before the signature.
func (b *Bundle) content() []byte {
	out := binary.BigEndian.AppendUint64(append([]byte(magic), b.version()), b.Serial)
	out = binary.BigEndian.AppendUint64(out, b.Issued)
	out = append(append(out, b.Identity...), byte(len(b.Keys)))
	for _, k := range b.Keys {
		out = binary.BigEndian.AppendUint64(out, k.NotBefore)
		out = binary.BigEndian.AppendUint64(out, k.NotAfter)
		enc := k.Key.Bytes()
		out = append(out, enc[:]...)
	}
	out = b.Policy.append(out)
	if b.Hardened() {
		out = append(out, b.FleetKey[:]...)
	}
	return out
}

// version: a fleet without a key in hardware has the bundle that it always had.
func (b *Bundle) version() byte {
	if b.Hardened() {
		return VersionHardened
	}
	return Version
}

func (p *Policy) append(b []byte) []byte {
	b = append(b, p.MaxAttempts, byte(len(p.Waits)))
	for _, w := range p.Waits {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	b = binary.BigEndian.AppendUint64(b, p.CoolDown)
	b = binary.BigEndian.AppendUint64(b, p.Grace)
	if p.Insecure {
		return append(b, flagInsecure)
	}
	return append(b, 0)
}

// Open reads a bundle of the pinned fleet. It refuses with ErrFormat, ErrForeign
// or ErrSignature whatever spec/vault-protocol.md §7.1 refuses, but an old
// serial, which is for [Bundle.Follows]. It looks at no value before the
// signature holds.
func Open(data []byte, fleet sealed.FleetID) (*Bundle, error) {
	if len(data) > MaxSize || !bytes.HasPrefix(data, []byte(magic)) || !rightSize(data) {
		return nil, ErrFormat
	}
	identity := ed25519.PublicKey(bytes.Clone(data[frontSize-1-ed25519.PublicKeySize : frontSize-1]))
	if ID(identity) != fleet {
		return nil, ErrForeign
	}
	content, signature := data[:len(data)-ed25519.SignatureSize], data[len(data)-ed25519.SignatureSize:]
	if !ed25519.Verify(identity, signed(content), signature) {
		return nil, ErrSignature
	}
	b := &Bundle{Identity: identity}
	if err := b.read(content, fleet); err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return b, nil
}

// rightSize reports whether the data is as long as its version and its two counts
// say. The counts are bytes, so that no sum overflows.
func rightSize(data []byte) bool {
	if len(data) < frontSize {
		return false
	}
	tail := tailSize
	switch data[len(magic)] {
	case Version:
	case VersionHardened:
		tail += p256.PointSize
	default:
		return false
	}
	at := frontSize + int(data[frontSize-1])*keySize
	if len(data) < at+2 {
		return false
	}
	return len(data) == at+2+int(data[at+1])*8+tail
}

// read takes apart content of the right size.
func (b *Bundle) read(content []byte, fleet sealed.FleetID) error {
	r := reader(content[len(magic):])
	version := r.u8()
	b.Serial, b.Issued = r.u64(), r.u64()
	r.take(ed25519.PublicKeySize)
	n := int(r.u8())
	if n < 1 || n > MaxKeys {
		return fmt.Errorf("%w: %d channel keys", ErrFormat, n)
	}
	for range n {
		k := ChannelKey{NotBefore: r.u64(), NotAfter: r.u64()}
		var err error
		if k.Key, err = sealed.ParsePublicKey(fleet, r.take(sealed.PublicKeySize)); err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		b.Keys = append(b.Keys, k)
	}
	b.Policy.MaxAttempts = r.u8()
	for range int(r.u8()) {
		b.Policy.Waits = append(b.Policy.Waits, r.u64())
	}
	b.Policy.CoolDown, b.Policy.Grace = r.u64(), r.u64()
	flags := r.u8()
	b.Policy.Insecure = flags == flagInsecure
	if flags > flagInsecure {
		return fmt.Errorf("%w: flags %#x", ErrFormat, flags)
	}
	if version != VersionHardened {
		return nil
	}
	// Without a key the bundle would have a second form, of version 1.
	if b.FleetKey = [p256.PointSize]byte(r.take(p256.PointSize)); !b.Hardened() {
		return fmt.Errorf("%w: no fleet key", ErrFormat)
	}
	return nil
}

// reader takes content of a known size apart from the front.
type reader []byte

func (r *reader) take(n int) []byte {
	b := (*r)[:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) u8() uint8 { return r.take(1)[0] }

func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }
