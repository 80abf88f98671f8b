//go:build !windows

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/cloud/rclone/fakeicloud"
)

const (
	appleID       = "ada@example.org"
	applePassword = "Pass word-1"
)

func newICloud(t *testing.T) (*fakeicloud.Server, *world) {
	t.Helper()
	s, err := fakeicloud.Start(t.TempDir(), fakeicloud.Account{AppleID: appleID, Password: applePassword, Phones: []string{"+44 ••••• ••12", "+44 ••••• ••34"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, newWorld(t, "HTTPS_PROXY="+s.Proxy(), "SSL_CERT_FILE="+s.CA())
}

// A person signs in with a wrong password, then the right one, a wrong code, then the right one.
func TestICloud(t *testing.T) {
	t.Parallel()
	s, w := newICloud(t)
	p := w.sit("login", "icloud")
	p.see("Experimental: ")
	p.see("The sign-in holds for about 30 days")
	p.see("Apple ID (an e-mail address): ")
	p.enter(appleID)
	p.see("Its password: ")
	p.enter("wrong")
	p.see("not accepted")
	p.see("Its password: ")
	p.enter(applePassword)
	p.see("The six digits shown on your Apple devices")
	p.enter("000000")
	p.see("not accepted")
	code := s.Code(appleID)
	p.enter(code[:3] + " " + code[3:])
	p.see("Signed in to iCloud Drive as icloud.")
	p.ends(0)
	p.hides(applePassword)
	got := w.check("icloud:Keepsake")
	if got.Experimental == "" {
		t.Errorf("%+v", got)
	}
	for name := range s.Files(appleID) {
		t.Errorf("check left %s", name)
	}

	// The session ends: the password renews it. The trust ends: a person must.
	s.EndSessions()
	w.check("icloud:Keepsake")
	s.EndSessions()
	s.EndTrust()
	w.want(w.run("check", "icloud:Keepsake"), 16, "keepsake cloud login icloud")
	p = w.sit("login", "icloud", "--user", appleID)
	p.see("Its password: ")
	p.enter(applePassword)
	p.see("The six digits shown")
	p.enter("sms")
	p.see("Which number gets the text message?")
	p.see("2  •••• ••34")
	p.see("1 to 2: ")
	p.enter("2")
	p.see("The six digits of the text message: ")
	p.enter(s.Text(appleID))
	p.see("Signed in")
	p.ends(0)
	w.check("icloud:Keepsake")
}

// Three wrong codes, and nobody there who could be asked for one.
func TestICloudWithoutACode(t *testing.T) {
	t.Parallel()
	_, w := newICloud(t)
	p := w.sit("login", "icloud", "--user", appleID)
	p.see("Its password: ")
	p.enter(applePassword)
	for range 3 {
		p.see("digits")
		p.enter("000000")
	}
	p.see("the code is wrong or too old")
	p.ends(16)
	file := filepath.Join(w.home, "password")
	write(t, file, applePassword)
	w.want(w.run("login", "icloud", "--user", appleID, "--secret-file", file), 2, "no terminal")
	write(t, file, "wrong")
	r := w.want(w.run("login", "icloud", "--user", appleID, "--secret-file", file), 16, "the Apple ID or its password is wrong")
	if strings.Contains(r.err, "Once more") {
		t.Errorf("it asks again for what came from a file:\n%s", r.err)
	}
	if files := w.files(); len(files) != 0 {
		t.Errorf("a sign-in that failed is kept: %v", files)
	}
}
