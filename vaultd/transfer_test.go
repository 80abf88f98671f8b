package vaultd_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/vaultd"
)

// Who could not lead is refused before the group is asked for anything: a transfer that waits
// stops it. Whoever is refused, the leader leads on, and gives away when it can.
func TestTransferRefuses(t *testing.T) {
	t.Parallel()            // it waits for elections more than it computes
	var full [5]atomic.Bool // by machine
	f := newFleet(t, 3, 1, func(m *machine) {
		n := m.number
		vaultd.SetRoom(&m.config, func(uint32) error {
			if full[n].Load() {
				return errors.New("the disk is full")
			}
			return nil
		})
	})
	leader, others := f.leader(), f.followers()
	f.askAt(leader)
	f.join(4) // and gets no vote
	refused := func(m *machine, to uint64, why string) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d is refused", to), func() error {
			r := f.admin(m, "POST", fmt.Sprint("/transfer?to=", to), nil)
			if r.Code != http.StatusConflict || !strings.Contains(r.Body.String(), why) {
				return fmt.Errorf("to %d: HTTP %d %s, want %q", to, r.Code, r.Body, why)
			}
			return nil
		})
	}
	refused(leader, 9, "group 0: member 9 is not one of its members")
	refused(leader, 4, "group 0: member 4 has no vote in it")
	refused(leader, leader.number, "is this one")
	refused(others[0], leader.number, fmt.Sprintf("member %d, this one, leads nothing", others[0].number))
	refused(others[0], 0, "leads nothing")
	full[others[0].number].Store(true)
	refused(leader, others[0].number, "has no room for its log")
	full[others[0].number].Store(false)
	others[1].stop()
	if st := f.leader(); st != leader {
		t.Fatalf("machine %d leads", st.number)
	}
	// A transfer to it while it still counts as heard would be tried, and given up.
	eventually(t, "the leader misses it", func() error {
		if leader.server.Status(t.Context()).Members[others[1].number-1].Active {
			return errors.New("it is heard of")
		}
		return nil
	})
	refused(leader, others[1].number, "is not heard of")
	if err := leader.server.Transfer(t.Context(), others[0].number); err != nil {
		t.Error(err)
	}
	if l := f.leader(); l != others[0] {
		t.Errorf("machine %d leads", l.number)
	}
	others[1].start() // so that the fleet ends with a quorum
}

// A member alone has nobody to give to.
func TestTransferAlone(t *testing.T) {
	w := newWorld(t)
	if err := w.server.Transfer(t.Context(), 0); !errors.Is(err, vaultd.ErrTransfer) {
		t.Errorf("given to nobody: %v", err)
	}
	if err := w.server.Drain(t.Context()); err != nil {
		t.Errorf("a drain needs nobody: %v", err)
	}
}

// Each way in which an order fails has its status, by which the command knows what to say.
func TestOrdersThatFail(t *testing.T) {
	w := newWorld(t)
	for err, want := range map[error]int{
		vaultd.ErrTransfer: 409, replica.ErrTransfer: 504, syscall.ENOSPC: 507, errors.New("another"): 500, nil: 204,
	} {
		if err != nil {
			err = fmt.Errorf("doing this: %w", err)
		}
		if got := w.server.Ordered(err); got != want {
			t.Errorf("%v: HTTP %d, want %d", err, got, want)
		}
	}
}
