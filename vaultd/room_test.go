package vaultd_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"keepsake.example/vaultd"
)

// A member whose disk is full says so wherever people look: itself and through the others, once
// in the log when it begins and once when it ends. It is no voter that can be counted on.
func TestFollowerWithoutRoomIsSeen(t *testing.T) {
	t.Parallel()            // it waits for elections more than it computes
	var full [4]atomic.Bool // by machine
	var looked [4]atomic.Int64
	f := newFleet(t, 3, 1, func(m *machine) {
		n := m.number
		vaultd.SetRoom(&m.config, func(uint32) error {
			looked[n].Add(1)
			if full[n].Load() {
				return errors.New("the disk is full")
			}
			return nil
		})
	})
	leader, m := f.leader(), f.followers()[0]
	said := func(text string) int {
		n := 0
		for line := range bytes.Lines(f.log.Bytes()) {
			if bytes.Contains(line, []byte(text)) && bytes.Contains(line, fmt.Appendf(nil, `"machine":%d,`, m.number)) {
				n++
			}
		}
		return n
	}
	told := func(what string, begun, ended int) {
		t.Helper()
		eventually(t, what, func() error {
			if b, e := said("nothing new of this group is taken"), said("there is room again"); b != begun || e != ended {
				return fmt.Errorf("begun %d times, ended %d times", b, e)
			}
			return nil
		})
	}
	// looks waits until the keeper has looked again, and had reason to say it a second time.
	looks := func() {
		t.Helper()
		since := looked[m.number].Load()
		eventually(t, "the keeper looks", func() error {
			if n := looked[m.number].Load() - since; n < 3 {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
	}
	gauge := func(want int) {
		t.Helper()
		if text := f.admin(m, "GET", "/metrics", nil).Body.String(); !strings.Contains(text, fmt.Sprintf("vaultd_group_no_room{group=\"0\"} %d", want)) {
			t.Errorf("no gauge of %d", want)
		}
	}
	gauge(0)
	for round := range 2 {
		full[m.number].Store(true)
		told("the log says that the disk is full", round+1, round)
		looks()
		told("it is said once", round+1, round)
		m.problem("group 0", "takes nothing new", "the disk is full")
		gauge(1)
		eventually(t, "the leader knows", func() error {
			st := leader.server.Status(t.Context())
			if r := st.Members[m.number-1].Report; r == nil || !slices.Equal(r.NoRoom, []uint32{0}) {
				return fmt.Errorf("report %+v", r)
			}
			return nil
		})
		full[m.number].Store(false)
		told("the log says that there is room", round+1, round+1)
		looks()
		told("it is said once", round+1, round+1)
		gauge(0)
	}
	if st := m.server.Status(t.Context()); len(st.Problems) != 0 || len(st.Members[m.number-1].Report.NoRoom) != 0 {
		t.Errorf("at the end: %q", st.Problems)
	}
}

// The leader says which voters it cannot count on, and every member passes that on.
func TestVotersThatLack(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	gone := f.followers()[0]
	gone.stop()
	eventually(t, "the other follower hears of it", func() error {
		leader, other := f.leader(), f.followers()[0] // they may change places
		r := other.server.Status(t.Context()).Members[leader.number-1].Report
		if r == nil || len(r.Lacking) != 1 || r.Lacking[0] != (vaultd.Lacking{Member: gone.number, Why: "is not heard of"}) {
			return fmt.Errorf("the leader's report: %+v", r)
		}
		return nil
	})
}
