package endtoend_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"keepsake.example/internal/mounttest"
)

// The drill of doc/disaster.md, "Try it", with three members in place of five: where the
// page says two of five, it is one here, and where it says three, two.
//
// The survivor has missed an attempt by then: were there any way to make it answer, the
// thief would have one guess more.
func TestMajorityLost(t *testing.T) {
	t.Parallel()
	d := newDrill(t)
	old := d.found(t, "old")
	d.relayFor(t, old)
	chats := folder(t)
	owner, thief := d.managed(t, "ann"), d.managed(t, "ann")
	owner.enable(chats, "blue sofa on a tuesday")

	// Steps 1 to 4: an outage, which costs nothing.
	d.guesses(thief, owner, 9, 8, 7)
	majority, survivor := old.members[:2], old.members[2]
	survivor.end(syscall.SIGTERM)
	d.guesses(thief, owner, 6)
	end(majority...)
	survivor.run(t)
	d.decidesNothing(t, old, survivor, "remove", "1")
	majority[0].run(t)
	majority[0].awaitReady(t)
	owner.wantLeft(6)
	survivor.end(syscall.SIGTERM)
	majority[1].run(t)
	d.guesses(thief, owner, 5)

	// Step 5: it becomes a disaster. Nothing makes the survivor answer.
	end(majority...)
	for _, m := range majority {
		for _, name := range []string{"state", "anchor", "anchors"} {
			check(t, os.RemoveAll(filepath.Join(m.home(), name)))
		}
	}
	survivor.run(t)
	guessed := thief.begin(thief.restoring(thief.path("out"), owner, "sofa on an island")...)
	d.decidesNothing(t, old, survivor, "min-version", "1")
	d.isNotRevived(t, old, survivor)
	guessed().wants(14, "no answer came; nothing is counted twice")

	// Steps 3 to 6 of "What to do": the old fleet is put out of use, and people move.
	end(survivor)
	check(t, os.RemoveAll(filepath.Join(survivor.home(), "anchor")))
	d.refuses(t, 4, "the anchor is missing", "vaultd", "serve", "--config", survivor.config)
	check(t, os.RemoveAll(survivor.home()))
	loot := thief.path("loot")
	d.move(t, old, owner)
	d.lostPhone(t, owner, chats)
	thief.card = d.card
	thief.restore(loot, owner, "blue sofa on a tuesday").wants(11, "9 attempts left")
	if _, err := os.Stat(loot); err == nil {
		t.Error("the thief has the chats")
	}
}

// drill is a relay that stays, and fleets behind it that come and go.
type drill struct {
	*system
	operators []string // files of their keys
	named     []string // as vaultd init is told of them
}

// vaults is one fleet.
type vaults struct {
	fleet   string
	members []*daemon
	urls    []string
	pins    []string
	peers   []string
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	d := &drill{system: &system{dir: t.TempDir(), front: newTap(t), issuer: &daemon{}}}
	d.makeOperator(t)
	for _, name := range []string{"alice", "bob", "carol"} {
		file := d.path(name + ".key")
		out := d.command(t, "vaultd", "operator", "keygen", name, "--out", file)
		d.operators = append(d.operators, file)
		d.named = append(d.named, "--operator", regexp.MustCompile(name+"=[0-9a-f]+").FindString(out))
	}
	return d
}

func (d *daemon) home() string { return filepath.Dir(d.config) }

func end(members ...*daemon) {
	for _, m := range members {
		m.end(syscall.SIGKILL)
	}
}

// found founds a fleet of three as doc/vaultd.md says.
func (d *drill) found(t *testing.T, name string) *vaults {
	t.Helper()
	f := &vaults{}
	d.machine(t, f, d.path(name, "1"), append(d.named, "--quorum", "2", "--insecure-waits", "0s")...)
	for i := range 2 {
		m := d.machine(t, f, d.path(name, fmt.Sprint(i+2)), "--join", f.fleet)
		home := f.members[0]
		d.change(t, f, home, "add", filepath.Join(m.home(), "member.card"))
		d.command(t, "vaultd", "join", "--config", m.config, "--from", home.admin)
		m.run(t)
		m.awaitReady(t)
		d.change(t, f, home, "promote", fmt.Sprint(i+2))
	}
	return f
}

// machine makes a member's files; the first runs at once.
func (d *drill) machine(t *testing.T, f *vaults, home string, besides ...string) *daemon {
	t.Helper()
	at, n := addresses(t, 3), fmt.Sprint(len(f.members)+1)
	out := d.command(t, "vaultd", append([]string{"init", home, "--insecure-software-anchor", "--insecure-any-relay",
		"--issuer", operatorName, "--jwks", d.path("operator.jwks"), "--listen", at[0], "--name", "m" + n, "--data-center", "dc" + n, "--advertise", at[1]}, besides...)...)
	m := &daemon{name: "vaultd", config: filepath.Join(home, "vaultd.toml")}
	d.edit(t, m.config, func(text string) string {
		return settings(text, "admin", strconv.Quote(at[2]), "insecure_waits", "true", "commit", `"1s"`)
	})
	f.members, f.urls = append(f.members, m), append(f.urls, "https://"+at[0])
	f.peers, f.pins = append(f.peers, at[1]), append(f.pins, field(t, out, "server pin"))
	if f.fleet == "" {
		f.fleet = field(t, out, "fleet id")
		m.run(t)
		m.awaitReady(t)
	}
	return m
}

// addresses are some at which nobody listens.
func addresses(t *testing.T, n int) (free []string) {
	t.Helper()
	for range n {
		free = append(free, fmt.Sprint("127.0.0.1:", mounttest.Port(t, 0)))
	}
	return free
}

// change has operators change a fleet. What is refused for the moment only, as the vote
// of a member that has not caught up is, is submitted again.
func (d *drill) change(t *testing.T, f *vaults, at *daemon, what ...string) {
	t.Helper()
	file := d.signed(t, at, 2, what...)
	await(t, strings.Join(what, " "), func() bool {
		code, out := oneShot(t, "vaultd", "operator", "submit", file, "--config", at.config, "--yes")
		if code != 0 && code != 14 && code != 15 {
			t.Fatalf("submitting %s: exit code %d\n%s", what, code, out)
		}
		return code == 0
	})
}

// signed is a change that some operators have signed.
func (d *drill) signed(t *testing.T, at *daemon, operators int, what ...string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "change")
	d.command(t, "vaultd", append(append([]string{"operator", "propose"}, what...), "--config", at.config, "--out", file)...)
	for _, key := range d.operators[:operators] {
		d.command(t, "vaultd", "operator", "sign", file, "--key", key, "--yes")
	}
	return file
}

// relayFor makes and starts chatd before a fleet.
func (d *drill) relayFor(t *testing.T, f *vaults) {
	t.Helper()
	d.chat = &daemon{name: "chatd", config: d.path("relay", "chatd.toml")}
	args := []string{"init", d.path("relay"), "--role", "relay", "--url", d.front.url(), "--issuer", operatorName, "--jwks", d.path("operator.jwks"), "--insecure-self-signed", "127.0.0.1"}
	for i, url := range f.urls {
		args = append(args, "--vault", url+"="+f.pins[i])
	}
	d.command(t, "chatd", args...)
	d.edit(t, d.chat.config, func(text string) string {
		return settings(ofChatd(text), "relay_timeout", `"1500ms"`, "try_timeout", `"1200ms"`) // the client asks four times
	})
	d.serve(t, f)
}

// relayInstead gives chatd another fleet's addresses and pins.
func (d *drill) relayInstead(t *testing.T, old, f *vaults) {
	t.Helper()
	d.chat.end(syscall.SIGTERM)
	d.edit(t, d.chat.config, func(text string) string {
		for i := range old.urls {
			text = strings.NewReplacer(old.urls[i]+`"`, f.urls[i]+`"`, old.pins[i], f.pins[i]).Replace(text)
		}
		return text
	})
	d.serve(t, f)
}

// serve starts chatd, and writes the card of the fleet behind it.
func (d *drill) serve(t *testing.T, f *vaults) {
	t.Helper()
	d.startChat(t)
	d.chat.awaitReady(t)
	d.card = filepath.Join(t.TempDir(), "card.json")
	card := map[string]string{"url": d.front.url(), "issuer": operatorName, "fleet": f.fleet, "ca": string(must(os.ReadFile(d.path("relay", "tls.crt"))))}
	check(t, os.WriteFile(d.card, must(json.Marshal(card)), 0o644))
}

// guesses spends attempts, and wants so many to be left after each.
func (d *drill) guesses(thief, owner *phone, left ...int) {
	thief.t.Helper()
	for _, n := range left {
		thief.guess(owner, fmt.Sprintf("green sofa number %d", n)).wants(11, fmt.Sprintf(`"left": %d`, n))
	}
}

func (d *drill) refuses(t *testing.T, want int, part, name string, args ...string) {
	t.Helper()
	if code, out := oneShot(t, name, args...); code != want || !strings.Contains(out, part) {
		t.Errorf("%s %s: exit code %d, want %d and %q\n%s", name, strings.Join(args, " "), code, want, part, out)
	}
}

// decidesNothing checks that a member without a majority, having stood for election,
// refuses requests and changes.
func (d *drill) decidesNothing(t *testing.T, f *vaults, m *daemon, change ...string) {
	t.Helper()
	d.stands(t, m)
	_, out := oneShot(t, "vaultd", "status", "--config", m.config)
	for _, part := range []string{"1 of 3 voters up, 2 needed: NOTHING IS SERVED", "candidate of term", "DOWN"} {
		if !strings.Contains(out, part) {
			t.Errorf("vaultd status does not say %q\n%s", part, out)
		}
	}
	// What all operators sign, at the member itself.
	file := d.signed(t, m, 3, change...)
	d.refuses(t, 15, "hint: submit it again when vaultd status shows a leader", "vaultd", "operator", "submit", file, "--config", m.config, "--yes")
	answersNobody(t, f, m)
}

// stands waits until a member has stood for election, and nobody voted for it.
func (d *drill) stands(t *testing.T, m *daemon) {
	t.Helper()
	await(t, "an election that is not won", func() bool {
		_, text := m.look("/status")
		return bytes.Contains(text, []byte(`"role": "candidate"`)) || bytes.Contains(text, []byte(`"role":"candidate"`))
	})
}

// answersNobody asks a vaultd as chatd does.
func answersNobody(t *testing.T, f *vaults, m *daemon) {
	t.Helper()
	c := http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for _, q := range []*http.Request{
		must(http.NewRequest("HEAD", "https://"+m.listen+"/v1/bundle", nil)),
		must(http.NewRequest("POST", "https://"+m.listen+"/v1/request", bytes.NewReader(make([]byte, 8192)))),
	} {
		q.Header.Set("Content-Type", "application/octet-stream")
		r, err := c.Do(q)
		check(t, err)
		r.Body.Close()
		if r.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %s", q.Method, q.URL.Path, r.Status)
		}
	}
	if status, _ := m.look("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready: %d", status)
	}
}

// isNotRevived tries what an operator in need, or a thief with the operator's rights,
// would try with the survivor and with what is left of the others.
func (d *drill) isNotRevived(t *testing.T, f *vaults, survivor *daemon) {
	t.Helper()
	// An emptied machine asks to be taken back under its old number.
	var asked buffer
	joining := start(t, &asked, "vaultd", "join", "--config", f.members[0].config, "--from", survivor.admin)
	d.refuses(t, 7, "in use", "vaultd", "join", "--config", survivor.config, "--from", survivor.admin)
	d.isNotAlone(t, survivor)
	d.isNotTwo(t, f, survivor)
	if code := joining.end(syscall.SIGKILL); code == 0 || strings.Contains(string(asked.Bytes()), "joined") {
		t.Errorf("an emptied machine was taken back: %d\n%s", code, asked.Bytes())
	}
}

// isNotAlone tells a survivor that it has no others, and that it is a new fleet of one.
func (d *drill) isNotAlone(t *testing.T, survivor *daemon) {
	t.Helper()
	end(survivor)
	was := must(os.ReadFile(survivor.config))
	d.edit(t, survivor.config, func(text string) string { return settings(text, "peers", `""`) })
	d.refuses(t, 3, "a fleet of several members needs", "vaultd", "serve", "--config", survivor.config)
	check(t, os.Remove(survivor.config))
	before := tree(t, survivor.home())
	d.refuses(t, 13, "hint: choose a new folder", "vaultd", "init", survivor.home(), "--insecure-software-anchor", "--insecure-any-relay", "--issuer", operatorName, "--jwks", d.path("operator.jwks"))
	if !maps.Equal(before, tree(t, survivor.home())) {
		t.Error("founding on a survivor's files changed them")
	}
	check(t, os.WriteFile(survivor.config, was, 0o600))
}

// isNotTwo starts a copy of the survivor in the place of a member that is lost.
func (d *drill) isNotTwo(t *testing.T, f *vaults, survivor *daemon) {
	t.Helper()
	twin := &daemon{name: "vaultd", config: filepath.Join(t.TempDir(), "twin", "vaultd.toml")}
	check(t, os.CopyFS(twin.home(), os.DirFS(survivor.home())))
	d.edit(t, twin.config, func(text string) string {
		return settings(text, "peers", strconv.Quote(f.peers[1]), "listen", `"127.0.0.1:0"`, "admin", `"127.0.0.1:0"`)
	})
	survivor.run(t)
	twin.run(t)
	for _, m := range []*daemon{survivor, twin} {
		d.stands(t, m)
		answersNobody(t, f, m)
	}
	end(twin)
}

// move founds the new fleet and moves a device that has the key, by the command that the
// page gives.
func (d *drill) move(t *testing.T, old *vaults, owner *phone) {
	t.Helper()
	lost := d.card
	d.relayInstead(t, old, d.found(t, "new"))
	owner.card = lost // which the relay that moved does not talk a device out of
	owner.run(append([]string{"vault", "status"}, owner.access()...)...).wants(15)
	owner.card = d.card
	owner.run(append([]string{"vault", "status"}, owner.access()...)...).wants(2, "this device uses another vault")
	args := shown(t, "../doc/disaster.md", "keepsake password set")
	for i, arg := range args {
		if arg == "new-card.json" {
			args[i] = d.card
		}
	}
	args = append(args, "--accept-insecure-vault", "--token-file", owner.tokens, "--password-file", owner.secret("seven camels read the paper"))
	owner.run(args...).wants(2, "nothing was changed")
	owner.run(append(args, "--yes")...).wants(0)
	owner.wantLeft(10)
}

// shown is the command that a page shows in a line of its own, without its name.
func shown(t *testing.T, page, command string) []string {
	t.Helper()
	for line := range strings.Lines(string(must(os.ReadFile(page)))) {
		if strings.HasPrefix(line, command+" ") {
			return strings.Fields(line)[1:]
		}
	}
	t.Fatalf("%s shows no %q", page, command)
	return nil
}

// lostPhone brings the chats to a new phone, with the password that was set anew.
func (d *drill) lostPhone(t *testing.T, owner *phone, chats string) {
	t.Helper()
	phone := d.managed(t, "ann")
	phone.restore(phone.path("Chats"), owner, "seven camels read the paper").wants(0)
	same(t, chats, phone.path("Chats"))
}
