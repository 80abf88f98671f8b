// Command fake-icloud runs the fake of iCloud on this machine, for trying
// "keepsake cloud login icloud" without an Apple account. It prints the
// environment that leads a program to it, then takes commands on standard
// input, one a line, and answers each with one line:
//
//	code            the six digits a trusted device would show
//	text            the code of the last text message
//	lock, unlock    the account
//	end-sessions    cookies become worthless
//	end-trust       trust tokens, too: the next sign-in needs a code
//	quota BYTES     the room
//	used            what counts against it
//
// It ends with its input. The account's password is the second argument and
// is worth nothing: nothing leaves the machine.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"keepsake.example/cloud/rclone/fakeicloud"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fake-icloud: error:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: fake-icloud APPLE-ID PASSWORD")
	}
	dir, err := os.MkdirTemp("", "fake-icloud-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := fakeicloud.Start(dir, fakeicloud.Account{AppleID: args[0], Password: args[1], Phones: []string{"+1 555 0100"}})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(out, "HTTPS_PROXY=%s SSL_CERT_FILE=%s\n", s.Proxy(), s.CA())
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fmt.Fprintln(out, answer(s, args[0], strings.Fields(lines.Text())))
	}
	return lines.Err()
}

func answer(s *fakeicloud.Server, person string, words []string) string {
	commands := map[string]func() string{
		"code":         func() string { return s.Code(person) },
		"text":         func() string { return s.Text(person) },
		"lock":         func() string { s.Lock(person, true); return "locked" },
		"unlock":       func() string { s.Lock(person, false); return "unlocked" },
		"end-sessions": func() string { s.EndSessions(); return "ended" },
		"end-trust":    func() string { s.EndTrust(); return "ended" },
		"used":         func() string { return strconv.FormatInt(s.Used(person), 10) },
	}
	switch {
	case len(words) == 2 && words[0] == "quota":
		n, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil {
			return "not a number"
		}
		s.SetQuota(person, n)
		return words[1]
	case len(words) == 1 && commands[words[0]] != nil:
		return commands[words[0]]()
	}
	return "unknown command"
}
