//go:build cgo

package softhsm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/pkcs11/softhsm"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	t.Setenv("SOFTHSM2_CONF", "") // put back afterwards
	dir := filepath.Join(t.TempDir(), "new")
	s, err := softhsm.New(dir)
	check(t, err)
	opts, err := s.Token(t.Context(), "a token, of 32 bytes at the most")
	check(t, err)
	if _, err := s.Token(t.Context(), opts.Token); err == nil {
		t.Error("two tokens of one name")
	}
	check(t, pkcs11.Prepare(t.Context(), opts, s.Custodian()))

	again, err := softhsm.New(dir)
	check(t, err)
	if again.Options(opts.Token) != opts || again.Environment() != s.Environment() {
		t.Error("the same folder is another store the second time")
	}
	d, err := pkcs11.Open(t.Context(), again.Options(opts.Token))
	check(t, err)
	check(t, d.Close())
	if value, ok := strings.CutPrefix(s.Environment(), "SOFTHSM2_CONF="); !ok || value != os.Getenv("SOFTHSM2_CONF") {
		t.Errorf("children are given %q", s.Environment())
	}
	for path, want := range map[string]os.FileMode{s.CustodianFile(): 0o600, opts.PINFile: 0o600, filepath.Join(dir, "tokens"): 0o700 | os.ModeDir} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode(), want, err)
		}
	}
}

// A store for other processes: this one's stays as it is.
func TestNewForChildren(t *testing.T) {
	t.Setenv("SOFTHSM2_CONF", "of this process")
	s, err := softhsm.NewForChildren(t.TempDir())
	check(t, err)
	opts, err := s.Token(t.Context(), "token")
	check(t, err)
	if _, err := s.Token(t.Context(), "token"); err == nil {
		t.Error("two tokens of one name")
	}
	if os.Getenv("SOFTHSM2_CONF") != "of this process" {
		t.Error("it is used in this process")
	}
	_, value, _ := strings.Cut(s.Environment(), "=")
	t.Setenv("SOFTHSM2_CONF", value) // as the child has it
	check(t, pkcs11.Prepare(t.Context(), opts, s.Custodian()))
}

func TestNewFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	if _, err := softhsm.New(file); err == nil {
		t.Error("a store in a file")
	}
}
