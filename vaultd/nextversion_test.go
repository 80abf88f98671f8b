//go:build nextversion

package vaultd_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// marks reads the metric; -1: none, as of an older program.
func (m *machine) marks() (n int) {
	m.f.t.Helper()
	for line := range strings.Lines(m.f.admin(m, "GET", "/metrics", nil).Body.String()) {
		if _, err := fmt.Sscanf(line, "vaultd_marks %d", &n); err == nil {
			return n
		}
	}
	return -1
}

func (f *fleetOf) leads(number uint64) {
	f.t.Helper()
	eventually(f.t, fmt.Sprint("machine ", number, " leads"), func() error {
		l := f.leader()
		if l.number == number {
			return nil
		}
		return errors.Join(l.server.Transfer(f.t.Context(), number), fmt.Errorf("%d leads", l.number))
	})
}

// Old and new side by side: a new leader uses nothing that an old member does not
// read, an old leader serves new members, and what is new comes when the last old one
// is gone. From then on the old program stops with a text, and loses nothing.
func TestMixedVersions(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1, func(m *machine) { vaultd.SetVersion(&m.config, 2) })
	p := f.registered("alice", "right")
	serves := func(at *machine) {
		t.Helper()
		f.askAt(at)
		wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
	}
	f.machine(2).upgrade(3)
	f.machine(3).upgrade(3)
	f.leads(2) // a new leader, an old follower
	for _, m := range f.machines {
		serves(m)
		if n := m.marks(); n > 0 {
			t.Errorf("machine %d has %d marks beside an old one", m.number, n)
		}
	}
	f.leads(1) // an old leader, new followers
	serves(f.machine(2))
	f.machine(1).upgrade(3)
	eventually(t, "the mark is everywhere", func() error {
		for _, m := range f.machines {
			if n := m.marks(); n < 1 {
				return fmt.Errorf("machine %d has %d", m.number, n)
			}
		}
		return nil
	})
	f.leads(2)
	m := f.machine(3)
	m.stop()
	m.openAnchor()
	vaultd.SetVersion(&m.config, 2)
	m.config.Anchor, m.config.Peers = m.anchor, m.listen()
	if s, err := vaultd.New(t.Context(), m.config); err == nil {
		<-s.Done()
		if !errors.Is(s.Err(), replica.ErrNewer) {
			t.Errorf("an old program beside marks: %v", s.Err())
		}
		_ = s.Close()
	} else if !errors.Is(err, replica.ErrNewer) {
		t.Errorf("an old program starts on marks: %v", err)
	}
	m.config.Peers.Close()
	m.stop()
	m.upgrade(3)
	serves(m)
}
