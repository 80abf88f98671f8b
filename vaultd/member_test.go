package vaultd_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"keepsake.example/vaultd"
)

// A card is read in one form, and says whose keys they are.
func TestCard(t *testing.T) {
	k := must(vaultd.NewKeys())
	c := k.Card("frankfurt-1", "frankfurt", "vault1.example.org:7445")
	text := c.Text()
	back, err := vaultd.ParseCard(text)
	if err != nil || back.Text() != text || back.Identity != c.Identity || !bytes.Equal(back.Sealing, c.Sealing) {
		t.Fatalf("%+v, %v", back, err)
	}
	if m := back.Member(7); m.Number != 7 || !m.Learner || m.Name != "frankfurt-1" || m.DataCenter != "frankfurt" || m.Address != "vault1.example.org:7445" {
		t.Errorf("member %+v", m)
	}
	for n := range text {
		if _, err := vaultd.ParseCard(text[:n]); err == nil {
			t.Errorf("%d bytes of a card", n)
		}
	}
	for name, spoiled := range map[string]string{
		"a line more": text + "\n", "a byte before": " " + text, "another title": strings.Replace(text, "v1", "v2", 1),
		"identity in capitals": strings.Replace(text, fmt.Sprintf("%x", c.Identity), fmt.Sprintf("%X", c.Identity), 1),
		"a short identity":     strings.Replace(text, fmt.Sprintf("%x", c.Identity), fmt.Sprintf("%x", c.Identity[:31]), 1),
		"a short sealing key":  vaultd.Card{Name: "a", DataCenter: "b", Address: "c:1", Sealing: c.Sealing[:1215]}.Text(),
		"no sealing key":       vaultd.Card{Name: "a", DataCenter: "b", Address: "c:1"}.Text(),
		"too long":             vaultd.Card{Name: strings.Repeat("a", 4096), DataCenter: "b", Address: "c:1", Sealing: c.Sealing}.Text(),
	} {
		if _, err := vaultd.ParseCard(spoiled); err == nil {
			t.Errorf("a card with %s", name)
		}
	}
}

// What is read is what would be written.
func FuzzParseCard(f *testing.F) {
	f.Add(must(vaultd.NewKeys()).Card("a", "b", "c:1").Text())
	f.Add("keepsake member card v1\nname a\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := vaultd.ParseCard(text); err == nil && c.Text() != text {
			t.Errorf("%q is read as %q", text, c.Text())
		}
	})
}

// The keys' file is read in one form; the keys print as one word.
func TestMemberKeys(t *testing.T) {
	k := must(vaultd.NewKeys())
	file := k.Encode()
	back, err := vaultd.DecodeKeys(file)
	if err != nil || back.Card("a", "b", "c").Text() != k.Card("a", "b", "c").Text() || !bytes.Equal(back.Encode(), file) {
		t.Fatalf("read back: %v", err)
	}
	for n := range len(file) - 1 {
		if _, err := vaultd.DecodeKeys(file[:n]); err == nil {
			t.Errorf("%d bytes of a file of keys", n)
		}
	}
	for _, bad := range [][]byte{nil, bytes.Replace(file, []byte("MEMBER"), []byte("OTHER!"), 2), append(bytes.Clone(file), 'x'), bytes.Replace(file, []byte("\n"), []byte("\nkind: x\n\n"), 1)} {
		if _, err := vaultd.DecodeKeys(bad); err == nil {
			t.Errorf("read %.60q", bad)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "keys", k)
	text := fmt.Sprintf("%v %+v %#v %s %x %d %q", k, k, k, k, k, k, k) + string(must(json.Marshal(k))) + log.String() + k.String() + k.GoString()
	if n := strings.Count(text, "vaultd(redacted)"); n != 11 {
		t.Errorf("printed %d times as the word: %s", n, text)
	}
	k.Wipe()
	if bytes.Equal(k.Encode(), file) {
		t.Error("the keys are there after Wipe")
	}
}
