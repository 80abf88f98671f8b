package vaultapi_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/vaultapi"
)

const word = "vaultapi(redacted)"

// forms are the ways in which secret bytes show up in text.
func forms(secret []byte) (all []string) {
	for _, part := range [][]byte{secret[:4], secret[len(secret)-4:]} {
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), list, strings.ReplaceAll(list, " ", ","), hex.EncodeToString(part), fmt.Sprintf("% x", part), fmt.Sprintf("%#v", part)[7:])
	}
	return all
}

// k and the token print as one word, also inside other types, in JSON and in slog.
func TestRedacted(t *testing.T) {
	k := [32]byte(unhex("fe3db7acefd98bea9dfcebf7adbef8ced6bfcfa9be7dfbade9cbfaf4dcb8a7ef"))
	p := proposal()
	p.Key = vaultapi.NewSecret(&k)
	r := requestOf(p, true)
	r.Token = "eyJsecret.token.value"
	type outer struct {
		K  vaultapi.Secret
		P  *vaultapi.ProposeBody
		B  any
		k  vaultapi.Secret
		p  vaultapi.ProposeBody
		pp []*vaultapi.ProposeBody
	}
	inside := outer{p.Key, p, p, p.Key, *p, []*vaultapi.ProposeBody{p}}
	hidden := append(forms(k[:]), r.Token)
	for _, v := range []any{p.Key, &p.Key, p, *p, inside, &inside, r, *r, []any{r, *r, p}, struct{ R vaultapi.Request }{*r}, vaultapi.Body(p)} {
		var text bytes.Buffer
		verbs := "%v %+v %#v %s %q %x %X %d"
		if text := fmt.Sprintf("%T", v); !strings.Contains(text, "Request") && !strings.HasPrefix(text, "[]") {
			verbs += " %p" // which asks no type, and a token is a plain string
		}
		for _, verb := range strings.Fields(verbs) {
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
		fmt.Sprint(p.Key), fmt.Sprintf("%#x", *r), p.Key.String(), r.GoString(), p.Key.GoString(), r.String(), p.Key.LogValue().String(),
		r.LogValue().String(), strings.Trim(string(must(json.Marshal(p.Key))), `"`), strings.Trim(string(must(json.Marshal(r))), `"`),
	} {
		if got != word {
			t.Errorf("printed as %q", got)
		}
	}
}

// Wiping overwrites the memory; what was wiped cannot be used, in any copy.
func TestWipe(t *testing.T) {
	s := secretOf(1)
	copied, held := s, s.Held()
	s.Wipe()
	s.Wipe()
	vaultapi.Secret{}.Wipe()
	if *held != [32]byte{} {
		t.Error("not wiped")
	}
	if s.Equal(copied) {
		t.Error("equal after being wiped")
	}
	mustPanic(t, "Use", func() { s.Use(func(*[32]byte) {}) })
	mustPanic(t, "Use of a copy", func() { copied.Use(func(*[32]byte) {}) })
	mustPanic(t, "Use of nothing", func() { vaultapi.Secret{}.Use(func(*[32]byte) {}) })
}

func TestSecret(t *testing.T) {
	k := fill32(1)
	s := vaultapi.NewSecret(&k)
	k[0] = 9
	s.Use(func(got *[32]byte) {
		if *got != fill32(1) {
			t.Errorf("holds %x", *got)
		}
	})
	if !s.Equal(secretOf(1)) || s.Equal(secretOf(2)) || s.Equal(vaultapi.Secret{}) || (vaultapi.Secret{}).Equal(vaultapi.Secret{}) {
		t.Error("equality is not that of the bytes")
	}
}
