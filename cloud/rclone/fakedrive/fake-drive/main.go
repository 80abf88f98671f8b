// Command fake-drive runs the fake of Google Drive on this machine, for
// "keepsake cloud login gdrive" and tests of whole programs. It prints the
// environment that leads a program to it, then takes commands on standard
// input, one a line, and answers each with one line:
//
//	token [SCOPE…]      an account signed in: rclone's option token
//	open URL            a browser opens URL and follows it to where it ends: status of the last page,
//	                    or "delivered" where who waited for the code took it and hung up
//	expire              access tokens become worthless before their time
//	revoke              the person removes the app's access
//	deny, allow         what the person says on the consent page
//	lag NAMES FOLDERS   how late listings are ("2s 1s")
//	quota BYTES         the room; 0 is unlimited
//	storm N             403 userRateLimitExceeded for the next N requests
//	unwell SEED SHARE   a share of requests (0 to 1) fails in all the ways there are
//	stall N             of the parts of uploads all but the next N wait until who sends them is gone
//	well                ends storm, unwell and stall
//	lose-sessions       uploads that are under way are forgotten
//	copy PATH [BYTES]   a second file of the same name beside it, cut to BYTES
//	trash PATH, remove PATH
//	names FOLDER        the names in a folder
//	requests            how many there were, by kind, and bytes up and down
//	reset               sets these to zero
//
// Paths start below My Drive, or with appDataFolder/. A client id is
// keepsake-test.apps.googleusercontent.com with the secret
// not-a-secret-of-anybody; the consent page takes any other too. It ends with
// its input. Nothing leaves the machine.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"keepsake.example/cloud/rclone/fakedrive"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fake-drive: error:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 0 {
		return errors.New("it takes commands on standard input and no arguments")
	}
	dir, err := os.MkdirTemp("", "fake-drive-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := fakedrive.Start(fakedrive.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(out, "HTTPS_PROXY=%s SSL_CERT_FILE=%s\n", s.Proxy(), s.CA())
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		fmt.Fprintln(out, answer(s, words[0], words[1:]))
	}
	return lines.Err()
}

// answer does one command.
func answer(s *fakedrive.Server, command string, args []string) string {
	if act, ok := plain[command]; ok && len(args) == 0 {
		act(s)
		return "ok"
	}
	act, ok := asking[command]
	if !ok {
		return "unknown command, or too many words"
	}
	said, err := act(s, args)
	if err != nil {
		return "error: " + err.Error()
	}
	return said
}

var plain = map[string]func(*fakedrive.Server){
	"expire":        (*fakedrive.Server).ExpireTokens,
	"revoke":        (*fakedrive.Server).Revoke,
	"deny":          func(s *fakedrive.Server) { s.DenyConsent(true) },
	"allow":         func(s *fakedrive.Server) { s.DenyConsent(false) },
	"well":          func(s *fakedrive.Server) { s.Inject(nil) },
	"lose-sessions": (*fakedrive.Server).LoseSessions,
	"reset":         (*fakedrive.Server).Reset,
}

var errWords = errors.New("the command wants other words after it")

var asking = map[string]func(*fakedrive.Server, []string) (string, error){
	"token":    func(s *fakedrive.Server, args []string) (string, error) { return s.SignIn(args...), nil },
	"open":     open,
	"lag":      lag,
	"quota":    func(s *fakedrive.Server, args []string) (string, error) { return withNumber(args, s.SetQuota) },
	"storm":    storm,
	"unwell":   unwell,
	"stall":    stall,
	"copy":     plantCopy,
	"trash":    func(s *fakedrive.Server, args []string) (string, error) { return withPath(args, s.Trash) },
	"remove":   func(s *fakedrive.Server, args []string) (string, error) { return withPath(args, s.Remove) },
	"names":    names,
	"requests": func(s *fakedrive.Server, _ []string) (string, error) { return requests(s.Counters()), nil },
}

// open follows an address to its end. Where that is the program that signs in, a page need not come:
// rclone may close the connection as soon as it has the code, or the refusal.
func open(s *fakedrive.Server, args []string) (string, error) {
	if len(args) != 1 {
		return "", errWords
	}
	resp, err := s.Browser().Get(args[0])
	if e, ok := errors.AsType[*url.Error](err); ok && (strings.Contains(e.URL, "/?code=") || strings.Contains(e.URL, "/?error=")) && brokenOff(err) {
		return "delivered", nil
	}
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	return resp.Status, nil
}

func brokenOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

func lag(s *fakedrive.Server, args []string) (string, error) {
	if len(args) != 2 {
		return "", errWords
	}
	names, err := time.ParseDuration(args[0])
	if err != nil {
		return "", err
	}
	folders, err := time.ParseDuration(args[1])
	if err != nil {
		return "", err
	}
	s.SetLag(fakedrive.Lag{Names: names, Folders: folders})
	return "ok", nil
}

func withNumber(args []string, do func(int64)) (string, error) {
	if len(args) != 1 {
		return "", errWords
	}
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return "", err
	}
	do(n)
	return "ok", nil
}

func withPath(args []string, do func(string)) (string, error) {
	if len(args) != 1 {
		return "", errWords
	}
	do(args[0])
	return "ok", nil
}

func storm(s *fakedrive.Server, args []string) (string, error) {
	return withNumber(args, func(n int64) { s.Inject(fakedrive.First(int(n), "", fakedrive.UserRate)) })
}

func stall(s *fakedrive.Server, args []string) (string, error) {
	return withNumber(args, func(n int64) {
		s.Inject(fakedrive.After(int(n), fakedrive.OpUploadChunk, fakedrive.Fault{Delay: time.Hour}))
	})
}

func unwell(s *fakedrive.Server, args []string) (string, error) {
	if len(args) != 2 {
		return "", errWords
	}
	seed, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil {
		return "", err
	}
	share, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return "", err
	}
	s.Inject(fakedrive.Random(seed, share, 16<<20))
	return "ok", nil
}

func plantCopy(s *fakedrive.Server, args []string) (string, error) {
	if len(args) == 1 {
		return "ok", s.PlantCopy(args[0], -1)
	}
	if len(args) != 2 {
		return "", errWords
	}
	n, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return "", err
	}
	return "ok", s.PlantCopy(args[0], n)
}

func names(s *fakedrive.Server, args []string) (string, error) {
	if len(args) != 1 {
		return "", errWords
	}
	return strings.Join(s.Names(args[0]), " "), nil
}
