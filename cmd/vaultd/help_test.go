package main

import (
	"context"
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
	"keepsake.example/internal/command"
	"keepsake.example/replica"
	"keepsake.example/vaultd"
)

var update = flag.Bool("update", false, "write testdata/help.txt anew")

// All help texts, as a person sees them: a change of one is a change to review.
func TestHelpIsGolden(t *testing.T) {
	var all strings.Builder
	pages := [][]string{{"help"}, {"help", "operator"}, {"help", "operator", "propose"}}
	for _, c := range program.Commands {
		pages = append(pages, append([]string{"help"}, strings.Fields(c.Name)...))
	}
	for _, args := range pages {
		text := vault(t, args...).wants(t, command.Done).out
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

// A fleet that gives no welcome in time is one without a majority, and no admin address that is wrong.
func TestNotJoined(t *testing.T) {
	asked := fmt.Errorf("asking member 7: %w", context.DeadlineExceeded)
	if f, ok := errors.AsType[*command.Failure](notJoined(asked)); !ok || f.Exit != exitNoQuorum || !strings.Contains(f.Hint, "majority of the voters") {
		t.Errorf("%+v", f)
	}
	if f := explain(notJoined(vaultd.ErrWelcomed)); f.Exit != exitRefused {
		t.Errorf("%+v", f)
	}
}

func TestExplanationsHaveHints(t *testing.T) {
	for _, e := range explanations {
		if e.Hint == "" {
			t.Errorf("%v: no hint", e.Is)
		}
	}
}

// Each kind of error has its exit code, however deep it is wrapped.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want command.Exit
	}{
		{&replica.RollbackError{}, exitRolledBack},
		{&replica.DamagedError{File: "log"}, exitDamaged},
		{&vaultd.ClockError{Host: time.Now()}, exitClock},
		{&vaultd.VersionError{}, exitNewer},
		{vaultd.ErrWelcomed, exitRefused},
		{fmt.Errorf("%w: %w", vaultd.ErrHalted, vaultd.ErrRemoved), exitRemoved},
		{fmt.Errorf("%w: %w", vaultd.ErrHalted, replica.ErrRemoved), exitRemoved},
		{vaultd.ErrInsecure, command.Config},
		{fmt.Errorf("%w: %w", vaultd.ErrHalted, syscall.ENOSPC), exitHalted},
		{replica.ErrInUse, exitBusy},
		{anchor.ErrInUse, exitBusy},
		{replica.ErrNewer, exitNewer},
		{fmt.Errorf("%w: %w", vaultd.ErrHalted, replica.ErrForgot), exitRolledBack},
		{replica.ErrMissing, command.NotFound},
		{anchor.ErrEmpty, command.NotFound},
		{anchor.ErrFounded, command.Exists},
		{replica.ErrExists, command.Exists},
		{syscall.ECONNREFUSED, exitUnreachable},
		{syscall.EADDRINUSE, exitBusy},
		{syscall.ENOSPC, command.NoRoom},
		{fs.ErrPermission, command.NoRoom},
		{fs.ErrNotExist, command.NotFound},
		{errors.New("anything else"), command.Failed},
	} {
		if f := explain(fmt.Errorf("doing this: %w", c.err)); f.Exit != c.want {
			t.Errorf("%v ends with %d, want %d", c.err, f.Exit.Code, c.want.Code)
		}
	}
	seen := map[int]bool{}
	for _, e := range exits {
		if seen[e.Code] {
			t.Errorf("two exits have the code %d", e.Code)
		}
		seen[e.Code] = true
	}
}
