package outage_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keepsake.example/internal/mounttest"
)

// frozen is the commit whose servers stand for the older version. It speaks version 1 of
// everything, as the present ones do; it moves on only when a version is given up.
const frozen = "d6983a4"

// buildFrozen builds the servers of the frozen commit, once.
func buildFrozen(t *testing.T) (bin string) {
	t.Helper()
	bin = filepath.Join(programs, "frozen")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	tree := t.TempDir()
	c := exec.CommandContext(t.Context(), "bash", "-c", `set -o pipefail; git -C "$(git rev-parse --show-toplevel)" archive "$0" | tar -x -C "$1"`, frozen, tree)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("reading commit %s, which needs the history of this repository: %v\n%s", frozen, err, out)
	}
	check(t, build(tree, bin))
	return bin
}

// A fleet of the older build becomes one of the present build, one machine after the
// other, under load; and while it is half and half, a leader of each kind is lost.
func TestUpgrade(t *testing.T) {
	old := buildFrozen(t)
	if !mounttest.Networks(t, environment()...) {
		return
	}
	s := newSystem(t, old)
	l := startLoad(t, s)
	nothing(t, s, l)
	first := s.leader(t, everywhere...)
	order := append(others(first), first)
	for i, n := range order {
		s.sites[n-1].bin = programs
		s.restart(t, n)
		if i == 1 || i == 2 { // two or three of five are new
			leaderKilled(t, s, l)
			s.awaitTogether(t)
		}
	}
	for _, c := range s.chats {
		c.stop(t)
		c.run(t)
		c.awaitReady(t)
	}
	l.finish()
}

// restart stops a vaultd in good order and starts it again.
func (s *system) restart(t *testing.T, n int) {
	t.Helper()
	s.vaults[n-1].stop(t)
	s.vaults[n-1].run(t)
	s.vaults[n-1].awaitReady(t)
}
