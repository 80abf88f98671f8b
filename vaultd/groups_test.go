package vaultd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// placed has the operators change where a group is.
func (f *fleetOf) placed(kind roster.Kind, group uint32, number uint64) {
	f.t.Helper()
	c := f.about(kind, number)
	c.Group = group
	f.decide(c)
}

// settled waits until every machine has the groups that the roster says, led and up to date.
func (f *fleetOf) settled() {
	f.t.Helper()
	eventually(f.t, "the groups are where they belong", func() error {
		signed, err := f.asked.server.Roster()
		if err != nil {
			return err
		}
		known := must(f.open(signed))
		for _, m := range f.up() {
			st := m.server.Status(f.t.Context())
			here := map[uint32]bool{}
			for _, g := range st.Groups {
				here[g.Group] = true
				if g.Serial != known.Serial || g.Replica.Leader == 0 {
					return fmt.Errorf("machine %d, group %d: serial %d of %d, led by %d", m.number, g.Group, g.Serial, known.Serial, g.Replica.Leader)
				}
			}
			for group := range known.Groups {
				belongs := false
				for _, p := range known.In(group) {
					belongs = belongs || p.Number == m.number
				}
				if belongs != here[group] {
					return fmt.Errorf("machine %d, group %d: here %v, belongs %v", m.number, group, here[group], belongs)
				}
			}
		}
		return nil
	})
}

// Accounts are spread over four groups on three machines, each with a leader of its
// own. A machine that has not the group of an account has another one decide it.
func TestGroups(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 4)
	f.settled()
	var people []*person
	for n := range 12 {
		f.askAt(f.machines[n%3])
		people = append(people, f.registered(fmt.Sprint("person-", n), "right"))
	}
	f.counted(people, 10)
	// Every group has somebody, and nobody is in two.
	spread := map[uint32]bool{}
	for _, g := range f.machine(1).server.Status(t.Context()).Groups {
		spread[g.Group] = g.Replica.Applied > 0
	}
	if len(spread) != 4 {
		t.Errorf("groups %v", spread)
	}
	// Two groups leave machine 3; it answers for them all the same.
	f.askAt(f.machine(1))
	f.placed(roster.Remove, 1, 3)
	f.placed(roster.Remove, 2, 3)
	f.settled()
	f.askAt(f.machine(3))
	for _, p := range people {
		g := newGuess("right")
		a := wants(t, p.ask(g.body), vaultapi.OK)
		if err := p.finish(g, a); err != nil || a.Left != 9 {
			t.Errorf("%d left, %v", a.Left, err)
		}
	}
	f.counted(people, 9)
	for _, m := range f.machines {
		m.stop()
	}
	for _, m := range f.machines {
		m.start()
	}
	f.askAt(f.leader())
	f.settled()
	f.counted(people, 9)
}

// registeredIn registers somebody whose record a group keeps, under a name or, after it, a number.
func (f *fleetOf) registeredIn(group uint32, name string) *person {
	f.t.Helper()
	p := f.person(name)
	for n := 0; must(f.asked.server.GroupOf(p.account)) != group; n++ {
		p = f.person(fmt.Sprint(name, "-", n))
	}
	return f.registered(p.name, "right")
}

// counted wants every machine to say how many attempts everybody has left.
func (f *fleetOf) counted(people []*person, left uint8) {
	f.t.Helper()
	for n, p := range people {
		for _, m := range f.machines {
			f.askAt(m)
			if st := wants(f.t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != left {
				f.t.Errorf("machine %d: person %d has %d left, want %d", m.number, n, st.Left, left)
			}
		}
	}
}

// A new machine takes a group over while its people recover their keys, again and again: each
// attempt is answered, and counted once. The two that it takes it over from leave it, each of which may
// lead it then. Whoever moves the group sees at every machine, also at one without it, how far its members are.
func TestGroupMovesWhileItIsUsed(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 4)
	f.settled()
	people := []*person{f.registeredIn(1, "alice"), f.registeredIn(1, "bob"), f.registeredIn(1, "carol")}
	used, stop := f.recovering(people)
	defer stop()
	f.placed(roster.Remove, 1, 3)
	f.settled()
	used()
	f.join(4)
	f.placed(roster.Add, 1, 4)
	f.settled()
	used()
	f.caughtUp(1, 4, true)
	f.placed(roster.Promote, 1, 4)
	f.settled()
	f.caughtUp(1, 4, false)
	for _, old := range []uint64{1, 2} {
		used()
		f.placed(roster.Remove, 1, old)
		f.settled()
	}
	used()
	stop()
	f.counted(people, 10)
	if in := f.machine(3).server.Status(t.Context()).Members[3].Groups; len(in) != 4 || in[1].Role != "leader" || in[1].Learner {
		t.Errorf("machine 3 says of machine 4, which has group 1 alone: %+v", in)
	}
}

// recovering has people recover their keys until stop, at whichever machine answers. With used
// one waits until each has done so twice more.
func (f *fleetOf) recovering(people []*person) (used, stop func()) {
	ended, done := make(chan struct{}), make([]atomic.Int64, len(people))
	var load sync.WaitGroup
	recover := func(p *person) error {
		g := newGuess("right")
		a, err := f.deliverAnywhere(p.question(g.body))
		if err != nil || a.Code != vaultapi.OK || a.Left != 9 || p.finish(g, a) != nil {
			return fmt.Errorf("attempt: %+v, %v", a, err)
		}
		if a, err = f.deliverAnywhere(p.question(p.prove(g))); err != nil || a.Code != vaultapi.OK {
			return fmt.Errorf("proof: %+v, %v", a, err)
		}
		return nil
	}
	for i, p := range people {
		load.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				if err := recover(p); err != nil {
					f.t.Errorf("%s, after %d recoveries: %v", p.name, done[i].Load(), err)
					return
				}
				done[i].Add(1)
			}
		})
	}
	used = func() {
		f.t.Helper()
		for i := range done {
			from := done[i].Load()
			eventually(f.t, "the group is used", func() error {
				if now := done[i].Load(); now < from+2 {
					return fmt.Errorf("%s recovered %d times, then %d", people[i].name, from, now)
				}
				return nil
			})
		}
	}
	return used, sync.OnceFunc(func() { close(ended); load.Wait() })
}

// caughtUp waits until every machine shows that a member of a group has no lag.
func (f *fleetOf) caughtUp(group uint32, number uint64, learner bool) {
	f.t.Helper()
	for _, m := range f.machines {
		eventually(f.t, "the member has caught up", func() error {
			for _, member := range m.server.Status(f.t.Context()).Members {
				i := slices.IndexFunc(member.Groups, func(g vaultd.MemberGroup) bool { return g.Group == group })
				if member.Number != number {
					continue
				}
				if g := member.Groups[i]; g.Lag == nil || *g.Lag != 0 || g.Learner != learner || g.Applied == 0 {
					return fmt.Errorf("machine %d says %+v", m.number, g)
				}
			}
			return nil
		})
	}
}

// A server that is closed while it lets go of a group closes that group once.
func TestCloseWhileAGroupIsLetGo(t *testing.T) {
	f := newFleet(t, 1, 2)
	f.settled()
	if err := f.machine(1).server.CloseGroup(1); err != nil {
		t.Error(err)
	}
	f.machine(1).stop()
}

// A whole run of a fleet, and then nothing of it in logs, metrics, status or on any disk.
func TestNoSecretsOutsideAFleet(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	f.askAt(f.followers()[0])
	p := f.registered("alice-of-wonderland", "right")
	raw := p.token()
	secrets := secretsOf(p, raw)
	for _, m := range f.machines {
		f.askAt(m)
		g := newGuess("right")
		wants(t, p.ask(g.body), vaultapi.OK)
		wants(t, p.ask(p.prove(g)), vaultapi.OK)
		wants(t, p.status(raw), vaultapi.OK)
	}
	f.askAt(f.machine(1))
	f.join(4) // and with it a picture through the links
	files := 0
	for _, m := range f.machines {
		if r := f.admin(m, "POST", "/checkpoint", nil); r.Code != 204 {
			t.Fatalf("checkpoint: %d %s", r.Code, r.Body)
		}
		for _, path := range []string{"/metrics", "/status", "/bundle", "/roster", "/changes"} {
			find(t, path, f.admin(m, "GET", path, nil).Body.Bytes(), secrets)
		}
		files += searchFolder(t, m.dir, secrets)
		// Its own keys are in no other's hands either: the file is the caller's.
		seeds := map[string][]byte{"keys": m.keys.Encode()[40:80]}
		searchFolder(t, m.dir, seeds)
		m.stop()
	}
	if files < 12 {
		t.Errorf("searched %d files", files)
	}
	find(t, "the log", f.log.Bytes(), secrets)
	if !bytes.Contains(f.log.Bytes(), []byte("machine")) {
		t.Error("the log says nothing at all")
	}
	if _, err := os.Stat(filepath.Join(f.machine(1).config.Dir, "group-001")); err != nil {
		t.Error(err)
	}
}
