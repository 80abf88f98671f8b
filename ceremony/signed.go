package ceremony

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxSignatures is how many a transcript can carry.
	MaxSignatures = 64
	// MaxFile is the longest file of a transcript and its signatures, in bytes.
	MaxFile = MaxText + 1 + MaxSignatures*(len(signedName)+2*ed25519.PublicKeySize+1+2*ed25519.SignatureSize+1)

	labelSignature = "keepsake ceremony signature\x01"
	signedName     = "signed "
)

// ErrSigned is a file of signatures that is not in its one form, a signature that
// does not hold, or a second one of the same key.
var ErrSigned = errors.New("ceremony: not a transcript with signatures that hold")

// Signature is one operator's word for a transcript.
type Signature struct {
	Key       [ed25519.PublicKeySize]byte
	Signature [ed25519.SignatureSize]byte
}

// Signed is a transcript's text with signatures.
type Signed struct {
	Text       string
	Signatures []Signature // in the order of their keys, no key twice
}

func message(text string) []byte { return []byte(labelSignature + text) }

// Sign adds the signature of an Ed25519 key, in a file or in a token.
func (s *Signed) Sign(key crypto.Signer) error {
	public, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return fmt.Errorf("signing a transcript: a key of type %T", key.Public())
	}
	signature, err := key.Sign(nil, message(s.Text), crypto.Hash(0))
	if err != nil {
		return fmt.Errorf("signing a transcript: %w", err)
	}
	if len(signature) != ed25519.SignatureSize {
		return fmt.Errorf("signing a transcript: a signature of %d bytes", len(signature))
	}
	return s.Add(Signature{[ed25519.PublicKeySize]byte(public), [ed25519.SignatureSize]byte(signature)})
}

// Add puts a signature in its place: ErrSigned if it does not hold, or is not the
// key's first.
func (s *Signed) Add(g Signature) error {
	if !ed25519.Verify(g.Key[:], message(s.Text), g.Signature[:]) {
		return fmt.Errorf("%w: that of %x does not hold for this text", ErrSigned, g.Key)
	}
	i, found := slices.BinarySearchFunc(s.Signatures, g, func(a, b Signature) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	if found || len(s.Signatures) == MaxSignatures {
		return fmt.Errorf("%w: %x has signed already, or there are too many", ErrSigned, g.Key)
	}
	s.Signatures = slices.Insert(s.Signatures, i, g)
	return nil
}

// By returns whether a key has signed.
func (s *Signed) By(key [ed25519.PublicKeySize]byte) bool {
	return slices.ContainsFunc(s.Signatures, func(g Signature) bool { return g.Key == key })
}

// Encode returns the file: the text and, when there are any, the signatures.
func (s *Signed) Encode() []byte {
	b := bytes.NewBufferString(s.Text)
	if len(s.Signatures) > 0 {
		b.WriteByte('\n')
	}
	for _, g := range s.Signatures {
		fmt.Fprintf(b, "%s%x %x\n", signedName, g.Key, g.Signature)
	}
	return b.Bytes()
}

// ParseSigned reads a file: ErrText, ErrSigned. Each signature in it holds; whose
// they are is for the caller to know.
func ParseSigned(file []byte) (*Signed, *Transcript, error) {
	if len(file) > MaxFile {
		return nil, nil, ErrText
	}
	text, lines, _ := strings.Cut(string(file), "\n\n"+signedName)
	s := &Signed{Text: strings.TrimSuffix(text, "\n") + "\n"}
	t, err := Parse(s.Text)
	if err != nil {
		return nil, nil, err
	}
	if lines != "" {
		lines = signedName + lines
	}
	for line := range strings.Lines(lines) {
		g, err := parseSignature(line)
		if err != nil {
			return nil, nil, err
		}
		if err := s.Add(g); err != nil {
			return nil, nil, err
		}
	}
	if !bytes.Equal(s.Encode(), file) {
		return nil, nil, ErrSigned
	}
	return s, t, nil
}

func parseSignature(line string) (g Signature, err error) {
	key, signature, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, signedName), "\n"), " ")
	k, err1 := hex.DecodeString(key)
	sig, err2 := hex.DecodeString(signature)
	if err1 != nil || err2 != nil || len(k) != len(g.Key) || len(sig) != len(g.Signature) {
		return g, ErrSigned
	}
	return Signature{[len(g.Key)]byte(k), [len(g.Signature)]byte(sig)}, nil
}
