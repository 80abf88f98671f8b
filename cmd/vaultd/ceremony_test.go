package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keepsake.example/ceremony"
	"keepsake.example/internal/command"
)

// person reads what is shown and types the last four digits of the newest digest; at
// the step wrong, other ones.
type person struct {
	shown *bytes.Buffer
	wrong int
	steps int
	typed []byte
}

var aloud = regexp.MustCompile(`(?m)^(?:[0-9a-f]{4} ){3}([0-9a-f]{4})$`)

func (p *person) Read(b []byte) (int, error) {
	if len(p.typed) == 0 {
		groups := aloud.FindAllStringSubmatch(p.shown.String(), -1)
		p.steps++
		p.typed = []byte(groups[len(groups)-1][1] + "\n")
		if p.steps == p.wrong {
			p.typed = []byte("no\n")
		}
	}
	n := copy(b, p.typed[:1])
	p.typed = p.typed[n:]
	return n, nil
}

// play runs a ceremony of three operators, with a person who compares, and returns
// the exit code and what was shown.
func play(t *testing.T, dir string, wrong int, more ...string) (code int, shown string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{Output: command.Output{Out: &out, Err: &errs}, in: &person{shown: &errs, wrong: wrong}}
	args := []string{
		"ceremony", dir, "--insecure-any-relay", "--issuer", "https://id.example.org", "--jwks", jwks(t),
		"--name", "a", "--data-center", "ams", "--advertise", "127.0.0.1:7445", "--quorum", "2", "--note", "room 3",
	}
	if !slices.Contains(more, "--anchor") {
		args = append(args, "--insecure-software-anchor")
	}
	for i, name := range []string{"alice", "bob", "carol"} {
		args = append(args, "--operator", name+"="+strings.Repeat(string(rune(49+i)), 64))
	}
	code = a.run(t.Context(), append(args, more...))
	return code, errs.String() + out.String()
}

// Every step waits for somebody to compare, and what was agreed is in the transcript.
func TestCeremonyStepByStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	code, shown := play(t, dir, 0)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, shown)
	}
	file, err := os.ReadFile(filepath.Join(dir, "transcript"))
	if err != nil {
		t.Fatal(err)
	}
	_, c, err := ceremony.ParseSigned(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Rehearsal || len(c.Steps) != 5 || len(c.Facts("operator")) != 3 {
		t.Errorf("the transcript:\n%s", c.Text())
	}
	if digest := c.Digest(); !strings.Contains(shown, ceremony.Aloud(digest)) {
		t.Error("the last digest was not shown")
	}
	if note, _ := c.Fact("note"); note != "room 3" {
		t.Errorf("note %q", note)
	}
	if id, _ := c.Fact("fleet"); !strings.Contains(shown, id) {
		t.Error("the fleet id was not shown")
	}
}

// Who does not agree ends the ceremony, at any step, and nothing of it is left.
func TestCeremonyBrokenOff(t *testing.T) {
	for step := 1; step <= 5; step++ {
		dir := filepath.Join(t.TempDir(), "fleet")
		code, shown := play(t, dir, step)
		if code != command.Failed.Code || !strings.Contains(shown, "not confirmed") {
			t.Errorf("step %d: exit %d\n%s", step, code, shown)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
			t.Errorf("step %d: left %v, %v", step, entries, err)
		}
	}
}

// A rehearsal leaves its transcript, which says so, and nothing else.
func TestCeremonyRehearsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rehearsal")
	if code, shown := play(t, dir, 0, "--rehearse"); code != 0 {
		t.Fatalf("exit %d\n%s", code, shown)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("left %v, %v", entries, err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "transcript"))
	if err != nil {
		t.Fatal(err)
	}
	if _, c, err := ceremony.ParseSigned(file); err != nil || !c.Rehearsal {
		t.Errorf("%v\n%s", err, file)
	}
}

// A rehearsal plays on a device of the kind that is meant, which is gone after it, as is
// what it left on the disk; and it has the fleet key in the bundle.
func TestCeremonyRehearsedOnDevices(t *testing.T) {
	for _, kind := range []string{"tpm", "pkcs11"} {
		dir := filepath.Join(t.TempDir(), "r")
		code, shown := play(t, dir, 0, "--rehearse", "--anchor", kind, "--fleet-key")
		if code != 0 {
			t.Fatalf("%s: exit %d\n%s", kind, code, shown)
		}
		_, c, err := ceremony.ParseSigned(must(os.ReadFile(filepath.Join(dir, "transcript"))))
		if err != nil {
			t.Fatal(err)
		}
		if device, _ := c.Fact("device"); device != kind || len(c.Steps) != 6 {
			t.Errorf("%s: the transcript:\n%s", kind, c.Text())
		}
		if key, _ := c.Fact("fleet-key"); len(key) != 66 {
			t.Errorf("%s: fleet key %q", kind, key)
		}
		if own, _ := c.Fact("sealing"); !strings.HasPrefix(own, "1249 bytes") {
			t.Errorf("%s: a sealing key that is not the device's: %s", kind, own)
		}
		if entries := must(os.ReadDir(dir)); len(entries) != 1 {
			t.Errorf("%s: left %v", kind, entries)
		}
	}
}

// A transcript counts when a quorum of those it names has signed it, and for the fleet it names.
func TestTranscriptSignedByQuorum(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	args := []string{
		"ceremony", in("fleet"), "--insecure-software-anchor", "--insecure-any-relay", "--issuer", "https://id.example.org", "--jwks", jwks(t),
		"--name", "a", "--data-center", "ams", "--advertise", "127.0.0.1:7445", "--quorum", "2", "--yes",
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		r := vault(t, "operator", "keygen", name, "--out", in(name)).wants(t, command.Done)
		args = append(args, "--operator", strings.TrimSpace(r.out))
	}
	vault(t, "operator", "keygen", "mallory", "--out", in("mallory")).wants(t, command.Done)
	vault(t, args...).wants(t, command.Done, "transcript sign")
	text := in("fleet/transcript")
	typing(t, "0000\n", "transcript", "sign", text, "--key", in("alice"), "--out", in("t.alice")).wants(t, command.Failed, "not confirmed")
	for _, name := range []string{"alice", "bob", "mallory"} {
		vault(t, "transcript", "sign", text, "--key", in(name), "--out", in("t."+name), "--yes").wants(t, command.Done)
	}
	bundle := in("fleet/bundle")
	vault(t, "transcript", "verify", in("t.alice"), in("t.mallory"), "--bundle", bundle).wants(t, exitRefused, "signed by 1, and 2 must", "bob")
	vault(t, "transcript", "verify", in("t.alice"), in("t.bob"), "--bundle", bundle, "--out", in("all")).wants(t, command.Done, "alice, bob", "carol")
	vault(t, "transcript", "verify", in("all")).wants(t, command.Done)

	// Another fleet's bundle, another transcript, an edited one.
	other, _ := founded(t)
	vault(t, "transcript", "verify", in("all"), "--bundle", filepath.Join(other, "bundle")).wants(t, exitRefused, "not a bundle of the fleet")
	if code, shown := play(t, in("reh"), 0, "--rehearse"); code != 0 {
		t.Fatal(shown)
	}
	vault(t, "transcript", "verify", in("all"), in("reh/transcript")).wants(t, exitRefused, "another transcript")
	vault(t, "transcript", "verify", in("reh/transcript")).wants(t, exitRefused, "signed by 0")
	edited := bytes.Replace(must(os.ReadFile(in("all"))), []byte("attempts 10"), []byte("attempts 9"), 1)
	if err := os.WriteFile(in("edited"), edited, 0o644); err != nil {
		t.Fatal(err)
	}
	vault(t, "transcript", "verify", in("edited")).wants(t, exitFile, "changed since")
}
