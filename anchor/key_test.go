package anchor_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"keepsake.example/anchor"
)

func TestKeyPrintsNothing(t *testing.T) {
	k, err := anchor.NewKey(strings.NewReader(strings.Repeat("secret--", 4)))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		K *anchor.Key
		k *anchor.Key
		v anchor.Key
	}
	var out bytes.Buffer
	for _, v := range []any{k, *k, holder{k, k, *k}, &holder{k, k, *k}, []*anchor.Key{k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
			fmt.Fprintf(&out, verb, v)
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "key", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "key", v)
	}
	for _, secret := range []string{"secret--", fmt.Sprintf("%x", "secret--"), fmt.Sprintf("%X", "secret--"), "115 101 99"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("printed: %.200q", out.String())
		}
	}
}

func TestKeyWipe(t *testing.T) {
	k, err := anchor.NewKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := *k
	var inside *[anchor.KeySize]byte
	k.Use(func(secret *[anchor.KeySize]byte) { inside = secret })
	if *inside == ([anchor.KeySize]byte{}) || !k.Equal(&other) {
		t.Fatal("no key")
	}
	k.Wipe()
	k.Wipe()
	if *inside != ([anchor.KeySize]byte{}) || k.Equal(&other) {
		t.Error("still there")
	}
	var nothing *anchor.Key
	nothing.Wipe()
	for _, bad := range []*anchor.Key{k, &other, {}, nil} {
		if bad.Equal(bad) {
			t.Error("no key equals itself")
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a key that is none was used")
				}
			}()
			bad.Use(func(*[anchor.KeySize]byte) {})
		}()
	}
}

func TestKeyEqual(t *testing.T) {
	a, b := anchor.KeyFromBytes([32]byte{1}), anchor.KeyFromBytes([32]byte{2})
	if a.Equal(b) || !a.Equal(anchor.KeyFromBytes([32]byte{1})) {
		t.Error("Equal is wrong")
	}
}

func TestNewKeyFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := anchor.NewKey(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := anchor.NewKey(strings.NewReader("short")); err == nil {
		t.Error("a key of five bytes")
	}
}
