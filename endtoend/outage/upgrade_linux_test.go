package outage_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// frozen is the commit whose servers stand for the older build. It speaks version 1, and
// the present build version 2; it moves on only when a version is given up.
const frozen = "d6983a4"

// older and next are the servers of the frozen commit, and the present ones with the build
// tag that has them speak a version that there is not yet, and write what the present
// ones do not know.
func older(t *testing.T) string {
	t.Helper()
	return built(t, "frozen", func(into string) error {
		tree := t.TempDir()
		c := exec.CommandContext(t.Context(), "bash", "-c", `set -o pipefail; git -C "$(git rev-parse --show-toplevel)" archive "$0" | tar -x -C "$1"`, frozen, tree)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("reading commit %s, which needs the history of this repository: %v\n%s", frozen, err, out)
		}
		return build(tree, "", into)
	})
}

func next(t *testing.T) string {
	t.Helper()
	return built(t, "next", func(into string) error { return build(".", "nextversion", into) })
}

// built builds once: the test finds the programs there when it runs itself again.
func built(t *testing.T, name string, build func(into string) error) (bin string) {
	t.Helper()
	bin = filepath.Join(programs, name)
	if _, err := os.Stat(bin); err != nil {
		check(t, build(bin))
	}
	return bin
}

// A fleet of the older build becomes one of the present build, one machine after the
// other, under load; and while it is half and half, the leader is killed. Then it becomes
// one of the version to come, which begins to write what is new when the last machine is
// there, and not before; from then on the present build is refused. What is of the
// present version, a new group secret, is likewise not written beside an older member.
func TestUpgrade(t *testing.T) {
	was, will := older(t), next(t)
	if !mounttest.Networks(t, environment()...) {
		return
	}
	s := newSystem(t, was)
	l := startLoad(t, s)
	nothing(t, s, l)
	s.upgrade(t, programs, func(already int) {
		if already == 2 || already == 3 {
			leaderKilled(t, s, l)
			s.awaitTogether(t)
		}
		s.rekeys(t, already)
	})
	s.upgrade(t, will, func(already int) {
		if already < 5 && s.marks() > 0 {
			t.Errorf("with %d of five upgraded, one wrote what the others do not know", already)
		}
	})
	await(t, "the new version to be used", func() bool { return s.marks() == 5 })
	s.refusesOlder(t, 4)
	l.back(t, time.Now())
	l.finish()
}

// upgrade gives every site other programs, the leader's last.
func (s *system) upgrade(t *testing.T, bin string, after func(already int)) {
	t.Helper()
	first := s.leader(t, everywhere...)
	for i, n := range append(others(first), first) {
		s.sites[n-1].bin = bin
		s.restart(t, n)
		after(i + 1)
	}
	for _, c := range s.chats {
		c.stop(t)
		c.run(t)
		c.awaitReady(t)
	}
}

// rekeys asks an upgraded machine for new secrets, of which the fleet must have none as long as
// one member is older, and everybody one as soon as none is.
func (s *system) rekeys(t *testing.T, already int) {
	t.Helper()
	if already == len(s.vaults) {
		await(t, "a new secret", func() bool { return s.rekey(t) == 0 })
		await(t, "everybody to have it", func() bool { return s.secrets(t, 1) == len(s.vaults) })
		return
	}
	if code := s.rekey(t); code == 0 || s.secrets(t, 0) != already {
		t.Errorf("with %d of five upgraded, vaultd operator rekey ended with %d, and %d have the first secret", already, code, s.secrets(t, 0))
	}
}

// rekey runs the command at a machine of the present build.
func (s *system) rekey(t *testing.T) (code int) {
	t.Helper()
	for _, v := range s.vaults {
		if v.site.bin == programs {
			_, code = v.site.try(t, "vaultd", "operator", "rekey", "--admin", v.admin)
			return code
		}
	}
	return -1
}

// secrets counts the machines of the present build that have this generation, and no other secret.
func (s *system) secrets(t *testing.T, generation uint64) (machines int) {
	t.Helper()
	for _, v := range s.vaults {
		var st struct {
			Groups []struct {
				Secret *struct {
					Generation      uint64
					Behind, Turning bool
				}
			}
		}
		_, text := v.look("/status")
		if json.Unmarshal(text, &st) != nil || len(st.Groups) == 0 {
			continue
		}
		if is := st.Groups[0].Secret; is != nil && is.Generation == generation && !is.Behind && !is.Turning {
			machines++
		}
	}
	return machines
}

var marked = regexp.MustCompile(`(?m)^vaultd_marks (\d+)`)

// marks counts the machines that have applied what only the new version writes.
func (s *system) marks() (machines int) {
	for _, v := range s.vaults {
		_, text := v.look("/metrics")
		if m := marked.FindSubmatch(text); m != nil && must(strconv.Atoi(string(m[1]))) > 0 {
			machines++
		}
	}
	return machines
}

// refusesOlder starts the present build on files of the new version: it does not guess.
func (s *system) refusesOlder(t *testing.T, n int) {
	t.Helper()
	v, will := s.vaults[n-1], s.sites[n-1].bin
	v.stop(t)
	v.site.bin = programs
	v.run(t)
	select {
	case <-v.ended:
	case <-time.After(patience):
		t.Error("the present build runs on what a newer one wrote")
		v.kill(t)
	}
	if code, log := v.cmd.ProcessState.ExitCode(), tail(v.log.String()); code != 9 || !strings.Contains(log, "newer version") {
		t.Errorf("the present build ended with %d:\n%s", code, log)
	}
	v.site.bin = will
	v.run(t)
	v.awaitReady(t)
}

// restart stops a vaultd in good order and starts it again.
func (s *system) restart(t *testing.T, n int) {
	t.Helper()
	s.vaults[n-1].stop(t)
	s.vaults[n-1].run(t)
	s.vaults[n-1].awaitReady(t)
}
