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

// What a person pastes, and types behind "login", is read or refused.
func FuzzTyped(f *testing.F) {
	for _, text := range []string{"gdrive", "sftp://a@[::1]:2", "s3+https://h/b", "http://127.0.0.1:53682/?state=a&code=b", `{"access_token":"a"}`, "eyJ0b2tlbiI6IntcImFcIjpcImFcIn0ifQ", ":", "@"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if q, ok := account.AnswerIn(text); ok && (q.Get("state") == "" && !q.Has("state") || !q.Has("code") && !q.Has("error")) {
			t.Errorf("%q is an answer: %v", text, q)
		}
		account.IsBlob(text)
		d, err := account.ParseLogin(text)
		if err != nil {
			return
		}
		again, err := account.ParseLogin(d.Login())
		if _, known := account.ProviderOf(d.Kind); !known || err != nil || again.Login() != d.Login() {
			t.Errorf("%q is %q, which is %q, %v", text, d.Login(), again.Login(), err)
		}
	})
}
