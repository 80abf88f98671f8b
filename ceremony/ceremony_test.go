package ceremony_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"keepsake.example/ceremony"
)

var began = time.Date(2026, 11, 22, 22, 10, 0, 999, time.FixedZone("", 3600))

func transcript(t testing.TB, rehearsal bool) *ceremony.Transcript {
	t.Helper()
	c := ceremony.New(began, rehearsal)
	for _, s := range []ceremony.Step{
		{Title: "who is here", Facts: []ceremony.Fact{{"operator", "alice 00"}, {"operator", "bob 11"}, {"quorum", "2"}}},
		{Title: "nothing to say"},
		{Title: "the fleet", Facts: []ceremony.Fact{{"fleet", strings.Repeat("ab", 32)}, {"place", "Zürich, 3rd floor"}}},
	} {
		if _, err := c.Add(s.Title, s.Facts...); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func signer(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func signed(t testing.TB, by ...byte) *ceremony.Signed {
	t.Helper()
	s := &ceremony.Signed{Text: transcript(t, false).Text()}
	for _, b := range by {
		if err := s.Sign(signer(b)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// The text by hand, and its digests by the description in the package's comment.
func TestOneForm(t *testing.T) {
	c := ceremony.New(began, false)
	if _, err := c.Add("who is here", ceremony.Fact{"quorum", "2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Add("the end"); err != nil {
		t.Fatal(err)
	}
	const head = "keepsake ceremony transcript v1\nkind founding\nbegan 2026-11-22T21:10:00Z\n"
	zeroth := sha256.Sum256([]byte("keepsake ceremony step\x01" + head))
	first := sha256.Sum256(append(append([]byte("keepsake ceremony step\x01"), zeroth[:]...), "1 who is here\nquorum 2\n"...))
	second := sha256.Sum256(append(append([]byte("keepsake ceremony step\x01"), first[:]...), "2 the end\n"...))
	want := fmt.Sprintf("%s\n1 who is here\nquorum 2\ndigest %x\n\n2 the end\ndigest %x\n", head, first, second)
	if got := c.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if c.Digest() != second {
		t.Error("the digest is not that of the last step")
	}
}

func TestReadBack(t *testing.T) {
	for _, rehearsal := range []bool{false, true} {
		made := transcript(t, rehearsal)
		got, err := ceremony.Parse(made.Text())
		if err != nil {
			t.Fatal(err)
		}
		if got.Text() != made.Text() || got.Rehearsal != rehearsal || got.Digest() != made.Digest() || !got.Began.Equal(began.Truncate(time.Second)) {
			t.Errorf("read\n%s", got.Text())
		}
		if v, ok := got.Fact("quorum"); !ok || v != "2" {
			t.Errorf("quorum %q", v)
		}
		if v := got.Facts("operator"); len(v) != 2 || v[1] != "bob 11" {
			t.Errorf("operators %q", v)
		}
		if _, ok := got.Fact("digest"); ok {
			t.Error("a digest is no fact")
		}
	}
	if got, err := ceremony.Parse(ceremony.New(began, true).Text()); err != nil || len(got.Steps) != 0 {
		t.Errorf("an empty one: %v", err)
	}
}

// Cut or edited anywhere, a transcript is refused: also when only a digest is.
func TestMangledTranscript(t *testing.T) {
	whole := signed(t, 1, 2).Encode()
	if _, _, err := ceremony.ParseSigned(whole); err != nil {
		t.Fatal(err)
	}
	// What ends after a step, or after a signature, is a shorter record, with another last digest.
	shorter := map[int]bool{}
	c := transcript(t, false)
	for c.Steps = c.Steps[:3]; ; c.Steps = c.Steps[:len(c.Steps)-1] {
		if shorter[len(c.Text())] = true; len(c.Steps) == 0 {
			break
		}
	}
	shorter[bytes.LastIndex(whole, []byte("signed "))] = true
	for n := range whole[1:] {
		_, _, err := ceremony.ParseSigned(whole[:n])
		if (err == nil) != shorter[n] {
			t.Fatalf("from %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for n := range whole {
		for _, bit := range []byte{0x01, 0x20} {
			mangled := bytes.Clone(whole)
			mangled[n] ^= bit
			if _, _, err := ceremony.ParseSigned(mangled); !errors.Is(err, ceremony.ErrText) && !errors.Is(err, ceremony.ErrSigned) {
				t.Fatalf("byte %d (%q) changed: %v", n, whole[n], err)
			}
		}
	}
}

func TestRefusedFacts(t *testing.T) {
	c := transcript(t, false)
	before := c.Text()
	many := make([]ceremony.Fact, ceremony.MaxFacts+1)
	for i := range many {
		many[i] = ceremony.Fact{"a", "b"}
	}
	for name, facts := range map[string][]ceremony.Fact{
		"no name": {{"", "x"}}, "digest": {{"digest", "x"}}, "upper case": {{"Quorum", "2"}}, "long name": {{strings.Repeat("a", 33), "x"}},
		"no value": {{"a", ""}}, "two lines": {{"a", "b\nquorum 1"}}, "hidden": {{"a", "b\u202ec"}}, "space before": {{"a", " b"}},
		"not UTF-8": {{"a", "\xff"}}, "long": {{"a", strings.Repeat("b", ceremony.MaxValue+1)}}, "many": many,
	} {
		if _, err := c.Add("title", facts...); !errors.Is(err, ceremony.ErrFact) || c.Text() != before {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, title := range []string{"", "two\nlines", " spaced"} {
		if _, err := c.Add(title); !errors.Is(err, ceremony.ErrFact) {
			t.Errorf("title %q: %v", title, err)
		}
	}
	for len(c.Steps) < ceremony.MaxSteps {
		if _, err := c.Add("again"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Add("again"); !errors.Is(err, ceremony.ErrFact) {
		t.Errorf("a step too many: %v", err)
	}
}

// A signature is of one text, and of one key once.
func TestSignatures(t *testing.T) {
	s := signed(t, 1, 2)
	back, c, err := ceremony.ParseSigned(s.Encode())
	if err != nil || c.Text() != s.Text || len(back.Signatures) != 2 {
		t.Fatal(err)
	}
	if !back.By([32]byte(signer(1).Public().(ed25519.PublicKey))) || back.By([32]byte(signer(3).Public().(ed25519.PublicKey))) {
		t.Error("who has signed")
	}
	if err := s.Sign(signer(1)); !errors.Is(err, ceremony.ErrSigned) {
		t.Errorf("a second time: %v", err)
	}
	other := &ceremony.Signed{Text: transcript(t, true).Text()}
	if err := other.Add(s.Signatures[0]); !errors.Is(err, ceremony.ErrSigned) {
		t.Errorf("a founding's signature under a rehearsal: %v", err)
	}
}

func TestAloud(t *testing.T) {
	lines := strings.Split(ceremony.Aloud(sha256.Sum256(nil)), "\n")
	if len(lines) != 4 || lines[0] != "e3b0 c442 98fc 1c14" {
		t.Errorf("%q", lines)
	}
}

// What is read is written alike.
func FuzzParseSigned(f *testing.F) {
	f.Add(signed(f, 1).Encode())
	f.Add([]byte(ceremony.New(began, true).Text()))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, c, err := ceremony.ParseSigned(b)
		if err == nil && (!bytes.Equal(s.Encode(), b) || c.Text() != s.Text) {
			t.Errorf("%q", b)
		}
	})
}
