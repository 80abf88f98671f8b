package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	in := "used\nquota 1000\nquota x\nlock\nunlock\nend-sessions\nend-trust\nnonsense\ncode\n"
	if err := run([]string{"ada@example.com", "secret"}, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasPrefix(lines[0], "HTTPS_PROXY=http://127.0.0.1:") || !strings.Contains(lines[0], " SSL_CERT_FILE=/") {
		t.Errorf("it began with %q", lines[0])
	}
	want := "0 1000 not a number locked unlocked ended ended unknown command "
	if got := strings.Join(lines[1:len(lines)-1], " "); got != want {
		t.Errorf("it answered %q, want %q", got, want)
	}
	if err := run(nil, strings.NewReader(""), &out); err == nil {
		t.Error("it ran without an account")
	}
}
