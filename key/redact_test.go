package key_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/key"
)

// forms are the ways in which 32 secret bytes show up in text.
func forms(t *testing.T, k *key.Key) []string {
	t.Helper()
	b := bytesOf(k)
	nibbles := make([]byte, 0, 64)
	for _, c := range hex.EncodeToString(b[:]) {
		nibbles = append(nibbles, byte(strings.IndexRune("0123456789abcdef", c)))
	}
	all := strings.Fields(k.Digits()) // the groups
	for _, part := range [][]byte{b[:4], b[28:], nibbles[:8], nibbles[56:]} {
		list := strings.Trim(fmt.Sprint(part), "[]")
		all = append(all, string(part), list, strings.ReplaceAll(list, " ", ","), strings.ReplaceAll(list, " ", ", "),
			hex.EncodeToString(part), fmt.Sprintf("% x", part), fmt.Sprintf("%#v", part)[7:])
	}
	return all
}

// secretKey has no group that an address or a number could hold by chance.
func secretKey(t *testing.T) *key.Key {
	t.Helper()
	k, err := key.Parse([]byte("fe3d b7ac efd9 8bea 9dfc ebf7 adbe f8ce d6bf cfa9 be7d fbad e9cb faf4 dcb8 a7ef"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustHide(t *testing.T, where, text string, k *key.Key) {
	t.Helper()
	for _, form := range forms(t, k) {
		if strings.Contains(strings.ToLower(text), form) {
			t.Errorf("%s shows %q: %s", where, form, text)
		}
	}
}

func TestRedactedFormats(t *testing.T) {
	k := secretKey(t)
	d, err := key.ParseDigits([]byte(k.Digits()))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		v    any
		want string
	}{
		{k, "key.Key(redacted)"}, {*k, "key.Key(redacted)"},
		{d, "key.Digits(redacted)"}, {&d, "key.Digits(redacted)"},
	} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %#x %d %o %b %c %U %t %e %8.3v %-20s %z") {
			if got := fmt.Sprintf(verb, c.v); got != c.want {
				t.Errorf("%s of %T: %s", verb, c.v, got)
			}
		}
		mustHide(t, "%p", fmt.Sprintf("%p", c.v), k)
	}
	mustHide(t, "String", k.String()+k.GoString()+d.String()+d.GoString(), k)
}

// fmt, encoders and loggers look into structures; unexported fields hide our
// methods from them.
func TestRedactedInside(t *testing.T) {
	k := secretKey(t)
	d, err := key.ParseDigits([]byte(k.Digits()))
	if err != nil {
		t.Fatal(err)
	}
	type inner struct {
		k key.Key
		p *key.Key
		d key.Digits
		m map[string]*key.Key
		s []key.Key
	}
	type outer struct {
		K key.Key
		P *key.Key
		D key.Digits
		A any
		I inner
		u *inner
	}
	i := inner{*k, k, d, map[string]*key.Key{"a": k}, []key.Key{*k}}
	for _, v := range []any{i, &i, outer{*k, k, d, d, i, &i}, &outer{*k, k, d, k, i, &i}, []any{k, d, *k}, map[string]any{"k": *k}} {
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d") {
			mustHide(t, verb, fmt.Sprintf(verb, v), k)
		}
		mustHide(t, "json", encoded(t, v), k)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "v", v)
		mustHide(t, "slog", log.String(), k)
		mustHide(t, "error", fmt.Errorf("wrapping %v: %w", v, errors.New("x")).Error(), k)
	}
	var out bytes.Buffer
	xmlErr := xml.NewEncoder(&out).Encode(outer{K: *k, P: k, D: d})
	gobErr := gob.NewEncoder(&out).Encode(outer{K: *k, P: k, D: d})
	mustHide(t, "xml, gob", fmt.Sprint(out.String(), xmlErr, gobErr), k)
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRedactedWords(t *testing.T) {
	k := secretKey(t)
	d, err := key.ParseDigits([]byte("12"))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "k", k, "v", *k, "d", d)
	for _, c := range []struct{ got, want string }{
		{encoded(t, k), `"key.Key(redacted)"`},
		{encoded(t, *k), `"key.Key(redacted)"`},
		{encoded(t, d), `"key.Digits(redacted)"`},
		{log.String()[strings.Index(log.String(), "k="):], "k=key.Key(redacted) v=key.Key(redacted) d=key.Digits(redacted)\n"},
		{k.LogValue().String() + d.LogValue().String(), "key.Key(redacted)key.Digits(redacted)"},
		{(&key.Key{}).String(), "key.Key(redacted)"},
		{fmt.Sprint((*key.Key)(nil)), "<nil>"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// A slip is for the person who typed; a log line gets its kind.
func TestSlipInLog(t *testing.T) {
	k := secretKey(t)
	typed := []byte(k.Digits())
	typed[0] = '0'
	s := mustFind(t, typed, k)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "slip", s)
	if !strings.HasSuffix(log.String(), ` slip="wrong digit"`+"\n") {
		t.Errorf("logged as %s", log.String())
	}
	for _, verb := range strings.Fields("%v %+v %#v %s") {
		mustHide(t, verb, fmt.Sprintf(verb, s)+fmt.Sprintf(verb, *s), k)
	}
}
