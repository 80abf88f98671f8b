package vaultd_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// upgrade starts a machine again with a program of another version.
func (m *machine) upgrade(version uint32) {
	m.f.t.Helper()
	m.stop()
	vaultd.SetVersion(&m.config, version)
	m.start()
	eventually(m.f.t, fmt.Sprintf("machine %d is back as version %d", m.number, version), func() error {
		st := m.server.Status(m.f.t.Context())
		for _, g := range m.f.leader().server.Status(m.f.t.Context()).Groups {
			for _, seen := range g.Members {
				if seen.Number == m.number && (seen.Version != version || seen.Lag > 0) {
					return fmt.Errorf("%+v, seen as %+v", st.Replica, seen)
				}
			}
		}
		return nil
	})
}

// raise asks the fleet for a minimum version.
func (f *fleetOf) raise(version uint32) error {
	c := f.next(roster.SetMinVersion)
	c.MinVersion = version
	_, err := f.tried(c)
	return err
}

// regressions.md, State: version minimums not enforced (Signal). A fleet goes from one version to the next, a machine at
// a time, and serves meanwhile. The minimum follows when nobody is older, whoever leads; from then on the old program
// is refused at the start, before it has answered anything.
func TestVersionMinimumsEnforced(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	const next = vaultd.Version + 1
	f := newFleet(t, 3, 1)
	p := f.registered("alice", "right")
	for number := uint64(1); number <= 3; number++ {
		old, ok := errors.AsType[*vaultd.VersionError](f.raise(next))
		if !ok || old.Has != vaultd.Version || old.Member < number {
			t.Errorf("%d machines are upgraded: %+v", number-1, old)
		}
		f.machine(number).upgrade(next)
		f.askAt(f.machine(number))
		wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
	}
	if err := f.raise(next); err != nil {
		t.Fatal(err)
	}
	if err := f.raise(next + 1); err == nil {
		t.Error("a version that nobody has")
	}
	f.leader()
	m := f.followers()[0]
	m.stop()
	m.openAnchor()
	vaultd.SetVersion(&m.config, vaultd.Version)
	m.config.Anchor, m.config.Peers = m.anchor, m.listen()
	_, err := vaultd.New(t.Context(), m.config)
	m.config.Peers.Close()
	if old, ok := errors.AsType[*vaultd.VersionError](err); !ok || old.Least != next || !errors.Is(err, replica.ErrNewer) {
		t.Errorf("the old program starts: %v", err)
	}
	m.stop()
	m.upgrade(next)
	f.askAt(m)
	wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
}

// A learner without the state, or out of reach, is given no vote, whichever member is asked; the state machine itself would take it.
func TestPromotionWaits(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 2, 2)
	m := f.newMachine(3)
	add := f.next(roster.Add)
	add.Member = m.card().Member(3)
	f.decide(add)
	for _, asked := range f.up() {
		f.askAt(asked)
		promote := f.about(roster.Promote, 3)
		_, err := f.tried(promote)
		refusal, ok := errors.AsType[*roster.Refusal](err)
		if !ok || refusal.Code != vaultd.Behind || refusal.Hint == "" {
			t.Fatalf("asked at %d: %v", asked.number, err)
		}
		if r := f.propose(f.signed(promote)); r.Code != http.StatusConflict || !strings.Contains(r.Body.String(), "refused (behind): member 3") {
			t.Errorf("asked at %d: HTTP %d %s", asked.number, r.Code, r.Body)
		}
		if r := must(vaultd.OpenRoster(must(asked.server.Roster()), f.fleet)); r.Serial != add.Serial {
			t.Errorf("change %d was made", r.Serial)
		}
	}
}
