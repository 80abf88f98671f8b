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

	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// left wants a machine to have noted that it left a group.
func (m *machine) left(group uint32) {
	m.f.t.Helper()
	eventually(m.f.t, "the machine knows that it left", func() error {
		_, err := os.Stat(filepath.Join(m.config.Dir, fmt.Sprintf("group-%03d", group), "left"))
		return err
	})
}

// A machine that was down when it was taken out of a group, and that nobody there hears any more,
// lets go of it when it is back.
func TestRemovedFromAGroupWhileAway(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	away := f.machine(3)
	f.askAt(f.machine(1))
	away.stop()
	f.placed(roster.Remove, 1, 3)
	f.settled()
	away.start()
	f.settled()
	away.left(1)
	if p := away.server.Status(t.Context()).Problems; len(p) != 0 {
		t.Errorf("problems %q", p)
	}
	away.stop()
	away.start()
	f.settled()
	time.Sleep(time.Second)
	if n := bytes.Count(f.log.Bytes(), []byte(`"msg":"left a group"`)); n != 1 {
		t.Errorf("it left %d times", n)
	}
}

// Of two voters of a group both are needed to let one go. The one that leaves is restarted after the
// root has decided it, and before the group, whose other voter is down: it helps that when it is back.
func TestLeavingMemberIsNeeded(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	f.askAt(f.machine(3))
	p := f.registeredIn(1, "alice")
	f.placed(roster.Remove, 1, 3)
	f.settled()
	stays, leaves := f.machine(2), f.machine(1)
	stays.stop()
	f.placed(roster.Remove, 1, 1)
	leaves.problem("group 1", "this machine was taken out of it")
	leaves.stop()
	leaves.start()
	stays.start()
	f.settled()
	leaves.left(1)
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 10 {
		t.Errorf("%d left", st.Left)
	}
}

// One of two voters is not taken out of a fleet of several groups at once: nobody would hear it any more, and
// the groups could not decide that it goes. Without its vote it is.
func TestRemovalIsRefusedThatAGroupCannotFollow(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 2, 4)
	f.settled()
	f.askAt(f.machine(1))
	remove := f.about(roster.Remove, 2)
	_, err := f.tried(remove)
	if refusal, ok := errors.AsType[*roster.Refusal](err); !ok || refusal.Code != vaultd.Behind || !strings.Contains(refusal.Hint, "demote member 2 first") {
		t.Fatalf("removed: %v", err)
	}
	f.decide(f.about(roster.Demote, 2))
	remove = f.about(roster.Remove, 2)
	f.decide(remove)
	eventually(t, "the groups decided it", func() error {
		for _, g := range f.machine(1).server.Status(t.Context()).Groups {
			if g.Serial != remove.Serial || g.Replica.Leader != 1 {
				return fmt.Errorf("group %d: at change %d of %d, led by %d", g.Group, g.Serial, remove.Serial, g.Replica.Leader)
			}
		}
		return nil
	})
}

// The root group decides a removal with the one who goes: of two voters there it takes both.
func TestOneOfTwoIsRemoved(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 2, 1)
	f.askAt(f.machine(1))
	f.remove(2)
	eventually(t, "both know it", func() error {
		if st := f.asked.server.Status(t.Context()); len(st.Members) != 1 || st.Replica.Leader != 1 {
			return fmt.Errorf("%d members, led by %d", len(st.Members), st.Replica.Leader)
		}
		if err := f.machine(2).server.Err(); !errors.Is(err, vaultd.ErrRemoved) {
			return fmt.Errorf("who was removed: %v", err)
		}
		return nil
	})
}

// A machine that will not help any more, stolen say, is taken out of the fleet all the same: out of the group that
// needs it first, which then stands still. Better that no key comes out of it than that a thief is heard.
func TestStolenMachineThatAGroupNeeds(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	f.settled()
	f.askAt(f.machine(3))
	f.placed(roster.Remove, 1, 3)
	f.settled()
	f.machine(2).stop()
	remove := f.about(roster.Remove, 2)
	_, err := f.tried(remove)
	if refusal, ok := errors.AsType[*roster.Refusal](err); !ok || !strings.Contains(refusal.Reason, "group 1 needs member 2") || !strings.Contains(refusal.Hint, "--group") {
		t.Fatalf("removed: %v", err)
	}
	f.placed(roster.Remove, 1, 2)
	f.decide(f.about(roster.Remove, 2))
	if members := f.asked.server.Status(t.Context()).Members; len(members) != 2 {
		t.Errorf("the fleet still has %d members", len(members))
	}
}
