package main

import (
	"bytes"
	"strings"
	"testing"
)

// In the package: the program is its standard input and output.

func TestCommands(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	in := strings.Join([]string{
		"token drive.file", "lag 1s 2s", "quota 10", "storm 3", "well", "unwell 1 0.5", "well", "expire", "revoke", "deny", "allow",
		"lose-sessions", "stall 1", "names none", "trash none", "remove none",
		"open https://accounts.google.com/none",
		"requests", "reset", "requests",
		"", "lag 1s", "lag x y", "quota", "quota x", "storm x", "stall", "unwell 1", "unwell x 1", "copy none", "copy none x", "copy none 1", "copy", "open", "names", "trash", "expire now", "what",
	}, "\n")
	var out bytes.Buffer
	if err := run(nil, strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if !strings.HasPrefix(lines[0], "HTTPS_PROXY=http://127.0.0.1:") || !strings.Contains(lines[1], "refresh_token") {
		t.Errorf("it began with %q", lines[:2])
	}
	for i, line := range lines[2:14] {
		if line != "ok" {
			t.Errorf("command %d said %q", i, line)
		}
	}
	if got := lines[17]; got != "501 Not Implemented" {
		t.Errorf("the browser ended at %q", got)
	}
	if got := lines[18]; !strings.Contains(got, "foreign=GET_accounts.google.com/none") {
		t.Errorf("requests: %q", got)
	}
	if got := lines[20]; got != "total=0 sent=0 received=0" {
		t.Errorf("after a reset: %q", got)
	}
	for i, line := range lines[21:] {
		if !strings.HasPrefix(line, "error: ") && !strings.HasPrefix(line, "unknown command") {
			t.Errorf("bad command %d said %q", i, line)
		}
	}
	if err := run([]string{"x"}, strings.NewReader(""), &out); err == nil {
		t.Error("it takes an argument")
	}
}
