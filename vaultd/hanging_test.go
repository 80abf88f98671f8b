package vaultd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// A machine whose anchor hangs says that it is not ready, and why, and whoever asks it for
// anything, or has it ask others, waits no longer than it wants to.
func TestMachineThatHangs(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	var hang anchortest.Hang
	f := newFleet(t, 3, 1, func(m *machine) {
		if m.number == 2 {
			m.anchor = hang.Of(m.anchor)
		}
	})
	m := f.machine(2)
	hang.Lock()
	defer hang.Unlock()
	f.askAt(f.machine(1))
	f.decide(f.next(roster.Void))
	eventually(t, "the balancer is told", func() error {
		if r := f.admin(m, "GET", "/readyz", nil); r.Code != http.StatusServiceUnavailable {
			return errors.New("ready")
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answered := make(chan struct{})
	go func() { m.server.Status(ctx); close(answered) }()
	select {
	case <-answered:
	case <-time.After(patience):
		t.Error("its status does not come while it hangs")
	}
	m.problem("group 0", "hangs")
}

// A member of a group that hangs is passed over by who has requests for the group, and is not
// the first to be asked next time.
func TestMemberThatHangsIsPassedOver(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	var hang anchortest.Hang
	f := newFleet(t, 3, 2, func(m *machine) {
		m.config.Limits.Commit = 2 * time.Second
		if m.number == 2 {
			m.config.GroupAnchor = func(group uint32) (anchor.Anchor, error) {
				a, err := m.groupAnchor(group)
				return hang.Of(a), err
			}
		}
	})
	f.settled()
	f.placed(roster.Remove, 1, 1) // its requests go to machine 2, which answered last
	f.placed(roster.Demote, 1, 2) // and cannot do without 3
	f.settled()
	f.askAt(f.machine(1))
	var people []*person
	for n := range 8 {
		people = append(people, f.registered(fmt.Sprint(n), "right"))
	}
	hang.Lock()
	defer hang.Unlock()
	for range 2 {
		for _, p := range people {
			wants(t, p.ask(newGuess("right").body), vaultapi.OK)
		}
	}
}

// So is one that has too much to do. When all have that have the group, whoever asked is told so, and not that
// there is no quorum.
func TestMemberThatIsBusyIsPassedOver(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	f.askAt(f.machine(1))
	p := f.registeredIn(1, "alice")
	f.placed(roster.Remove, 1, 1)
	f.settled()
	for i, want := range []vaultapi.Code{vaultapi.OK, vaultapi.Busy} {
		f.machines[1+i].server.Wrap(func(c vaultd.Committer) vaultd.Committer {
			return &between{Committer: c, before: func() error { return replica.ErrFull }}
		})
		wants(t, p.ask(newGuess("right").body), want)
	}
}
