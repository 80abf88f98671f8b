package endtoend_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// devnet is a vault and its front end by one command. It serves what the other
// programs serve, and leaves nothing.
func TestDevnet(t *testing.T) {
	t.Parallel()
	s := &system{dir: t.TempDir(), issuer: &daemon{name: "devnet"}}
	place := s.path("net")
	p := start(t, &s.issuer.log, "devnet", "--dir", place, "--listen", "127.0.0.1:0", "--waits", "0s")
	await(t, "devnet to tell what to try", func() bool {
		if !p.running() {
			t.Fatalf("devnet ended:\n%s", s.issuer.log.Bytes())
		}
		return strings.Contains(string(s.issuer.log.Bytes()), "Ctrl-C")
	})
	text := string(s.issuer.log.Bytes())
	s.card = regexp.MustCompile(`server card +(\S+)`).FindStringSubmatch(text)[1]
	chats := folder(t)
	old, phone := s.newPhone(t, "ann@mail.example"), s.newPhone(t, "ann@mail.example")
	old.enable(chats, "blue sofa on a tuesday")
	phone.guess(old, "green sofa on a monday").wants(11, `"left": 9`)
	phone.restore(phone.path("Chats"), old, "blue sofa on a tuesday").wants(0)
	same(t, chats, phone.path("Chats"))
	if !strings.Contains(text, "Nothing here protects anything") {
		t.Errorf("it does not say that it protects nothing:\n%s", text)
	}

	addresses := regexp.MustCompile(`https?://127\.0\.0\.1:\d+`).FindAllString(text, -1)
	answers := map[string]string{}
	for _, a := range addresses {
		if answers[a] = face(t, a); answers[a] == "" {
			t.Errorf("nobody answers at %s", a)
		}
	}
	if code := p.end(syscall.SIGINT); code != 0 {
		t.Errorf("devnet ended with %d:\n%s", code, s.issuer.log.Bytes())
	}
	if _, err := os.Stat(place); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
	for _, a := range addresses { // which others may have been given since
		if f := face(t, a); f != "" && f == answers[a] {
			t.Errorf("devnet still answers at %s: %q", a, f)
		}
	}
	if len(addresses) < 3 {
		t.Errorf("it tells of %d addresses:\n%s", len(addresses), text)
	}
}

// started is the metric of when a process began, to a hundredth of a second.
var started = regexp.MustCompile(`(?m)^process_start_time_seconds .*`)

// face is that by which a server is known again: the key of its TLS, or when its process
// began. It is "" where nobody answers who has the like.
func face(t *testing.T, address string) string {
	t.Helper()
	at := must(url.Parse(address))
	if at.Scheme == "https" {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", at.Host, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			return ""
		}
		defer c.Close()
		return string(c.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
	}
	c := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(address + "/metrics")
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	return started.FindString(string(must(io.ReadAll(r.Body))))
}
