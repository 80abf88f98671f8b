package vaultd_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/anchor/software"
	"keepsake.example/fleet"
	"keepsake.example/internal/mounttest"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

// machine is one machine of a fleet in this process, with links over loopback TLS.
type machine struct {
	f      *fleetOf
	number uint64
	dir    string
	clock  *clock
	keys   *vaultd.Keys
	addr   string
	config vaultd.Config
	anchor anchor.Anchor
	server *vaultd.Server // nil while it is down
}

// fleetOf is a fleet with its operators; its world asks the machine that via names.
type fleetOf struct {
	*world
	mu        sync.Mutex // of asked, machines, and their servers, where there is a load
	operators []ed25519.PrivateKey
	machines  []*machine
	asked     *machine
	log       *safeLog
	groups    uint32
	policy    fleet.Policy
	change    func(*machine)
}

type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *safeLog) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}

func operatorKeys(n int) (keys []ed25519.PrivateKey, list []roster.Operator) {
	for i := range n {
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(200 + i)}, 32))
		keys = append(keys, key)
		list = append(list, roster.Operator{Name: fmt.Sprint("operator-", i), Key: [32]byte(key.Public().(ed25519.PublicKey))})
	}
	return keys, list
}

// newFleet founds a fleet with three operators, of whom two sign, and lets machines
// join until there are n voters.
func newFleet(t testing.TB, n int, groups uint32, change ...func(*machine)) *fleetOf {
	t.Helper()
	f := &fleetOf{world: &world{t: t, dir: t.TempDir(), clock: newClock(), signer: newSigner()}, log: new(safeLog), groups: groups, policy: testPolicy()}
	f.via = func() *vaultd.Server {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.asked.server
	}
	for _, c := range change {
		f.change = c
	}
	keys, operators := operatorKeys(3)
	f.operators = keys
	m := f.newMachine(1)
	id, _, err := vaultd.Found(t.Context(), vaultd.Founding{
		Dir: m.config.Dir, Anchor: m.anchor, Policy: f.policy, Self: m.card(), Operators: operators, Quorum: 2,
		Groups: groups, GroupAnchor: m.groupAnchor, Clock: m.clock, Device: m.config.Device,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.fleet = id
	m.start()
	f.asked = m
	for number := uint64(2); number <= uint64(n); number++ {
		f.join(number)
		f.promote(number)
	}
	return f
}

func (f *fleetOf) newMachine(number uint64) *machine {
	f.t.Helper()
	m := &machine{f: f, number: number, dir: f.t.TempDir(), clock: newClock(), keys: must(vaultd.NewKeys())}
	m.clock.wall = f.clock.Wall()
	m.addr = fmt.Sprint("127.0.0.1:", mounttest.Port(f.t, 0))
	limits := vaultd.DefaultLimits()
	limits.Quantum = 0
	m.config = vaultd.Config{
		Dir: filepath.Join(m.dir, "state"), Tokens: verifier(f.t, f.signer), Limits: limits, AcceptInsecureAnchor: true,
		Clock: m.clock, Keys: m.keys, GroupAnchor: m.groupAnchor,
		Log: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("machine", number),
	}
	m.openAnchor()
	if f.change != nil {
		f.change(m)
	}
	f.mu.Lock()
	f.machines = append(f.machines, m)
	f.mu.Unlock()
	f.t.Cleanup(m.stop)
	return m
}

func (m *machine) openAnchor() { m.anchor = must(software.Open(filepath.Join(m.dir, "anchor"))) }

func (m *machine) groupAnchor(group uint32) (anchor.Anchor, error) {
	return software.Open(filepath.Join(m.dir, fmt.Sprint("anchor-", group)))
}

func (m *machine) card() vaultd.Card {
	return m.keys.Card(fmt.Sprint("machine-", m.number), fmt.Sprint("dc-", m.number), m.addr)
}

func (m *machine) listen() net.Listener {
	m.f.t.Helper()
	var l net.Listener
	eventually(m.f.t, "the port is free", func() (err error) { l, err = net.Listen("tcp", m.addr); return err })
	return l
}

// start opens the server on the machine's disk.
func (m *machine) start() {
	m.f.t.Helper()
	if m.anchor == nil {
		m.openAnchor()
	}
	m.config.Anchor, m.config.Peers = m.anchor, m.listen()
	s, err := vaultd.New(m.f.t.Context(), m.config)
	if err != nil {
		m.f.t.Fatal(err)
	}
	m.runs(s)
}

// runs says which server is asked, nil for none; there may be a load.
func (m *machine) runs(s *vaultd.Server) {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	m.server = s
}

// stop closes the server as SIGTERM does; it may be called twice.
func (m *machine) stop() {
	if m.server != nil {
		// Who is taken out while it is stopped may hear of it from its replica first.
		if err := m.server.Close(); err != nil && m.server.Err() == nil && !errors.Is(err, replica.ErrRemoved) {
			m.f.t.Error(err)
		}
		m.runs(nil)
	}
	if m.anchor != nil {
		m.anchor.Close()
		m.anchor = nil
	}
}

// empty gives a machine that is down an empty disk and an empty anchor.
func (m *machine) empty() {
	m.f.t.Helper()
	for _, name := range []string{"state", "anchor"} {
		if err := os.RemoveAll(filepath.Join(m.dir, name)); err != nil {
			m.f.t.Fatal(err)
		}
	}
	m.openAnchor()
}

// join has the operators add a machine, and brings it up.
func (f *fleetOf) join(number uint64) *machine {
	f.t.Helper()
	m := f.newMachine(number)
	card := must(vaultd.ParseCard(m.card().Text()))
	c := f.next(roster.Add)
	c.Member = card.Member(number)
	f.decide(c)
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	self, err := vaultd.Join(ctx, vaultd.Joining{
		Dir: m.config.Dir, Anchor: m.anchor, Fleet: f.fleet, Roster: must(f.asked.server.Roster()), Keys: m.keys, Peers: m.listen(),
		Device: m.config.Device,
	})
	if err != nil || self != number {
		f.t.Fatalf("joined as %d: %v", self, err)
	}
	m.start()
	eventually(f.t, fmt.Sprint("machine ", number, " has caught up"), func() error {
		if st := m.server.Status(f.t.Context()); !st.Ready {
			return fmt.Errorf("not ready: %+v", st.Replica)
		}
		return nil
	})
	return m
}

// next begins a change of the fleet, by the roster of the machine that is asked: once that has all that was decided,
// of which a member hears a little after the one that proposed it.
func (f *fleetOf) next(kind roster.Kind) *roster.Change {
	f.t.Helper()
	var r *roster.Roster
	eventually(f.t, "the machine that is asked has the newest roster", func() error {
		r = must(f.open(must(f.asked.server.Roster())))
		for _, m := range f.up() {
			signed, err := m.server.Roster()
			if err != nil {
				continue // it has none yet
			}
			if other := must(f.open(signed)); other.Serial > r.Serial {
				return fmt.Errorf("machine %d has roster %d, machine %d has %d", f.asked.number, r.Serial, m.number, other.Serial)
			}
		}
		return nil
	})
	return r.Next(kind)
}

// about is the next change, of a member.
func (f *fleetOf) about(kind roster.Kind, number uint64) *roster.Change {
	f.t.Helper()
	c := f.next(kind)
	c.Member = roster.Member{Number: number}
	return c
}

// open reads a signed roster.
func (f *fleetOf) open(signed []byte) (*roster.Roster, error) {
	return vaultd.OpenRoster(signed, f.fleet)
}

// signed has two operators sign a change.
func (f *fleetOf) signed(c *roster.Change, by ...ed25519.PrivateKey) []byte {
	if by == nil {
		by = f.operators[1:]
	}
	s := &roster.Signed{Text: must(c.Text())}
	for _, key := range by {
		if err := s.Add(must(roster.Sign(s.Text, key))); err != nil {
			panic(err)
		}
	}
	return s.Encode()
}

// tried is what comes of a change at the machine that is asked. As operators do, it asks again where there was no decision
// in time, as on a busy machine.
func (f *fleetOf) tried(c *roster.Change) (done *roster.Change, err error) {
	f.t.Helper()
	eventually(f.t, "there is a decision", func() error {
		done, err = f.asked.server.Change(f.t.Context(), f.signed(c))
		if errors.Is(err, vaultd.ErrNoQuorum) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		return nil
	})
	return done, err
}

// decide has a change decided by the machine that is asked. Who promotes waits until the newcomer has caught up.
func (f *fleetOf) decide(c *roster.Change) {
	f.t.Helper()
	var done *roster.Change
	eventually(f.t, "the newcomer has caught up", func() (err error) {
		done, err = f.tried(c)
		if refusal, ok := errors.AsType[*roster.Refusal](err); err != nil && (!ok || refusal.Code != vaultd.Behind) {
			f.t.Fatal(err)
		}
		return err
	})
	if must(done.Text()) != must(c.Text()) {
		f.t.Errorf("decided %q", must(done.Text()))
	}
}

func (f *fleetOf) promote(number uint64) {
	f.t.Helper()
	f.decide(f.about(roster.Promote, number))
}

// leader waits for a leader that all running machines know.
func (f *fleetOf) leader() *machine {
	f.t.Helper()
	var leader *machine
	eventually(f.t, "all know one leader", func() error {
		var who uint64
		for _, m := range f.up() {
			st := m.server.Status(f.t.Context())
			if !st.Ready || who != 0 && who != st.Replica.Leader {
				return fmt.Errorf("machine %d: %+v", m.number, st.Replica)
			}
			who = st.Replica.Leader
		}
		leader = f.machine(who)
		if leader == nil || leader.server == nil {
			return fmt.Errorf("member %d leads, which is down", who)
		}
		return nil
	})
	return leader
}

// term is that of the root group's leader.
func (f *fleetOf) term() (leader *machine, term uint64) {
	f.t.Helper()
	leader = f.leader()
	return leader, leader.server.Status(f.t.Context()).Replica.Term
}

// led does a step with the leader and the other voters that are up, and does it again with
// the next leader where it failed because there was an election between. The step tells how
// many terms it began itself; with errYet it is done again in any case.
func (f *fleetOf) led(step func(leader *machine, others []*machine) (own uint64, err error)) {
	f.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		leader, term := f.term()
		var others []*machine
		for _, m := range f.up() {
			if m != leader && !leader.server.Status(f.t.Context()).Members[m.number-1].Learner {
				others = append(others, m)
			}
		}
		own, err := step(leader, others)
		if err == nil {
			return
		}
		if now, later := f.term(); later <= term+own && !errors.Is(err, errYet) || time.Now().After(end) {
			f.t.Fatalf("member %d led, in term %d, and %d does in %d: %v", leader.number, term, now.number, later, err)
		}
	}
}

var errYet = errors.New("not yet")

func (f *fleetOf) up() (list []*machine) {
	for _, m := range f.machines {
		if m.server != nil && m.server.Err() == nil {
			list = append(list, m)
		}
	}
	return list
}

func (f *fleetOf) machine(number uint64) *machine {
	for _, m := range f.machines {
		if m.number == number {
			return m
		}
	}
	return nil
}

// followers are the running machines that do not lead.
func (f *fleetOf) followers() (list []*machine) {
	leader := f.leader()
	for _, m := range f.up() {
		if m != leader {
			list = append(list, m)
		}
	}
	return list
}

// advance lets time pass on all machines, and waits until the quorum has it.
func (f *fleetOf) advance(d time.Duration) {
	f.t.Helper()
	f.clock.advance(d)
	for _, m := range f.machines {
		m.clock.advance(d)
	}
	f.await(f.clock.Wall())
}

// back sets both clocks of a machine back, as a host may that is not to be trusted.
func (c *clock) back(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run -= d
	c.wall = c.wall.Add(-d)
}

// await waits until all machines know a quorum's time of at least t, to a second.
func (f *fleetOf) await(t time.Time) {
	f.t.Helper()
	eventually(f.t, "the quorum's time is "+t.String(), func() error {
		for _, m := range f.up() {
			if at := m.time(); at.Before(t.Truncate(time.Second)) {
				return fmt.Errorf("machine %d says %v", m.number, at)
			}
		}
		return nil
	})
}

// time is the vault's time as a machine has it.
func (m *machine) time() time.Time {
	return must(time.Parse(time.RFC3339, m.server.Status(m.f.t.Context()).Time))
}

// patience bounds every wait for something that must happen; it measures nothing.
const patience = time.Minute

// eventually tries until there is no error.
func eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waiting until %s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
