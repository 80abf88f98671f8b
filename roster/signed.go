package roster

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"keepsake.example/internal/memo"
	"keepsake.example/internal/wire"
)

const (
	// MaxSignatures is how many signatures a change can carry: of all operators, the
	// old and the new.
	MaxSignatures = 2 * MaxOperators
	// MaxSigned is the longest encoding of a signed change in bytes.
	MaxSigned = 1 + 2 + MaxText + 1 + MaxSignatures*(ed25519.PublicKeySize+ed25519.SignatureSize)

	signedVersion  = "\x01"
	labelSignature = "keepsake fleet change signature\x01"
)

// ErrSigned is bytes that are not a signed change in its one form.
var ErrSigned = errors.New("roster: not a signed change in its one form")

// Signature is an operator's signature of a text. The key says whose it is.
type Signature struct {
	Key       [32]byte
	Signature [64]byte
}

// Signed is a change and who signed it, as it travels.
type Signed struct {
	Text       string
	Signatures []Signature // by key, no key twice
}

// Sign signs a text, which must be a change in its one form, ErrText: nobody signs
// what the state machine reads otherwise than it was shown. The key is Ed25519, in memory or
// on a token.
func Sign(text string, key crypto.Signer) (Signature, error) {
	if _, err := ParseChange(text); err != nil {
		return Signature{}, fmt.Errorf("signing: %w", err)
	}
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return Signature{}, fmt.Errorf("signing: a key of type %T, not Ed25519", key.Public())
	}
	signature, err := key.Sign(nil, message(text), crypto.Hash(0))
	if err != nil {
		return Signature{}, fmt.Errorf("signing: %w", err)
	}
	if len(signature) != ed25519.SignatureSize {
		return Signature{}, fmt.Errorf("signing: a signature of %d bytes", len(signature))
	}
	return Signature{[32]byte(public), [64]byte(signature)}, nil
}

func message(text string) []byte { return []byte(labelSignature + text) }

// holds reports whether the key signed the text.
func (g *Signature) holds(text string) bool {
	return memo.Verify(g.Key[:], message(text), g.Signature[:])
}

// Add puts a signature in its place. It refuses one that does not hold, the second
// of a key, and one too many.
func (s *Signed) Add(g Signature) error {
	if !g.holds(s.Text) {
		return fmt.Errorf("%w: the signature by %x does not hold for this text", ErrSigned, g.Key)
	}
	i, found := slices.BinarySearchFunc(s.Signatures, g, byKey)
	if found || len(s.Signatures) == MaxSignatures {
		return fmt.Errorf("%w: signed twice by %x, or over %d signatures", ErrSigned, g.Key, MaxSignatures)
	}
	s.Signatures = slices.Insert(s.Signatures, i, g)
	return nil
}

func byKey(a, b Signature) int { return bytes.Compare(a.Key[:], b.Key[:]) }

// inOrder reports whether no key signed twice.
func (s *Signed) inOrder() bool {
	for i := 1; i < len(s.Signatures); i++ {
		if byKey(s.Signatures[i-1], s.Signatures[i]) >= 0 {
			return false
		}
	}
	return true
}

// Encode returns the bytes of a signed change, spec/replication.md §15.3. The
// bytes of one with too long a text, or too many signatures, are never decoded.
func (s *Signed) Encode() []byte {
	w := wire.Append(nil)
	s.layout(w)
	return w.Written()
}

// DecodeSigned reads the bytes of [Signed.Encode], and no others: ErrSigned. It
// looks neither at the text nor at a signature; [Roster.Apply] does.
func DecodeSigned(b []byte) (*Signed, error) {
	if len(b) > MaxSigned {
		return nil, fmt.Errorf("%w: %d bytes", ErrSigned, len(b))
	}
	s, w := new(Signed), wire.Read(b)
	s.layout(w)
	if !w.Done() || !s.inOrder() {
		return nil, ErrSigned
	}
	return s, nil
}

func (s *Signed) layout(w *wire.Codec) {
	w.Constant(signedVersion)
	w.Text(&s.Text, 1, MaxText)
	wire.List(w, &s.Signatures, MaxSignatures, func(g *Signature) {
		w.Bytes(g.Key[:])
		w.Bytes(g.Signature[:])
	})
}
