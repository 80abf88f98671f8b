package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
	"keepsake.example/fleet"
	"keepsake.example/internal/cli"
	"keepsake.example/key"
	"keepsake.example/password"
)

func skewed(d cloud.Destination) error {
	return &process.Error{Destination: d, Text: "cloud: access denied: this device's clock is 1h0m0s ahead of the server's", Kind: cloud.ErrDenied}
}

// Every kind of error has its exit code, a message without package names, and, where
// there is something to do, a hint.
func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		hint string
	}{
		{errors.New("backup: odd"), 1, ""},
		{errInterrupted, 130, "earlier snapshots are intact"},
		{fmt.Errorf("reading: %w", context.Canceled), 130, "continues"},
		{cli.ErrInterrupted, 130, ""},
		{cli.ErrNoTerminal, 2, "terminal"},
		{client.ErrNotEnabled, 4, "keepsake enable"},
		{client.ErrUnfinished, 4, "keepsake enable"},
		{client.ErrEnabled, 1, "keepsake status"},
		{&client.OverlapError{}, 2, "outside"},
		{client.ErrProfileDamaged, 5, "--join"},
		{client.ErrKeyMissing, 3, "keepsake key check --store"},
		{client.ErrKeyring, 3, "--key-store file"},
		{&client.BusyError{}, 7, "wait"},
		{&backup.RollbackError{}, 6, "--older-state"},
		{&backup.WrongKeyError{}, 3, "keepsake key check"},
		{&backup.WrongKeyError{ReplacedAt: time.Now()}, 3, "key rotate"},
		{&backup.LockedError{}, 7, "wait"},
		{backup.ErrNoRepository, 4, "--cloud"},
		{backup.ErrRepositoryExists, 1, "--join"},
		{backup.ErrNoSnapshot, 4, "run keepsake backup"},
		{&backup.NotFoundError{}, 4, "keepsake snapshots"},
		{backup.ErrTargetNotEmpty, 1, "--into-non-empty"},
		{backup.ErrSourceEmpty, 1, "--allow-empty"},
		{&backup.DamageError{}, 5, "keepsake verify"},
		{backup.ErrUnsupported, 1, "newer version"},
		{client.ErrRingGone, 5, "trash"},
		{fmt.Errorf("%w: %w", client.ErrNewestState, &backup.DamageError{Object: "head/0"}), 5, "--older-state"},
		{&backup.DamageError{Object: "ring/0"}, 5, "keepsake copy"},
		{fmt.Errorf("%w: %w", backup.ErrRingUnclear, &backup.DamageError{Object: "ring/0"}), 5, "keepsake key rotate"},
		{fmt.Errorf("pruning: %w", &backup.DamageError{Object: "head/0"}), 5, "keepsake verify"},
		{backup.ErrLocal, 1, "named"},
		{fmt.Errorf("%w: %w", backup.ErrLocal, syscall.ENOSPC), 10, "room"},
		{&backup.PatternError{}, 2, "keepsake help patterns"},
		{cloud.ErrUnreachable, 8, "mounted"},
		{cloud.ErrThrottled, 8, "later"},
		{skewed(cloud.Destination{Kind: cloud.KindS3, Path: "b"}), 10, "set this device's clock right"},
		{skewed(cloud.Destination{Kind: cloud.KindS3, Host: "h", Path: "b"}), 10, "a clock you trust"},
		{cloud.ErrFull, 10, "prune"},
		{cloud.ErrDenied, 10, "who may"},
		{syscall.EACCES, 10, "permissions"},
		{syscall.EROFS, 10, ""},
		{syscall.ENOENT, 4, ""},
		{&backup.InternalError{Type: "int", Where: "x"}, 70, "report"},
		{&key.LengthError{Got: 3}, 3, "16 groups"},
		{&client.WrongPasswordError{}, 11, "think"},
		{&client.WaitError{}, 12, "longer"},
		{&client.DestroyedError{}, 13, "--cloud"},
		{&client.NotCountedError{Cause: errors.New("x")}, 14, "network"},
		{&client.NotCountedError{Sent: true, Cause: errors.New("x")}, 14, "same password"},
		{&client.ChangeWaitsError{}, 12, "again"},
		{&client.RefusedError{Status: 429, After: time.Minute}, 16, "1 min"},
		{&client.RefusedError{Status: 403}, 16, "operator"},
		{fmt.Errorf("%w: %w", client.ErrUnsettled, &client.NotCountedError{Cause: errors.New("x")}), 14, "vault status"},
		{fmt.Errorf("%w: %w", password.ErrDishonest, fleet.ErrForeign), 15, "stop"},
		{password.ErrDishonest, 15, "stop"},
		{password.ErrUnsupported, 1, "newer version"},
		{client.ErrFleetKey, 15, "digits"},
		{password.ErrUnusable, 2, "another"},
		{client.ErrNoRecord, 4, "--handle"},
		{client.ErrWrongCode, 16, "keepsake login"},
		{client.ErrLogin, 16, "keepsake login"},
		{client.ErrOtherAccount, 16, "--handle"},
		{client.ErrForeignRecord, 1, "--take-over"},
		{client.ErrInsecureVault, 2, "--accept-insecure-vault"},
		{client.ErrNoVault, 4, "password set"},
		{client.ErrNoPassword, 4, "password set"},
		{client.ErrPasswordSet, 2, "password remove"},
		{client.ErrNoVerifier, 4, "--vault"},
		{client.ErrOtherKey, 3, "password change"},
		{client.ErrServer, 2, "--server"},
		{&key.DigitError{Position: 1, Line: 1, Rune: 'x'}, 3, "a to f"},
	} {
		f := explain(fmt.Errorf("doing it: %w", test.err))
		if f.exit.Code != test.code || !strings.Contains(f.hint, test.hint) || f.message == "" {
			t.Errorf("%v: code %d, %q, hint %q", test.err, f.exit.Code, f.message, f.hint)
		}
		for _, name := range []string{"backup: ", "client: ", "cloud: ", "cloud/dir: ", "password: ", "fleet: "} {
			if strings.Contains(f.message, name) {
				t.Errorf("%v: package name in %q", test.err, f.message)
			}
		}
	}
}

func TestPlainKeepsWordsThatLookLikePackages(t *testing.T) {
	got := plain(errors.New("backup: wrong key: it was replaced\nclient: cloud: x"))
	if got != "wrong key: it was replaced\nx" && got != "wrong key: it was replaced\ncloud: x" {
		t.Errorf("got %q", got)
	}
}

func TestDigitsOnTheCommandLineAreRefused(t *testing.T) {
	digits := strings.Repeat("0123456789abcdef", 4)
	groups := strings.Fields(strings.Repeat("0123 4567 89ab cdef ", 4))
	id := strings.Repeat("0123456789abcdef", 2)
	for _, args := range [][]string{
		{"key", "check", digits}, {"key", "check", strings.ToUpper(digits)}, {"--key-file=" + digits}, {digits[:60]}, {digits + "0"},
		append([]string{"key", "check"}, groups...), {strings.Join(groups, " ")}, {strings.Join(groups, "-")},
		{"x", digits[:16], digits[16:32], digits[32:48], digits[48:]},
	} {
		if got := exitCode(refuseDigits(args)); got != cli.Usage.Code {
			t.Errorf("%q: code %d", args, got)
		}
	}
	for _, args := range [][]string{
		{"restore", "x", "--snapshot", id}, {"restore", "x", "--snapshot=" + id}, {"inspect", "data/" + digits}, {id, id}, {"prune", "--keep-last", "3"}, {},
	} {
		if err := refuseDigits(args); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestParseTime(t *testing.T) {
	zone := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 22, 12, 30, 0, 0, zone)
	for text, want := range map[string]time.Time{
		"2026-11-20":           time.Date(2026, 11, 21, 0, 0, 0, -1, zone),
		"2026-11-20 18:00":     time.Date(2026, 11, 20, 18, 0, 59, 999999999, zone),
		"2026-11-20T18:00":     time.Date(2026, 11, 20, 18, 0, 59, 999999999, zone),
		"2026-11-20 18:00:07":  time.Date(2026, 11, 20, 18, 0, 7, 999999999, zone),
		"2026-11-20T18:00:00Z": time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC),
		"yesterday":            time.Date(2026, 11, 22, 0, 0, 0, -1, zone),
		"Today":                time.Date(2026, 11, 23, 0, 0, 0, -1, zone),
		"now":                  now,
		"3d ago":               now.Add(-72 * time.Hour),
		" 36h ago ":            now.Add(-36 * time.Hour),
	} {
		got, err := parseTime(text, now)
		if err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "teatime", "2026-13-01", "2026-11-31", "0d ago", "-1d ago", "99999999999y ago", "d ago", " ago"} {
		if got, err := parseTime(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestPart(t *testing.T) {
	for text, want := range map[string]float64{"5%": 0.05, "100%": 1, "0.25": 0.25, "0": 0, "1": 1} {
		var p part
		if err := p.Set(text); err != nil || float64(p) != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "%", "101%", "-1%", "NaN", "5", "x", "Inf%"} {
		var p part
		if err := p.Set(text); err == nil {
			t.Errorf("%q: %v", text, p)
		}
	}
}

// A panic can be about anything, a key among it.
func TestPanicTellsNoSecrets(t *testing.T) {
	secret := strings.Repeat("5ec4e7", 6)
	var out, errs strings.Builder
	err := run(context.Background(), []string{"status", "--json"}, stdio{in: strings.NewReader(""), out: &out, err: &errs, env: func(string) string { panic(secret) }})
	if exitCode(err) != cli.Internal.Code || !strings.Contains(errs.String(), "internal error (string) at ") {
		t.Errorf("code %d, %q", exitCode(err), errs.String())
	}
	if strings.Contains(out.String()+errs.String(), secret) {
		t.Errorf("printed %q %q", out.String(), errs.String())
	}
	if !strings.Contains(errs.String(), "keepsake/main.") && !strings.Contains(errs.String(), "run_test") && !strings.Contains(errs.String(), "fromEnvironment") {
		t.Errorf("no place in %q", errs.String())
	}
}

// Every command that can be told to stop stops, and says what that means.
func TestInterrupted(t *testing.T) {
	d := t.TempDir()
	chats, cloudDir, profile, keyFile := filepath.Join(d, "chats"), filepath.Join(d, "cloud"), filepath.Join(d, "profile"), filepath.Join(d, "a.key")
	makeChats(t, chats)
	if code, _, errs := runHere(context.Background(), "enable", chats, "--cloud", cloudDir, "--key-out", keyFile, "--profile", profile, "--key-store", "file"); code != 0 {
		t.Fatal(code, errs)
	}
	if code, _, errs := runHere(context.Background(), "backup", "--profile", profile); code != 0 {
		t.Fatal(code, errs)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupted)
	for _, args := range [][]string{
		{"backup"}, {"restore", filepath.Join(d, "out")}, {"verify", "--read-data"}, {"snapshots"}, {"status"},
		{"prune", "--keep-last", "1", "--yes"}, {"disable", "--delete-backups", "--confirm", "00000000"},
		{"key", "rotate", "--key-out", filepath.Join(d, "b.key")}, {"key", "check", "--key-file", keyFile},
	} {
		code, out, errs := runHere(ctx, append(args, "--profile", profile, "--json")...)
		if code != cli.Interrupted.Code || !strings.Contains(errs, "keepsake: error: interrupted") || !strings.Contains(errs, "hint: ") {
			t.Errorf("%q: code %d, %q", args, code, errs)
		}
		var answer struct{ Error errorJSON }
		if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.Error.Code != "interrupted" {
			t.Errorf("%q: %v, %q", args, err, out)
		}
	}
	if code, _, errs := runHere(context.Background(), "verify", "--read-data", "--profile", profile); code != 0 {
		t.Error(code, errs)
	}
}

// The sentences that people learn to tell apart.
func TestAttemptMessages(t *testing.T) {
	now := time.Date(2026, 11, 20, 18, 0, 0, 0, time.Local)
	later := client.Counted{Left: 7, Limit: 10, Next: now.Add(4*time.Minute + 12*time.Second)}
	for _, test := range []struct {
		err  error
		want string
	}{
		{&client.WrongPasswordError{Counted: client.Counted{Left: 7, Limit: 10}}, "wrong password; 7 attempts left; next one now"},
		{&client.WrongPasswordError{Counted: later}, "wrong password; 7 attempts left; next one in 4 min 12 s"},
		{&client.WrongPasswordError{Counted: client.Counted{Left: 1}}, "wrong password; 1 attempt left; next one now"},
		{&client.WaitError{Counted: later}, "the vault takes no attempt yet; nothing was counted; 7 attempts left; next one in 4 min 12 s"},
		{&client.DestroyedError{When: now, Limit: 10}, "destroyed on 2026-11-20 18:00 after 10 wrong passwords: only the 64-digit key or a new backup can help"},
		{&client.NotCountedError{Cause: errors.New("no route")}, "server unreachable, nothing counted (no route)"},
	} {
		if got := explainVault(test.err, now).message; got != test.want {
			t.Errorf("%q\nwant %q", got, test.want)
		}
	}
	for _, counted := range []error{&client.WrongPasswordError{}} {
		if !attemptsOf(counted, now).Counted {
			t.Errorf("%v is not counted", counted)
		}
	}
	for _, not := range []error{&client.WaitError{}, &client.DestroyedError{}, &client.NotCountedError{}} {
		if attemptsOf(not, now).Counted {
			t.Errorf("%v is counted", not)
		}
	}
	if j := attemptsOf(&client.WaitError{Counted: later}, now); *j.WaitSeconds != 252 || j.Next == nil {
		t.Errorf("%+v", j)
	}
}
