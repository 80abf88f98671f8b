package hidden_test

import (
	"bytes"
	"encoding"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/internal/hidden"
)

type owner struct{}

func (owner) Owner() string { return "test" }

type secret[T any] = hidden.Of[T, owner]

// A key is a type of a package that has secrets; a request has fields that anybody may read, and that are not printed.
type (
	key     struct{ secret[[]byte] }
	request struct {
		hidden.Text[owner]
		Token string
	}
)

const phrase = "correct horse battery"

func newKey() (*key, *[]byte) {
	s, to := hidden.New[[]byte, owner]()
	*to = []byte(phrase)
	return &key{s}, to
}

// printed is a value in every form that the standard library has for it.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d % x %#x %10.3v") {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	fmt.Fprintln(&b, v, fmt.Errorf("failed: %w", fmt.Errorf("%v", v)))
	text, err := json.Marshal(v)
	if err != nil {
		t.Error(err)
	}
	b.Write(text)
	_, _ = xml.NewEncoder(&b).Encode(v), gob.NewEncoder(&b).Encode(v) // which cannot take all of them
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("m", "v", v)
	}
	return b.String()
}

func TestNothingIsPrinted(t *testing.T) {
	k, _ := newKey()
	r := request{Token: phrase}
	type outer struct {
		K  key
		P  *key
		R  any
		k  key
		p  *key
		kk []*key
		m  map[string]key
	}
	inside := outer{*k, k, r, *k, k, []*key{k}, map[string]key{"a": *k}}
	list := strings.Trim(fmt.Sprint([]byte(phrase)), "[]")
	forms := []string{phrase, hex.EncodeToString([]byte(phrase)), strings.ToUpper(hex.EncodeToString([]byte(phrase))), fmt.Sprintf("% x", phrase), list, strings.ReplaceAll(list, " ", ", ")}
	for _, v := range []any{k, *k, r, &r, inside, &inside, []any{k, r}, map[string]any{"a": *k, "b": r}} {
		text := printed(t, v)
		for _, form := range forms {
			if strings.Contains(text, form) {
				t.Errorf("%T shows %q: %s", v, form, text)
			}
		}
	}
}

// A zero secret and a wiped one print as the same word.
func TestWord(t *testing.T) {
	k, _ := newKey()
	w, _ := newKey()
	w.Wipe()
	for _, v := range []any{k, *k, w, key{}, request{}, &request{Token: phrase}} {
		text, err := v.(encoding.TextMarshaler).MarshalText()
		object, err2 := json.Marshal(v)
		for _, got := range []string{
			fmt.Sprint(v), fmt.Sprintf("%#v", v), fmt.Sprintf("%x", v), string(text), strings.Trim(string(object), `"`),
			v.(fmt.Stringer).String(), v.(fmt.GoStringer).GoString(), v.(slog.LogValuer).LogValue().String(),
		} {
			if got != "test(redacted)" || err != nil || err2 != nil {
				t.Errorf("%T prints as %q, %v, %v", v, got, err, err2)
			}
		}
	}
}

// Copies share what one Wipe wipes; what was wiped, or never made, cannot be opened.
func TestWipe(t *testing.T) {
	s, place := hidden.New[[4]byte, owner]()
	*place = [4]byte{1, 2, 3, 4}
	copied := s
	if *hidden.Open(copied) != *place || !hidden.Holds(copied) {
		t.Error("a copy holds something else")
	}
	s.Wipe()
	s.Wipe()
	if *place != [4]byte{} {
		t.Error("not wiped")
	}
	var zero secret[[4]byte]
	zero.Wipe()
	for name, s := range map[string]secret[[4]byte]{"wiped": s, "copy of a wiped": copied, "zero": zero} {
		if hidden.Holds(s) {
			t.Errorf("%s: holds something", name)
		}
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); said != "test: internal error: use of a zero or wiped secret" {
					t.Errorf("%s: %s", name, said)
				}
			}()
			hidden.Open(s)
		}()
	}
}
