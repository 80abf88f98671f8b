package vaultd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/roster"
	"keepsake.example/vaultapi"
)

// placed has the operators change where a group is.
func (f *fleetOf) placed(kind roster.Kind, group uint32, number uint64) {
	f.t.Helper()
	c := f.next(kind)
	c.Group, c.Member = group, roster.Member{Number: number}
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
// own. A machine that has not the group of an account has another one decide it, and
// a new machine takes a group over while it is used.
func TestGroups(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 4)
	f.settled()
	var people []*person
	for n := range 12 {
		f.askAt(f.machines[n%3])
		people = append(people, f.registered(fmt.Sprint("person-", n), "right"))
	}
	counted := func(left uint8) {
		t.Helper()
		for n, p := range people {
			for _, m := range f.machines {
				f.askAt(m)
				if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != left {
					t.Errorf("machine %d: person %d has %d left, want %d", m.number, n, st.Left, left)
				}
			}
		}
	}
	counted(10)
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
	counted(9)
	// A fourth machine takes its place in group 1.
	f.askAt(f.machine(1))
	f.join(4)
	f.placed(roster.Add, 1, 4)
	f.settled()
	f.placed(roster.Promote, 1, 4)
	f.settled()
	counted(9)
	for _, m := range f.machines {
		m.stop()
	}
	for _, m := range f.machines {
		m.start()
	}
	f.askAt(f.leader())
	f.settled()
	counted(9)
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
