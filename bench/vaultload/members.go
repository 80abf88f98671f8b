package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Ports of member i, from 0: where chatd would connect, and 1, 2 and 3 more for the
// operator, the other members, and the relay that makes the way long.
const firstPort = 7600

func port(i, n int) string { return fmt.Sprintf("127.0.0.1:%d", firstPort+10*i+n) }

// members are the processes of a fleet, set up with the commands that an operator
// uses, by one operator whose signature is enough.
type members struct {
	bin, dir string
	issuer   *issuer
	quantum  string // for vaultd.toml
	far      bool   // data centers are apart
	all      []*process
	changes  int
	relays   []net.Listener
	// anchor is what init is told for member i of what it counts on; nil: files.
	anchor func(i int) ([]string, error)
}

// vaultd runs a command.
func (m *members) vaultd(args ...string) ([]byte, error) {
	c := exec.Command(m.bin, args...)
	c.Dir = m.dir
	var problem bytes.Buffer
	c.Stderr = &problem
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("vaultd %v: %w: %s", args, err, problem.String())
	}
	return out, nil
}

func (m *members) config(i int) string { return filepath.Join(m.all[i].home, "vaultd.toml") }

// init makes the files of one more member; what says whether it founds or joins.
func (m *members) init(what ...string) error {
	i := len(m.all)
	advertised := port(i, 2)
	if m.far {
		advertised = port(i, 3)
	}
	p := &process{listen: port(i, 0), admin: port(i, 1), home: filepath.Join(m.dir, fmt.Sprintf("member-%d", i+1))}
	m.all = append(m.all, p)
	flags := []string{"--insecure-software-anchor"}
	if m.anchor != nil {
		var err error
		if flags, err = m.anchor(i); err != nil {
			return err
		}
	}
	what = append(flags, what...)
	text, err := m.vaultd(append([]string{"init", p.home, "--json", "--issuer", issuerName, "--audience", audience, "--jwks", "jwks.json", "--listen", p.listen,
		"--name", fmt.Sprintf("m%d", i+1), "--data-center", fmt.Sprintf("dc%d", i+1), "--advertise", advertised,
		"--insecure-any-relay"}, what...)...)
	if err != nil {
		return err
	}
	if err := m.adjust(i); err != nil {
		return err
	}
	if i == 0 {
		return p.readMade(text)
	}
	p.key = m.all[0].key
	return p.readPin(text)
}

// adjust sets what init has no flag for.
func (m *members) adjust(i int) error {
	lines := [][2]string{{"quantum", strconv.Quote(m.quantum)}, {"peers", strconv.Quote(port(i, 2))}, {"admin", strconv.Quote(port(i, 1))}}
	if m.anchor != nil { // how slow a device is, is what is measured: no request gives up
		lines = append(lines, [2]string{"commit", `"1m"`})
	}
	return configure(m.config(i), append(lines, manyClients...)...)
}

// manyClients is because every client here has a connection of its own, as if it were a chatd's only one, and all
// come from one address.
var manyClients = [][2]string{{"connections", "1000"}, {"connections_per_address", "1000"}}

// configure replaces lines of a TOML file.
func configure(file string, lines ...[2]string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, line := range lines {
		var found bool
		if text, found = setting(text, line[0], line[1]); !found {
			return fmt.Errorf("no %q in %s", line[0], file)
		}
	}
	return os.WriteFile(file, text, 0o600)
}

// setting replaces one line of a TOML file.
func setting(text []byte, name, value string) (out []byte, found bool) {
	for line := range bytes.Lines(text) {
		if k, _, ok := bytes.Cut(line, []byte("=")); ok && string(bytes.TrimSpace(k)) == name {
			line, found = fmt.Appendf(nil, "%s = %s\n", name, value), true
		}
		out = append(out, line...)
	}
	return out, found
}

func (m *members) found() error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(m.dir, "jwks.json"), m.issuer.jwks, 0o600); err != nil {
		return err
	}
	text, err := m.vaultd("operator", "keygen", "op", "--json")
	if err != nil {
		return err
	}
	var key struct{ Public string }
	if err := json.Unmarshal(text, &key); err != nil {
		return err
	}
	return m.init("--operator", "op="+key.Public, "--quorum", "1")
}

func (m *members) serve(i int) error {
	if m.far && len(m.relays) == i {
		l, err := net.Listen("tcp", port(i, 3))
		if err != nil {
			return err
		}
		m.relays = append(m.relays, l)
		go far(l, port(i, 2), farness[i])
	}
	return m.all[i].serve(m.bin)
}

// change has the operator make a change.
func (m *members) change(what ...string) error {
	m.changes++
	file := fmt.Sprintf("change-%d", m.changes)
	steps := [][]string{
		append(append([]string{"operator", "propose"}, what...), "--config", m.config(0), "--out", file),
		{"operator", "sign", file, "--key", "op.key", "--yes"},
		{"operator", "submit", file, "--config", m.config(0), "--yes"},
	}
	for _, s := range steps {
		if _, err := m.vaultd(s...); err != nil {
			return err
		}
	}
	return nil
}

// enter takes one more machine in, and returns when it answers; it is a learner.
func (m *members) enter(fleet string) error {
	i := len(m.all)
	if err := m.init("--join", fleet); err != nil {
		return err
	}
	if err := m.change("add", filepath.Join(m.all[i].home, "member.card")); err != nil {
		return err
	}
	if _, err := m.vaultd("join", "--config", m.config(i), "--from", m.all[0].admin); err != nil {
		return err
	}
	return m.serve(i)
}

// status is what the benchmark needs of it.
type status struct {
	Fleet    string
	Member   int
	Accounts int `json:"accounts_at_most"`
	Replica  struct {
		Role          string
		Leader        int
		Term, Applied uint64
	}
}

func (p *process) status() (s status, err error) {
	c := http.Client{Timeout: 5 * time.Second}
	r, err := c.Get("http://" + p.admin + "/status")
	if err != nil {
		return s, err
	}
	defer r.Body.Close()
	return s, json.NewDecoder(r.Body).Decode(&s)
}

// leader returns the index of the member that leads.
func (m *members) leader() (int, error) {
	for range 600 {
		for i, p := range m.all {
			if s, err := p.status(); err == nil && s.Replica.Role == "leader" {
				return i, nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, errors.New("nobody leads")
}

// startFleet starts a fleet of so many voters.
func startFleet(dir, bin string, n int, quantum time.Duration, apart bool) (*members, error) {
	i, err := newIssuer()
	if err != nil {
		return nil, err
	}
	m := &members{bin: bin, dir: dir, issuer: i, quantum: quantum.String(), far: apart}
	if err := m.grow(n); err != nil {
		return nil, errors.Join(err, m.stop())
	}
	return m, nil
}

func (m *members) grow(n int) error {
	if err := m.found(); err != nil {
		return err
	}
	if err := m.serve(0); err != nil {
		return err
	}
	s, err := m.all[0].status()
	if err != nil {
		return err
	}
	for i := 1; i < n; i++ {
		if err := m.enter(s.Fleet); err != nil {
			return err
		}
		if err := m.promote(i); err != nil {
			return err
		}
	}
	return nil
}

// promote gives a member a vote, once the fleet takes it: it must have caught up.
func (m *members) promote(i int) (err error) {
	for range 100 {
		if err = m.change("promote", fmt.Sprint(i+1)); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// kill ends a member as a power cut would end its process.
func (m *members) kill(i int) error {
	if err := m.all[i].cmd.Process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-m.all[i].ended
	return nil
}

func (m *members) stop() (err error) {
	for _, p := range m.all {
		if p.cmd != nil && p.cmd.Process != nil {
			p.cmd.Process.Signal(syscall.SIGTERM)
			<-p.ended
		}
	}
	for _, l := range m.relays {
		err = errors.Join(err, l.Close())
	}
	return err
}
