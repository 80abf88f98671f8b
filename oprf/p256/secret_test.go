package p256_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/oprf/p256"
)

// forms are the ways in which secret bytes show up in text.
func forms(secret []byte) (all []string) {
	for _, part := range [][]byte{secret[:4], secret[len(secret)-4:]} {
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), list, strings.ReplaceAll(list, " ", ","), hex.EncodeToString(part), fmt.Sprintf("% x", part), fmt.Sprintf("%#v", part)[7:])
	}
	return all
}

// A blinding prints as one word, also inside other types, in JSON and in slog.
func TestRedacted(t *testing.T) {
	b := must(p256.Blind(&reader{seed: 3}, []byte("correct horse battery")))
	input, blind := b.Held()
	hidden := append(forms(input), forms(blind[:])...)
	type outer struct {
		B p256.Blinding
		b *p256.Blinding
		O any
	}
	inside := outer{*b, b, []*p256.Blinding{b}}
	for _, v := range []any{b, *b, inside, &inside, []any{b}} {
		var text bytes.Buffer
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %p") {
			fmt.Fprintf(&text, verb+"\n", v)
		}
		text.Write(must(json.Marshal(v)))
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "v", v)
		for _, form := range hidden {
			if strings.Contains(text.String(), form) {
				t.Errorf("%T shows %q: %s", v, form, text.String())
			}
		}
	}
	if b.String() != "p256(redacted)" || b.GoString() != "p256(redacted)" {
		t.Errorf("%s", b)
	}
}

func TestWipe(t *testing.T) {
	b := must(p256.Blind(&reader{}, []byte("password")))
	input, blind := b.Held()
	second := *b
	second.Wipe()
	if !bytes.Equal(input, make([]byte, len(input))) || *blind != [32]byte{} {
		t.Errorf("left %x, %x", input, blind)
	}
	b.Wipe()
	mustPanic(t, "Blinded", func() { b.Blinded() })
	mustPanic(t, "Finalize", func() { b.Finalize([33]byte{}) })
	mustPanic(t, "zero value", func() { new(p256.Blinding).Blinded() })
	new(p256.Blinding).Wipe()
}
