package account_test

import (
	"bytes"
	"errors"
	"testing"

	"keepsake.example/cloud/rclone/account"
)

// texts are files as they are written.
func texts(t testing.TB) (all [][]byte) {
	for _, kept := range []string{account.InFile, account.InKeyring} {
		dir := t.TempDir()
		imported(t, account.Open(dir, newRing()), "gdrive@work", kept, map[string]string{"token": `{"access_token":"a<>&"}`, "scope": "drive.file"})
		_, text := textOf(t, dir)
		all = append(all, text)
	}
	return all
}

// Every truncation and every change of a byte is noticed.
func TestMangledFiles(t *testing.T) {
	for _, text := range texts(t) {
		if err := account.Decode(text); err != nil {
			t.Fatal(err)
		}
		for n := range text {
			if err := account.Decode(text[:n]); !errors.Is(err, account.ErrDamaged) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			changed := bytes.Clone(text)
			for _, by := range []byte{1, 0x20, 0x80} {
				changed[n] = text[n] ^ by
				if err := account.Decode(changed); !errors.Is(err, account.ErrDamaged) {
					t.Fatalf("byte %d is %q: %v", n, changed[n], err)
				}
			}
		}
		if err := account.Decode(append(bytes.Clone(text), ' ')); !errors.Is(err, account.ErrDamaged) {
			t.Error(err)
		}
	}
	if err := account.Decode(make([]byte, account.MaxFile+1)); !errors.Is(err, account.ErrDamaged) {
		t.Error(err)
	}
}

// What is read is what would be written.
func FuzzFile(f *testing.F) {
	for _, text := range texts(f) {
		f.Add(text)
	}
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		again, err := account.Again(text)
		if err == nil && !bytes.Equal(again, text) {
			t.Errorf("%q is written as %q", text, again)
		}
		if err != nil && !errors.Is(err, account.ErrDamaged) {
			t.Error(err)
		}
	})
}
