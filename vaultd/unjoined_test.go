package vaultd_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

// problem waits until a machine's status names a problem with all these words.
func (m *machine) problem(words ...string) {
	m.f.t.Helper()
	eventually(m.f.t, fmt.Sprintf("machine %d says %q", m.number, words), func() error {
		all := m.server.Status(m.f.t.Context()).Problems
		for _, p := range all {
			missing := 0
			for _, w := range words {
				if !strings.Contains(p, w) {
					missing++
				}
			}
			if missing == 0 {
				return nil
			}
		}
		return fmt.Errorf("problems %q", all)
	})
}

// cutOff leaves of a machine's group 1 what a joining leaves that was cut off: its folder with
// some files, and an anchor without a replica.
func (m *machine) cutOff(files ...string) {
	m.f.t.Helper()
	dir := filepath.Join(m.config.Dir, "group-001")
	err := errors.Join(os.RemoveAll(dir), os.RemoveAll(filepath.Join(m.dir, "anchor-1")), os.Mkdir(dir, 0o700))
	for _, name := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte("cut"), 0o600))
	}
	if err != nil {
		m.f.t.Fatal(err)
	}
}

// A machine whose joining of a group was cut off serves its other groups, says which one it has
// not joined and why, and joins it when it can. It does not take a replica without its anchor
// for such a one.
func TestJoiningOfAGroupCutOff(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	m := f.machine(3)
	m.stop()
	// A replica was here: what is missing is its anchor, and nobody joins over it.
	dir := filepath.Join(m.config.Dir, "group-001")
	logs := must(filepath.Glob(filepath.Join(dir, "log-*")))
	if len(logs) == 0 {
		t.Fatal("no log of group 1")
	}
	at := filepath.Join(m.dir, "anchor-1")
	if err := os.Rename(at, at+".aside"); err != nil {
		t.Fatal(err)
	}
	m.openAnchor()
	m.config.Anchor, m.config.Peers = m.anchor, m.listen()
	if _, err := vaultd.New(t.Context(), m.config); !errors.Is(err, replica.ErrMissing) {
		t.Fatalf("a group without its anchor: %v", err)
	}
	// Cut off before anything was founded, at each of two moments. Number 3 was welcomed already,
	// with a nonce that is gone.
	for _, files := range [][]string{{"lock"}, {"lock", ".tmp-x", "checkpoint-00000000000000000001"}} {
		m.stop()
		m.cutOff(files...)
		m.start()
		m.problem("group 1", "not joined", "welcomed already")
		if st := m.server.Status(t.Context()); len(st.Groups) != 1 {
			t.Errorf("%d groups are here", len(st.Groups))
		}
		eventually(t, "the root is served", func() error {
			if !m.server.Status(t.Context()).Ready {
				return errors.New("not ready")
			}
			return nil
		})
	}
	said := func() int { return bytes.Count(f.log.Bytes(), []byte(`"msg":"joining a group`)) }
	before := said()
	for range 3 {
		m.server.NotJoined(1, errors.New("again"))
	}
	m.problem("group 1", "again")
	if before != 2 || said() != before {
		t.Errorf("told %d times by two starts, then %d", before, said())
	}
}

// A joining that was cut off before the group had welcomed the machine is made up for by the
// next start, without anybody.
func TestJoiningOfAGroupIsMadeUpFor(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 1, 2)
	f.change = func(m *machine) {
		if err := os.MkdirAll(filepath.Join(m.config.Dir, "group-001"), 0o700); err != nil {
			t.Fatal(err)
		}
		m.cutOff("lock")
	}
	f.join(2)
	f.settled()
	if p := f.machine(2).server.Status(t.Context()).Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
}

// A group that cannot be joined is tried once a second, whatever happens meanwhile, and the
// keeper's minutes make it no more; when it was taken away again it is not tried.
func TestJoiningIsTriedOnceASecond(t *testing.T) {
	t.Parallel() // it waits more than it computes
	f := newFleet(t, 1, 2)
	tried := make(chan time.Time, 100)
	f.change = func(m *machine) {
		m.config.GroupAnchor = func(uint32) (anchor.Anchor, error) {
			tried <- time.Now()
			return nil, errors.New("no slot free")
		}
	}
	m := f.join(2)
	// How much later than a second the next comes is the machine's business: what counts is that it comes, and not sooner.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for last, n, minutes := (time.Time{}), 0, 0; n < 4; {
		select {
		case <-tick.C:
			if minutes++; minutes <= 30 {
				m.clock.advance(time.Minute)
			}
		case at := <-tried:
			if d := at.Sub(last); d < time.Second {
				t.Errorf("tried again after %v", d)
			}
			last, n = at, n+1
		case <-end:
			t.Fatalf("tried %d times, and never again", n)
		}
	}
	f.placed(roster.Remove, 1, 2)
	eventually(t, "it is tried no more", func() error {
		for len(tried) > 0 {
			<-tried
		}
		time.Sleep(1500 * time.Millisecond)
		if n := len(tried); n > 0 {
			return fmt.Errorf("%d more tries", n)
		}
		return nil
	})
}

// A group that hangs while it is joined does not keep from this machine what operators change.
func TestJoiningHoldsUpNothing(t *testing.T) {
	t.Parallel() // it waits more than it computes
	f := newFleet(t, 1, 2)
	hangs := make(chan struct{})
	defer close(hangs)
	f.change = func(m *machine) {
		m.config.GroupAnchor = func(uint32) (anchor.Anchor, error) {
			<-hangs
			return nil, errors.New("no slot free")
		}
	}
	m := f.join(2)
	void := f.next(roster.Void)
	f.decide(void)
	eventually(t, "the machine knows of the change", func() error {
		if st := m.server.Status(t.Context()); st.Roster.Serial != void.Serial {
			return fmt.Errorf("change %d of %d", st.Roster.Serial, void.Serial)
		}
		return nil
	})
}
