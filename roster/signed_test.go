package roster_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/roster"
)

func remove4() *roster.Change { return next(founded(5), roster.Remove, about(0, 4)) }

func TestSignedRoundTrip(t *testing.T) {
	_, all := history()
	all = append(all, &roster.Signed{Text: "anything"}, &roster.Signed{
		Text: strings.Repeat("x", roster.MaxText), Signatures: manySignatures(roster.MaxSignatures),
	})
	for i, s := range all {
		b := s.Encode()
		got, err := roster.DecodeSigned(b)
		if diff := cmp.Diff(s, got); err != nil || diff != "" || len(b) > roster.MaxSigned {
			t.Errorf("change %d in %d bytes: %v (-want +got):\n%s", i, len(b), err, diff)
		}
	}
	if n := len(all[len(all)-1].Encode()); n != roster.MaxSigned {
		t.Errorf("the longest has %d bytes, MaxSigned is %d", n, roster.MaxSigned)
	}
}

func manySignatures(n int) (all []roster.Signature) {
	for i := range n {
		all = append(all, roster.Signature{Key: [32]byte{byte(i)}})
	}
	return all
}

func TestDecodeSignedRefuses(t *testing.T) {
	two := signed(remove4(), "alice", "bob")
	twice, swapped := *two, *two
	twice.Signatures = []roster.Signature{two.Signatures[0], two.Signatures[0]}
	swapped.Signatures = []roster.Signature{two.Signatures[1], two.Signatures[0]}
	version := two.Encode()
	version[0] = 2
	for name, b := range map[string][]byte{
		"nothing":            {},
		"no text":            (&roster.Signed{Signatures: two.Signatures}).Encode(),
		"a long text":        (&roster.Signed{Text: strings.Repeat("x", roster.MaxText+1)}).Encode(),
		"many signatures":    (&roster.Signed{Text: "x", Signatures: manySignatures(roster.MaxSignatures + 1)}).Encode(),
		"one key twice":      twice.Encode(),
		"keys out of order":  swapped.Encode(),
		"another version":    version,
		"more than MaxBytes": make([]byte, roster.MaxSigned+1),
	} {
		if s, err := roster.DecodeSigned(b); s != nil || !errors.Is(err, roster.ErrSigned) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func canonicalSigned(t *testing.T, b []byte) {
	t.Helper()
	s, err := roster.DecodeSigned(b)
	if err == nil && !bytes.Equal(s.Encode(), b) {
		t.Errorf("%x is written as %x", b, s.Encode())
	}
	if err != nil && (s != nil || !errors.Is(err, roster.ErrSigned)) {
		t.Errorf("%x: %v, %v", b, s, err)
	}
}

// Nothing that was changed in a byte, cut or extended is accepted by the roster, and
// nothing can be read in two ways.
func TestMangledSigned(t *testing.T) {
	r, b := founded(5), signed(remove4(), "alice", "bob", "eve").Encode()
	for n := range b {
		if s, err := roster.DecodeSigned(b[:n]); !errors.Is(err, roster.ErrSigned) {
			t.Errorf("%d of %d bytes: %v, %v", n, len(b), s, err)
		}
		for _, x := range []byte{b[n] ^ 1, b[n] ^ 0x80, b[n] + 1} {
			m := bytes.Clone(b)
			m[n] = x
			canonicalSigned(t, m)
			s, err := roster.DecodeSigned(m)
			if err != nil {
				continue
			}
			if c, err := r.Apply(s); err == nil {
				t.Fatalf("byte %d changed to %#x, accepted: %+v", n, x, c)
			}
		}
	}
	if s, err := roster.DecodeSigned(append(bytes.Clone(b), 0)); err == nil {
		t.Errorf("a byte more: %v", s)
	}
	if _, err := r.Apply(must(roster.DecodeSigned(b))); err != nil {
		t.Errorf("as it was: %v", err)
	}
}

// FuzzDecodeSigned: what is accepted has one form.
func FuzzDecodeSigned(f *testing.F) {
	f.Add(signed(remove4(), "alice").Encode())
	f.Add((&roster.Signed{Text: "x", Signatures: manySignatures(3)}).Encode())
	f.Fuzz(canonicalSigned)
}

// Nobody signs what the state machine would read otherwise, or not at all.
func TestSignRefuses(t *testing.T) {
	text := must(remove4().Text())
	for _, bad := range []string{"", "remove member 4\n", text + " ", strings.Replace(text, "member 4", "member 04", 1)} {
		if s, err := roster.Sign(bad, keyOf("alice")); s != (roster.Signature{}) || !errors.Is(err, roster.ErrText) {
			t.Errorf("%q is signed: %v, %v", bad, s, err)
		}
	}
}

// A key that is no Ed25519 key, and one that does not answer, as on a token that was taken out.
func TestSignWithBadKeys(t *testing.T) {
	text := must(remove4().Text())
	other := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for name, key := range map[string]crypto.Signer{"another kind": other, "no answer": token{keyOf("alice"), nil}, "a short one": token{keyOf("alice"), make([]byte, 63)}} {
		if s, err := roster.Sign(text, key); s != (roster.Signature{}) || err == nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

// A token is a key that answers always the same, or not at all.
type token struct {
	ed25519.PrivateKey
	answer []byte
}

func (t token) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	if t.answer == nil {
		return nil, errors.New("taken out")
	}
	return t.answer, nil
}

func TestAddSignature(t *testing.T) {
	s := signed(remove4(), "eve", "alice", "dave")
	for i := 1; i < len(s.Signatures); i++ {
		if bytes.Compare(s.Signatures[i-1].Key[:], s.Signatures[i].Key[:]) >= 0 {
			t.Error("signatures are not in the order of their keys")
		}
	}
	forged := must(roster.Sign(s.Text, keyOf("bob")))
	forged.Signature[0] ^= 1
	other := must(roster.Sign(must(next(founded(5), roster.Remove, about(0, 3)).Text()), keyOf("bob")))
	// The text alone, without the label: no signature of another protocol is one of a change.
	plain := roster.Signature{Key: forged.Key, Signature: [64]byte(ed25519.Sign(keyOf("bob"), []byte(s.Text)))}
	before := s.Encode()
	for name, g := range map[string]roster.Signature{"forged": forged, "of another text": other, "without the label": plain, "a second one": s.Signatures[1]} {
		if err := s.Add(g); !errors.Is(err, roster.ErrSigned) || !bytes.Equal(before, s.Encode()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
