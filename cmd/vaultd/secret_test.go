package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/internal/command"
)

// whispers is a command whose person types text.
func whispers(text string) (*app, *bytes.Buffer) {
	var errs bytes.Buffer
	return &app{Output: command.Output{Out: &errs, Err: &errs}, in: strings.NewReader(text)}, &errs
}

func TestSecretFromAPerson(t *testing.T) {
	a, shown := whispers("blue sofa\nblue sofa\n")
	s, err := a.secret("the secret", "", true)
	if err != nil {
		t.Fatal(err)
	}
	s.Use(func(b []byte) {
		if string(b) != "blue sofa" {
			t.Errorf("read %q", b)
		}
	})
	if strings.Contains(shown.String(), "blue") || strings.Count(shown.String(), "the secret") != 2 {
		t.Errorf("shown: %q", shown)
	}
	for name, typed := range map[string]string{
		"nothing": "\n", "the end": "", "two different ones": "blue sofa\ngreen sofa\n", "a long one": strings.Repeat("x", 33) + "\n" + strings.Repeat("x", 33) + "\n",
	} {
		a, _ := whispers(typed)
		if _, err := a.secret("the secret", "", true); err == nil {
			t.Errorf("took %s", name)
		}
	}
	if _, err := (&app{}).secret("the secret", "", false); err == nil {
		t.Error("asked nobody")
	}
}

func TestSecretFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for text, want := range map[string]string{"blue sofa": "blue sofa", "blue sofa\n": "blue sofa", " \n": " ", "": "", strings.Repeat("x", 33): "", strings.Repeat("x", 200): ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := (&app{}).secret("the secret", file, true)
		if (err == nil) != (want != "") {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			s.Use(func(b []byte) {
				if string(b) != want {
					t.Errorf("%q was read as %q", text, b)
				}
			})
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := (&app{}).secret("the secret", file, false); err == nil || !strings.Contains(err.Error(), "can be read by others") {
		t.Errorf("a file for all to read: %v", err)
	}
}

// Who swaps a request gets the fleet's key, and finds one whose digest begins with eight given digits in an hour. So
// what a person types is the end, and is not told what it is where it is typed.
func TestWrapAsksForTheEndOfTheDigest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "request")
	if err := os.WriteFile(file, []byte("a request"), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := custodyDigest([]byte("a request"))
	for _, typed := range []string{digest[:8], digest[:16], digest[56:], digest} {
		a, shown := whispers(typed + "\n")
		err := a.wrap(t.Context(), &options{args: []string{file}, out: file + ".out"})
		if err == nil || !strings.Contains(err.Error(), "not confirmed") || strings.Count(shown.String(), digest[48:]) != 1 {
			t.Errorf("typed %s: %v\n%s", typed, err, shown)
		}
	}
	a, shown := whispers(digest[48:] + "\n")
	if err := a.wrap(t.Context(), &options{args: []string{file}, out: file + ".out"}); err == nil || !strings.Contains(shown.String(), custodianSecret) {
		t.Errorf("the right digits: %v\n%s", err, shown)
	}
}
