package key_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"keepsake.example/key"
)

// reference is a second, dumb reading of spec/key.md §4 for ASCII text: the
// digits, and the position of the first stray character or 0.
func reference(text []byte) (digits string, stray int) {
	for _, c := range bytes.ToLower(text) {
		switch {
		case strings.IndexByte("0123456789abcdef", c) >= 0:
			digits += string(c)
		case strings.IndexByte("\t\n\v\f\r -", c) < 0:
			return "", len(digits) + 1
		}
	}
	return digits, 0
}

func compareWithReference(t *testing.T, text []byte) {
	t.Helper()
	digits, stray := reference(text)
	k, err := key.Parse(text)
	switch {
	case stray > 0:
		if e, ok := errors.AsType[*key.DigitError](err); !ok || e.Position != stray {
			t.Errorf("%q: %v, want a stray character at digit %d", text, err, stray)
		}
	case len(digits) != 64:
		if e, ok := errors.AsType[*key.LengthError](err); !ok || e.Got != len(digits) {
			t.Errorf("%q: %v, want %d digits", text, err, len(digits))
		}
	case err != nil:
		t.Errorf("%q: %v", text, err)
	case strings.ReplaceAll(k.Digits(), " ", "") != digits:
		t.Errorf("%q read as %q", text, k.Digits())
	}
}

// Every truncation of a shown key and every single-byte change of it.
func TestMangled(t *testing.T) {
	shown := []byte(secretKey(t).Digits())
	for n := range shown {
		compareWithReference(t, shown[:n])
		for b := range byte(0x80) {
			m := bytes.Clone(shown)
			m[n] = b
			compareWithReference(t, m)
		}
		for b := 0x80; b < 0x100; b++ {
			m := bytes.Clone(shown)
			m[n] = byte(b)
			e, ok := errors.AsType[*key.DigitError](errorOf(key.Parse(m)))
			if !ok || e.Rune != unicode.ReplacementChar {
				t.Errorf("byte %#x at %d: %v", b, n, e)
			}
		}
	}
}

func errorOf(_ *key.Key, err error) error { return err }

// Every digit of a shown key replaced by every other is another key.
func TestOtherDigitOtherKey(t *testing.T) {
	k := secretKey(t)
	shown := k.Digits()
	seen := map[[key.Size]byte]bool{bytesOf(k): true}
	for i := range shown {
		for _, c := range "0123456789abcdef" {
			if shown[i] == ' ' || rune(shown[i]) == c {
				continue
			}
			other, err := key.Parse([]byte(shown[:i] + string(c) + shown[i+1:]))
			if err != nil {
				t.Fatal(err)
			}
			if other.Equal(k) || seen[bytesOf(other)] {
				t.Errorf("%c at %d: not another key", c, i)
			}
			seen[bytesOf(other)] = true
		}
	}
	if len(seen) != 1+64*15 {
		t.Errorf("%d keys", len(seen))
	}
}

// Every code point there is, between two digits: it is a separator, a digit or
// refused, and nothing that Unicode calls a letter or a number is dropped but the
// prolonged sound marks.
func TestEveryRune(t *testing.T) {
	dropped := 0
	for r := range rune(unicode.MaxRune + 1) {
		d, err := key.ParseDigits([]byte("0" + string(r) + "1"))
		switch {
		case err != nil:
			if e, ok := errors.AsType[*key.DigitError](err); !ok || e.Position != 2 || r < 0x3000 && len(e.Error()) > 120 {
				t.Fatalf("U+%04X: %v", r, err)
			}
		case d.Len() == 2:
			dropped++
			if (unicode.IsLetter(r) || unicode.IsNumber(r)) && r != 0x30FC && r != 0xFF70 {
				t.Errorf("U+%04X is dropped", r)
			}
		case d.Len() == 3:
			if !unicode.Is(unicode.Hex_Digit, r) {
				t.Errorf("U+%04X is a digit", r)
			}
		default:
			t.Errorf("U+%04X: %d digits", r, d.Len())
		}
	}
	// spec/key.md §4.2 lists 25 spaces, 30 dashes and 40 invisible characters.
	if want := 25 + 30 + 40; dropped != want {
		t.Errorf("%d separators, the specification has %d", dropped, want)
	}
}

// The caller's text is neither changed nor kept.
func TestTextIsTheCallers(t *testing.T) {
	k := secretKey(t)
	text := []byte(k.Digits())
	d, err := key.ParseDigits(text)
	if err != nil || string(text) != k.Digits() {
		t.Fatalf("ParseDigits changed its input: %v", err)
	}
	clear(text)
	if got, err := d.Key(); err != nil || !got.Equal(k) {
		t.Errorf("after wiping the text: %v", err)
	}
}

func TestErrorsHideTheKey(t *testing.T) {
	k := secretKey(t)
	shown := k.Digits()
	for i := range len(shown) + 1 {
		for _, stray := range []string{"O", "x", "\x00", "\u0435", "\xff", "aa", "b", strings.Repeat(" ", key.MaxText)} {
			_, err := key.Parse([]byte(shown[:i] + stray + shown[i:]))
			if err == nil {
				t.Fatalf("%q at %d is accepted", stray, i)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
				mustHide(t, verb, fmt.Sprintf(verb, err), k)
			}
			mustHide(t, "json", encoded(t, err), k)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("0011 2233 4455 6677 8899 aabb ccdd eeff ffee ddcc bbaa 9988 7766 5544 3322 1100"))
	f.Add([]byte("\xef\xbb\xbf00112233-44556677\u20148899AABBCCDDEEFF\r\nFFEEDDCCBBAA99887766554433221100\r\n"))
	f.Add([]byte("0011 2233 4455 6677 O899"))
	f.Add([]byte("\xff\xfe0\x000\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := key.Parse(text)
		if err != nil {
			if k != nil || len(err.Error()) > 160 || !strings.HasPrefix(err.Error(), "key: ") {
				t.Errorf("%q: %v, %v", text, k, err)
			}
			return
		}
		shown := k.Digits()
		again, err := key.Parse([]byte(shown))
		if err != nil || !again.Equal(k) || again.Digits() != shown {
			t.Errorf("%q is shown as %q, which is read as another key (%v)", text, shown, err)
		}
	})
}
