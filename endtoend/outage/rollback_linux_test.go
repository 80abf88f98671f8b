package outage_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// A member's disk is put back to an earlier state, under load. It does not run on it and says what to do;
// emptied, it is not welcomed again under its number. So it is taken out and comes back as a new
// member, as doc/vaultd.md says, and counts: another can be lost then.
func TestRolledBackMember(t *testing.T) {
	if !mounttest.Networks(t, environment()...) {
		return
	}
	s := foundSystem(t, programs)
	for _, site := range s.sites[1:3] {
		s.prepare(t, site, "--join", s.fleet)
		s.takeIn(t, site)
	}
	for _, site := range s.sites[:2] {
		s.startChat(t, site)
	}
	l := startLoad(t, s)
	v, state, image := s.vaults[2], s.path("vault3", "state"), t.TempDir()
	v.stop(t)
	check(t, os.CopyFS(image, os.DirFS(state)))
	v.run(t)
	v.awaitReady(t)
	since := time.Now()
	l.back(t, since.Add(time.Second))
	v.kill(t)
	check(t, os.RemoveAll(state))
	check(t, os.CopyFS(state, os.DirFS(image)))
	s.refuses(t, []string{"serve"}, 6, "rolled back", "do not delete or replace anything", "doc/vaultd.md")

	check(t, os.RemoveAll(state))
	check(t, os.RemoveAll(s.path("vault3", "anchor")))
	s.refuses(t, []string{"join", "--roster", s.roster(t)}, 14, "welcomed")

	advice := s.sites[0].command(t, "vaultd", "replace", "3", "--config", s.vaults[0].config)
	if first := strings.Index(advice, "propose remove 3"); first < 0 || strings.Index(advice, "propose promote 4") < first {
		t.Errorf("vaultd replace 3:\n%s", advice)
	}
	s.decide(t, 1, "remove", "3")
	check(t, os.Rename(s.path("vault3"), s.path("vault3.old")))
	s.prepare(t, s.sites[2], "--join", s.fleet)
	s.vaults = append(s.vaults[:2], s.vaults[3])
	s.enter(t, s.sites[2])
	s.decide(t, 1, "promote", "4")
	l.back(t, time.Now())
	s.vaults[0].kill(t)
	l.back(t, time.Now())
	s.vaults[0].run(t)
	s.vaults[0].awaitReady(t)
	l.finish()
}

// refuses runs a command on the third machine that has to end so, and to say these words.
func (s *system) refuses(t *testing.T, command []string, code int, words ...string) {
	t.Helper()
	v := s.vaults[2]
	out, got := v.site.try(t, "vaultd", append(command, "--config", v.config)...)
	if got != code {
		t.Errorf("vaultd %s ended with %d, want %d\n%s", command, got, code, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("vaultd %s does not say %q\n%s", command, word, out)
		}
	}
}
