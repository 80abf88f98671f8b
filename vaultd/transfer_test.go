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
	f.askAt(f.leader())
	f.join(4) // and gets no vote
	type order struct {
		at  *machine
		to  uint64
		why string
	}
	refused := func(give func(leader *machine, others []*machine) order) {
		t.Helper()
		f.led(func(leader *machine, others []*machine) (own uint64, err error) {
			o := give(leader, others)
			r := f.admin(o.at, "POST", fmt.Sprint("/transfer?to=", o.to), nil)
			switch {
			case r.Code == http.StatusNoContent:
				return 1, fmt.Errorf("given to %d, want %q", o.to, o.why)
			case r.Code != http.StatusConflict || !strings.Contains(r.Body.String(), o.why):
				return 0, fmt.Errorf("%w: to %d: HTTP %d %s, want %q", errYet, o.to, r.Code, r.Body, o.why)
			}
			return 0, nil
		})
	}
	refused(func(leader *machine, _ []*machine) order {
		return order{leader, 9, "group 0: member 9 is not one of its members"}
	})
	refused(func(leader *machine, _ []*machine) order {
		return order{leader, 4, "group 0: member 4 has no vote in it"}
	})
	refused(func(leader *machine, _ []*machine) order { return order{leader, leader.number, "is this one"} })
	refused(func(leader *machine, others []*machine) order {
		return order{others[0], leader.number, fmt.Sprintf("member %d, this one, leads nothing", others[0].number)}
	})
	refused(func(_ *machine, others []*machine) order { return order{others[0], 0, "leads nothing"} })
	refused(func(leader *machine, others []*machine) order {
		for n := range full {
			full[n].Store(uint64(n) == others[0].number)
		}
		return order{leader, others[0].number, "has no room for its log"}
	})
	for n := range full {
		full[n].Store(false)
	}
	var gone *machine
	f.led(func(_ *machine, others []*machine) (uint64, error) { gone = others[1]; return 0, nil })
	gone.stop()
	// A transfer to it while it still counts as heard would be tried, and given up.
	f.led(func(leader *machine, _ []*machine) (uint64, error) {
		if leader.server.Status(t.Context()).Members[gone.number-1].Active {
			return 0, fmt.Errorf("%w: it is heard of", errYet)
		}
		return 0, nil
	})
	refused(func(leader *machine, _ []*machine) order { return order{leader, gone.number, "is not heard of"} })
	f.led(func(leader *machine, others []*machine) (uint64, error) {
		if err := leader.server.Transfer(t.Context(), others[0].number); err != nil {
			return 0, err
		}
		if l := f.leader(); l != others[0] {
			return 1, fmt.Errorf("machine %d leads, want %d", l.number, others[0].number)
		}
		return 1, nil
	})
	gone.start() // so that the fleet ends with a quorum
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
