package key_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"keepsake.example/key"
	"keepsake.example/vectors"
)

// TestVectors runs vectors/key, whose names are listed in spec/key.md §8.
func TestVectors(t *testing.T) {
	all, err := vectors.All("key")
	if err != nil {
		t.Fatal(err)
	}
	run := map[string]func(*testing.T, *vectors.Vector, []byte){
		"accepted": vectorAccepted, "refused": vectorRefused, "slip": vectorSlip, "no slip": vectorNoSlip,
	}
	ran := map[string]int{}
	for _, v := range all {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			ran[expect]++
			run[expect](t, v, vectorInput(t, v))
		})
	}
	for expect := range run {
		if ran[expect] == 0 {
			t.Errorf("no vector expects %q", expect)
		}
	}
}

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

func vectorInput(t *testing.T, v *vectors.Vector) []byte {
	t.Helper()
	if h, ok := v.Get("input-hex"); ok {
		b, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var s string
	if err := json.Unmarshal([]byte(field(t, v, "input")), &s); err != nil {
		t.Fatal(err)
	}
	return []byte(s)
}

func vectorKey(t *testing.T, v *vectors.Vector) (b [key.Size]byte) {
	t.Helper()
	if n, err := hex.Decode(b[:], []byte(field(t, v, "key"))); n != key.Size || err != nil {
		t.Fatalf("key: %d bytes, %v", n, err)
	}
	return b
}

func vectorAccepted(t *testing.T, v *vectors.Vector, input []byte) {
	k, err := key.Parse(input)
	if err != nil {
		t.Fatal(err)
	}
	want := vectorKey(t, v)
	k.Use(func(got *[key.Size]byte) {
		if *got != want {
			t.Errorf("key %x, want %x", *got, want)
		}
	})
	if got, want := k.Digits(), field(t, v, "shown"); got != want {
		t.Errorf("shown as %q, want %q", got, want)
	}
}

func vectorRefused(t *testing.T, v *vectors.Vector, input []byte) {
	k, err := key.Parse(input)
	if k != nil || err == nil {
		t.Fatalf("Parse = %v, %v, want an error", k, err)
	}
	if want := field(t, v, "error"); err.Error() != want {
		t.Errorf("error\n     %s\nwant %s", err, want)
	}
	_, early := key.ParseDigits(input)
	length, isLength := errors.AsType[*key.LengthError](err)
	digit, isDigit := errors.AsType[*key.DigitError](err)
	switch layer := field(t, v, "layer"); layer {
	case "size":
		if early == nil || isLength || isDigit {
			t.Errorf("refused by another layer: ParseDigits %v, Parse %T", early, err)
		}
	case "digit":
		if early == nil || !isDigit {
			t.Fatalf("refused by another layer: ParseDigits %v, Parse %T", early, err)
		}
		compareDigitError(t, v, digit)
	case "length":
		if early != nil || !isLength {
			t.Fatalf("refused by another layer: ParseDigits %v, Parse %T", early, err)
		}
		if want := field(t, v, "digits"); strconv.Itoa(length.Got) != want {
			t.Errorf("%d digits, want %s", length.Got, want)
		}
	default:
		t.Errorf("unknown layer %q", layer)
	}
}

func compareDigitError(t *testing.T, v *vectors.Vector, e *key.DigitError) {
	t.Helper()
	likely := ""
	if r, ok := e.Likely(); ok {
		likely = string(r)
	}
	wantLikely, _ := v.Get("likely")
	got := fmt.Sprintf("position %d line %d U+%04X likely %s", e.Position, e.Line, e.Rune, likely)
	want := fmt.Sprintf("position %s line %s %s likely %s",
		field(t, v, "position"), field(t, v, "line"), field(t, v, "rune"), wantLikely)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func vectorFind(t *testing.T, v *vectors.Vector, input []byte) (*key.Slip, bool) {
	t.Helper()
	d, err := key.ParseDigits(input)
	if err != nil {
		t.Fatal(err)
	}
	return key.FindSlip(context.Background(), d, accepts(vectorKey(t, v)))
}

func vectorSlip(t *testing.T, v *vectors.Vector, input []byte) {
	s, ok := vectorFind(t, v, input)
	if !ok {
		t.Fatal("no slip found")
	}
	if got, want := s.Kind.String(), field(t, v, "kind"); got != want {
		t.Errorf("kind %q, want %q", got, want)
	}
	if got, want := s.String(), field(t, v, "text"); got != want {
		t.Errorf("text\n     %s\nwant %s", got, want)
	}
	if !s.Key.Equal(key.FromBytes(vectorKey(t, v))) {
		t.Error("another key")
	}
}

func vectorNoSlip(t *testing.T, v *vectors.Vector, input []byte) {
	if field(t, v, "layer") != "slip" {
		t.Error("the layer is not slip")
	}
	if s, ok := vectorFind(t, v, input); ok || s != nil {
		t.Errorf("found %v", s)
	}
}
