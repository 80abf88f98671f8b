package password_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/password"
)

const word = "password(redacted)"

// Secrets print as one word, also inside other types, in JSON and in slog.
func TestRedacted(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	seed := password.SeedFromBytes(fill(0x77))
	v := must(password.NewVerifier(&reader{}, p, cheap))
	q := ask(2, p, home)
	type outer struct {
		P *password.Password
		p password.Password
		s []*password.Seed
		u *password.UnlockKey
		V any
		q *password.Question
	}
	inside := outer{p, *p, []*password.Seed{seed}, reg.Unlock, v, q}
	var text bytes.Buffer
	for _, value := range []any{p, *p, seed, reg, reg.Unlock, *reg.Unlock, v, *v, q, *q, inside, &inside} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d") {
			fmt.Fprintf(&text, verb+"\n", value)
		}
		text.Write(must(json.Marshal(value)))
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", value)
	}
	enc := v.Encode()
	for _, hidden := range []string{
		"blue", hex.EncodeToString([]byte("blue")), "98 108 117 101", "119 119 119 119", "77777777", "0x77, 0x77",
		hex.EncodeToString(enc[len(enc)-4:]), strings.Trim(fmt.Sprint(enc[len(enc)-4:]), "[]"),
	} {
		if strings.Contains(text.String(), hidden) {
			t.Errorf("shows %q: %s", hidden, text.String())
		}
	}
	for _, got := range []string{fmt.Sprint(p), fmt.Sprintf("%#x", *seed), p.String(), v.GoString(), seed.LogValue().String(), strings.Trim(string(must(json.Marshal(v))), `"`)} {
		if got != word {
			t.Errorf("printed as %q", got)
		}
	}
}

// What was wiped cannot be used, in any copy, and its memory is zeros.
func TestWipe(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	q := ask(2, p, home)
	r := must(q.Open(honest(reg, q)))
	seed := password.SeedFromBytes(fill(1))
	v := must(password.NewVerifier(&reader{}, p, cheap))
	var memory []byte
	p.Use(func(b []byte) { memory = b })
	copied := *p
	for range 2 {
		p.Wipe()
		reg.Wipe()
		r.Wipe()
		q.Wipe()
		seed.Wipe()
		v.Wipe()
	}
	(*password.Password)(nil).Wipe()
	if !bytes.Equal(memory, make([]byte, len(memory))) || len(memory) == 0 {
		t.Errorf("the password is still there: %q", memory)
	}
	if copied.Equal(&copied) || p.Equal(prepare("x")) || p.Equal(nil) {
		t.Error("a wiped password equals something")
	}
	for name, f := range map[string]func(){
		"password": func() { copied.Use(func([]byte) {}) },
		"ask":      func() { password.Ask(password.SeedFromBytes(fill(1)), p, home) },
		"unlock":   func() { r.Unlock.Public() },
		"seed":     func() { seed.Use(func(*[32]byte) {}) },
		"verifier": func() { v.Encode() },
		"question": func() { q.Body() },
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.Contains(text, "internal error: use of a zero or wiped secret") {
					t.Errorf("%s: recovered %q", name, text)
				}
			}()
			f()
		}()
	}
}
