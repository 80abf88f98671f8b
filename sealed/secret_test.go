package sealed_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/sealed"
)

const word = "sealed(redacted)"

// forms are the ways in which secret bytes show up in text.
func forms(secret []byte) (all []string) {
	for _, part := range [][]byte{secret[:4], secret[len(secret)-4:]} {
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), list, strings.ReplaceAll(list, " ", ","), hex.EncodeToString(part), fmt.Sprintf("% x", part), fmt.Sprintf("%#v", part)[7:])
	}
	return all
}

// Secrets print as one word, also inside other types, in JSON and in slog.
func TestRedacted(t *testing.T) {
	k := must(sealed.ParsePrivateKey(testFleet, unhex("fe3db7acefd98bea9dfcebf7adbef8ced6bfcfa9be7dfbade9cbfaf4dcb8a7ef")))
	x := begin(t, k, nil)
	seed := seedOf(k)
	hidden := append(forms(seed[:]), forms(x.pending.Exported())...)
	type outer struct {
		K  sealed.PrivateKey
		P  *sealed.Pending
		A  any
		k  sealed.PrivateKey
		p  *sealed.Pending
		aa []*sealed.Answerer
	}
	inside := outer{*k, x.pending, x.answerer, *k, x.pending, []*sealed.Answerer{x.answerer}}
	for _, v := range []any{k, *k, x.pending, *x.pending, x.answerer, *x.answerer, inside, &inside, []any{k, x.pending, x.answerer}} {
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
	for _, got := range []string{
		fmt.Sprint(k), fmt.Sprintf("%#x", *x.pending), k.String(), x.answerer.GoString(), x.pending.LogValue().String(), strings.Trim(string(must(json.Marshal(k))), `"`),
	} {
		if got != word {
			t.Errorf("printed as %q", got)
		}
	}
}

// Wiping overwrites the memory; what was wiped cannot be used, in any copy.
func TestWipe(t *testing.T) {
	k := keyOf(1)
	x := begin(t, k, nil)
	answer := must(x.answerer.Seal(nil))
	copied, seed, a, p := *k, k.Held(), x.answerer.Exported(), x.pending.Exported()
	for range 2 {
		k.Wipe()
		x.answerer.Wipe()
		x.pending.Wipe()
	}
	(&sealed.PrivateKey{}).Wipe()
	(&sealed.Pending{}).Wipe()
	(&sealed.Answerer{}).Wipe()
	for _, held := range [][]byte{seed, a, p} {
		if !bytes.Equal(held, make([]byte, 32)) {
			t.Error("not wiped")
		}
	}
	if k.Equal(&copied) {
		t.Error("equal after being wiped")
	}
	mustPanic(t, "PrivateKey.Use", func() { k.Use(func(*[32]byte) {}) })
	mustPanic(t, "Open of a copy", func() { copied.Open(x.request) })
	mustPanic(t, "Public", func() { (&sealed.PrivateKey{}).Public() })
	mustPanic(t, "Answerer.Seal", func() { x.answerer.Seal(nil) })
	mustPanic(t, "Pending.Open", func() { x.pending.Open(answer) })
}
