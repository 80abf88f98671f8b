package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/replica"
	"keepsake.example/vaultd"
)

var update = flag.Bool("update", false, "write testdata/help.txt anew")

// All help texts, as a person sees them: a change of one is a change to review.
func TestHelpIsGolden(t *testing.T) {
	var all strings.Builder
	for _, args := range [][]string{{"help"}, {"help", "init"}, {"help", "serve"}, {"help", "status"}, {"help", "bundle"}, {"help", "checkpoint"}} {
		text := vault(t, args...).wants(t, exitDone).out
		text, _, _ = strings.Cut(text, "\nExit codes:") // the same under each
		fmt.Fprintf(&all, "$ vaultd %s\n%s\n", strings.Join(args, " "), text)
	}
	const file = "testdata/help.txt"
	if *update {
		if err := os.WriteFile(file, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := string(must(os.ReadFile(file))); all.String() != want {
		t.Errorf("the help has changed; look at it, then: go test ./cmd/vaultd -run HelpIsGolden -update\n%s", all.String())
	}
	for line := range strings.Lines(all.String()) {
		if len([]rune(line)) > 90 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
}

// Each kind of error has its exit code, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want exit
	}{
		{&replica.RollbackError{}, exitRolledBack},
		{&replica.DamagedError{File: "log"}, exitDamaged},
		{&vaultd.ClockError{Host: time.Now()}, exitClock},
		{vaultd.ErrInsecure, exitConfig},
		{fmt.Errorf("%w: %w", vaultd.ErrHalted, syscall.ENOSPC), exitHalted},
		{replica.ErrInUse, exitBusy},
		{anchor.ErrInUse, exitBusy},
		{replica.ErrNewer, exitNewer},
		{replica.ErrMissing, exitNotFound},
		{anchor.ErrEmpty, exitNotFound},
		{anchor.ErrFounded, exitExists},
		{replica.ErrExists, exitExists},
		{syscall.ECONNREFUSED, exitUnreachable},
		{syscall.EADDRINUSE, exitBusy},
		{syscall.ENOSPC, exitNoRoom},
		{fs.ErrPermission, exitNoRoom},
		{fs.ErrNotExist, exitNotFound},
		{errors.New("anything else"), exitFailed},
	} {
		if f := explain(fmt.Errorf("doing this: %w", c.err)); f.exit != c.want {
			t.Errorf("%v ends with %d, want %d", c.err, f.exit.code, c.want.code)
		}
	}
	seen := map[int]bool{}
	for _, e := range exits() {
		if seen[e.code] {
			t.Errorf("two exits have the code %d", e.code)
		}
		seen[e.code] = true
	}
}

// What an error says cannot make a terminal do anything.
func TestMessagesAreOneLine(t *testing.T) {
	if got := oneLine("a\nb\x1b[2Jc\u009b"); got != "a b?[2Jc?" {
		t.Errorf("printed as %q", got)
	}
}
