package outage_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// system is a fleet of five vaultd, one in each site, and a chatd in the first two.
type system struct {
	dir    string
	sites  []*site
	wide   *wide
	issuer *issuer
	fleet  string
	vaults []*server // by number less one
	chats  []*server
	urls   []string // of the chatds
	pins   []string // of the vaults
}

func (s *system) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// newSystem founds the fleet with the programs of a folder, takes in the other four, and
// starts everything.
func newSystem(t *testing.T, bin string) *system {
	t.Helper()
	s := foundSystem(t, bin)
	for _, site := range s.sites[1:] {
		s.prepare(t, site, "--join", s.fleet)
		if site.n == 3 {
			tmpfs(t, s.path("vault3", "state"), "16m") // one checkpoint and one log, and little more
		}
		s.takeIn(t, site)
	}
	for _, site := range s.sites[:2] {
		s.startChat(t, site)
	}
	return s
}

// foundSystem founds the fleet on the first machine and starts that.
func foundSystem(t *testing.T, bin string, besides ...string) *system {
	t.Helper()
	s := &system{dir: t.TempDir(), sites: newSites(t, 5, bin), wide: newWide(t), issuer: newIssuer()}
	check(t, os.WriteFile(s.path("jwks.json"), s.issuer.jwks, 0o644))
	home := s.sites[0]
	key := made(t, home.command(t, "vaultd", "operator", "keygen", "olga", "--out", s.path("olga.key"), "--json"))
	for _, site := range s.sites {
		s.wide.listen(t, fmt.Sprintf("%s:%d", outside, 7100+site.n), site, site.ip()+":7445")
		s.wide.listen(t, fmt.Sprintf("%s:%d", outside, 7200+site.n), site, site.ip()+":7443")
	}
	founding := []string{"--operator", "olga=" + key["public"].(string), "--quorum", "1", "--insecure-waits", "0s"}
	s.prepare(t, home, append(founding, besides...)...)
	s.vaults[0].run(t)
	s.vaults[0].awaitReady(t)
	return s
}

// prepare makes a vaultd's files.
func (s *system) prepare(t *testing.T, site *site, besides ...string) {
	t.Helper()
	home := s.path(fmt.Sprintf("vault%d", site.n))
	args := []string{
		"init", home, "--json", "--insecure-software-anchor", "--insecure-any-relay", "--issuer", issuerName, "--jwks", s.path("jwks.json"),
		"--listen", site.ip() + ":7443", "--name", fmt.Sprintf("v%d", site.n), "--data-center", fmt.Sprintf("dc%d", site.n),
		"--advertise", fmt.Sprintf("%s:%d", outside, 7100+site.n), "--peers", site.ip() + ":7445",
	}
	m := made(t, site.command(t, "vaultd", append(args, besides...)...))
	if s.fleet == "" {
		s.fleet = m["fleet"].(string)
	}
	v := &server{during: t, site: site, name: "vaultd", config: filepath.Join(home, "vaultd.toml"), admin: "127.0.0.1:7444"}
	text := string(must(os.ReadFile(v.config)))
	check(t, os.WriteFile(v.config, []byte(settings(t, text, "insecure_waits", "true")), 0o600))
	s.vaults, s.pins = append(s.vaults, v), append(s.pins, m["server_pin"].(string))
}

// decide has the operator make a change at a machine, however often it takes until enough members
// are there to decide it. When it returns, the root group has just decided it, and the group that it
// is about is hearing of it.
func (s *system) decide(t *testing.T, at int, change ...string) {
	t.Helper()
	v, file := s.vaults[at-1], filepath.Join(t.TempDir(), "change")
	v.site.command(t, "vaultd", append(append([]string{"operator", "propose"}, change...), "--config", v.config, "--out", file)...)
	v.site.command(t, "vaultd", "operator", "sign", file, "--key", s.path("olga.key"), "--yes")
	await(t, "to be decided: "+strings.Join(change, " "), func() bool {
		_, code := v.site.try(t, "vaultd", "operator", "submit", file, "--config", v.config, "--yes")
		return code == 0
	})
}

// takeIn makes the machine of a site a voter.
func (s *system) takeIn(t *testing.T, site *site) {
	t.Helper()
	s.enter(t, site)
	s.decide(t, 1, "promote", strconv.Itoa(site.n))
}

// enter makes the machine of a site a learner.
func (s *system) enter(t *testing.T, site *site) {
	t.Helper()
	v := s.vaults[site.n-1]
	s.decide(t, 1, "add", filepath.Join(filepath.Dir(v.config), "member.card"))
	site.command(t, "vaultd", "join", "--config", v.config, "--roster", s.roster(t))
	v.run(t)
	v.awaitReady(t)
}

// roster is a file with the fleet's, signed.
func (s *system) roster(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "roster")
	s.sites[0].command(t, "vaultd", "operator", "show", "--config", s.vaults[0].config, "--out", file)
	return file
}

var rates = regexp.MustCompile(`(?m)^(per_handle|per_address|per_account|in_all|tries_per_address|retries) = \{.*\}$`)

// startChat makes and starts a chatd, which reaches the vaultd of its own site without
// a way, and takes out limits of how often: one person asks here as many do.
func (s *system) startChat(t *testing.T, site *site) {
	t.Helper()
	home := s.path(fmt.Sprintf("chat%d", site.n))
	url := fmt.Sprintf("https://%s:8443", site.ip())
	args := []string{"init", home, "--url", url, "--listen", site.ip() + ":8443", "--issuer", issuerName, "--jwks", s.path("jwks.json"), "--insecure-self-signed", site.ip()}
	for i, pin := range s.pins {
		to := fmt.Sprintf("https://%s:%d", outside, 7200+i+1)
		if i+1 == site.n {
			to = fmt.Sprintf("https://%s:7443", site.ip())
		}
		args = append(args, "--vault", to+"="+pin)
	}
	site.command(t, "chatd", args...)
	c := &server{during: t, site: site, name: "chatd", config: filepath.Join(home, "chatd.toml"), admin: "127.0.0.1:8444"}
	text := rates.ReplaceAllString(string(must(os.ReadFile(c.config))), `$1 = { burst = -1, every = "1s" }`)
	check(t, os.WriteFile(c.config, []byte(settings(t, text, "admin", `"127.0.0.1:8444"`, "drain_delay", `"-1s"`)), 0o600))
	c.run(t)
	c.awaitReady(t)
	s.chats, s.urls = append(s.chats, c), append(s.urls, url)
}

// state is what the tests read of a vaultd's status.
type state struct {
	Member  uint64
	Ready   bool
	Time    string
	Replica struct {
		Role             string
		Leader, Term     uint64
		Applied, Counter uint64 `json:",omitempty"`
	}
	Members []struct {
		Number  uint64
		Learner bool
		Report  *struct{ Version uint32 }
	}
}

// status asks the vaultd of a site; not ok when it does not answer.
func (s *system) status(n int) (st state, ok bool) {
	code, body := s.vaults[n-1].look("/status")
	return st, code == 200 && json.Unmarshal(body, &st) == nil
}

// leader waits until one of these sites says that it leads the root group, and gives its number.
func (s *system) leader(t *testing.T, among ...int) (n int) {
	t.Helper()
	return s.groupLeader(t, 0, among...)
}

// number is one of those that a machine publishes of a group; 0 when it does not. Its status would
// ask those that are lost first.
func (s *system) number(n int, name string, group int) uint64 {
	_, body := s.vaults[n-1].look("/metrics")
	m := regexp.MustCompile(fmt.Sprintf(`(?m)^%s\{group="%d"\} ([0-9.e+]+)$`, name, group)).FindSubmatch(body)
	if m == nil {
		return 0
	}
	return uint64(must(strconv.ParseFloat(string(m[1]), 64)))
}

// groupLeader waits until one of these machines says that it leads a group.
func (s *system) groupLeader(t *testing.T, group int, among ...int) (n int) {
	t.Helper()
	await(t, fmt.Sprint("a leader of group ", group), func() bool {
		var term uint64
		n = 0
		for _, i := range among {
			if now := s.number(i, "vaultd_group_term", group); now > term && s.number(i, "vaultd_group_leads", group) == 1 {
				n, term = i, now
			}
		}
		return n != 0
	})
	return n
}

// letLead has a site's vaultd lead.
func (s *system) letLead(t *testing.T, n int) {
	t.Helper()
	await(t, "another leader", func() bool {
		if is := s.leader(t, everywhere...); is != n {
			v := s.vaults[is-1]
			v.site.try(t, "vaultd", "transfer", "--config", v.config, "--to", strconv.Itoa(n)) // may come too late
			return false
		}
		return true
	})
}

// awaitTogether waits until all five run, are ready, follow one leader, and have applied
// everything that any of them had applied when the last was ready. More comes in meanwhile.
func (s *system) awaitTogether(t *testing.T) {
	t.Helper()
	for _, v := range s.vaults {
		v.awaitReady(t)
	}
	s.leader(t, everywhere...)
	most := uint64(0)
	for _, n := range everywhere {
		st, _ := s.status(n)
		most = max(most, st.Replica.Applied)
	}
	await(t, fmt.Sprintf("all to have applied entry %d under one leader", most), func() bool { return s.together(most) })
}

func (s *system) together(applied uint64) bool {
	var first state
	for _, n := range everywhere {
		st, ok := s.status(n)
		if n == 1 {
			first = st
		}
		if !ok || st.Replica.Applied < applied || st.Replica.Leader != first.Replica.Leader || st.Replica.Term != first.Replica.Term {
			return false
		}
	}
	return applied > 0 && first.Replica.Leader != 0
}

var everywhere = []int{1, 2, 3, 4, 5}

// others are all sites but some.
func others(but ...int) []int { return without(everywhere, but...) }

// without is a list but for some.
func without(list []int, but ...int) []int {
	return slices.DeleteFunc(slices.Clone(list), func(n int) bool { return slices.Contains(but, n) })
}
