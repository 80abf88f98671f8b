package vaultd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

func (f *fleetOf) remove(number uint64) {
	f.t.Helper()
	f.decide(f.about(roster.Remove, number))
}

// secret is how a machine stands with a group's secret.
func (m *machine) secret(group uint32) vaultd.SecretStatus {
	for _, g := range m.server.Status(m.f.t.Context()).Groups {
		if g.Group == group {
			return g.Secret
		}
	}
	return vaultd.SecretStatus{}
}

// awaitSecret waits until machines have a generation of a group's secret, and none before it.
func (f *fleetOf) awaitSecret(group uint32, generation uint64, machines ...*machine) {
	f.t.Helper()
	for _, m := range machines {
		eventually(f.t, fmt.Sprintf("machine %d has secret %d of group %d", m.number, generation, group), func() error {
			if st := m.secret(group); st != (vaultd.SecretStatus{Generation: generation}) {
				return fmt.Errorf("%+v", st)
			}
			return nil
		})
	}
}

// What was stolen with a machine is good for nothing after it was removed: not with its keys, not with the secret
// that it had, and not even with the keys of the links of a machine that stays. And clients seal to a new channel key.
func TestRemovedMachineIsUseless(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 4, 1)
	p := f.registered("alice", "right")
	f.askAt(f.machine(1))
	old, stolen := f.machine(4).server.SecretOf(0), f.machine(4)
	keys := f.machine(1).server.Status(t.Context()).Keys
	stolen.stop()
	f.remove(4)
	rest := []*machine{f.machine(1), f.machine(2), f.machine(3)}
	f.awaitSecret(0, 1, rest...)
	f.askAt(rest[0])
	eventually(t, "there is a new channel key", func() error {
		now := rest[0].server.Status(t.Context()).Keys
		if len(now) <= len(keys) || now[len(now)-1].NotAfter < keys[len(keys)-1].NotAfter {
			return fmt.Errorf("%+v", now)
		}
		return nil
	})
	for _, m := range rest {
		if m.server.SecretOf(0) == old {
			t.Errorf("machine %d has the secret that was stolen", m.number)
		}
	}
	wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)

	f.withKeysOf(stolen, old, rest[0], func(ctx context.Context, thief *vaultd.Thief) {
		if err := thief.Report(ctx, 1); err == nil {
			t.Error("the removed machine is answered")
		}
		if given, _, err := thief.Ask(ctx, 1); given || err == nil {
			t.Error("the removed machine is given the secret")
		}
	})
	rest[2].stop() // its host plays the machine, with the files that hold the keys of the links
	f.withKeysOf(rest[2], old, rest[0], func(ctx context.Context, thief *vaultd.Thief) {
		eventually(t, "the links are up", func() error { _, _, err := thief.Ask(ctx, 1); return err })
		if err := thief.Report(ctx, 1); err == nil {
			t.Error("a call under the secret that was stolen is answered")
		}
		if given, err := thief.Welcome(ctx, 1); given {
			t.Errorf("welcomed a second time: %v", err)
		}
		given, box, err := thief.Ask(ctx, 1)
		if err != nil || !given || rest[0].server.Opens(stolen.keys, 3, box) || !rest[0].server.Opens(rest[2].keys, 3, box) {
			t.Errorf("the box of machine 3: given %t, %v; it opens with another key, or not with its own", given, err)
		}
		thief.Secret[0]++ // who never had a secret
		if given, _, err := thief.Ask(ctx, 1); given || err != nil {
			t.Errorf("given %t without having had a secret, %v", given, err)
		}
	})
}

// withKeysOf connects as a machine that is down.
func (f *fleetOf) withKeysOf(m *machine, secret [32]byte, to *machine, do func(context.Context, *vaultd.Thief)) {
	f.t.Helper()
	l := m.listen()
	thief, err := vaultd.Steal(m.keys, l, m.number, secret, to.server)
	if err != nil {
		f.t.Fatal(err)
	}
	defer thief.Close()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	do(ctx, thief)
}

// A machine that was down while the secret changed, twice, asks the others for it when it is back.
func TestMachineSleptWhileTheSecretChanged(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1, func(m *machine) { vaultd.SetOverlap(&m.config, 20) })
	f.join(4) // a learner knows the secret too
	f.machine(3).stop()
	f.machine(4).stop()
	f.leader()
	f.askAt(f.machine(1))
	f.remove(4)
	up := f.up()
	f.awaitSecret(0, 1, up...)
	again := f.admin(up[0], "POST", "/rekey", nil)
	if again.Code != http.StatusOK || again.Body.String() != "group 0: secret 2\n" {
		t.Fatalf("%d %s", again.Code, again.Body)
	}
	f.awaitSecret(0, 2, up...)
	f.machine(3).start()
	f.awaitSecret(0, 2, f.machine(3))
	if f.machine(3).server.SecretOf(0) != up[0].server.SecretOf(0) {
		t.Error("another secret")
	}
	if log := string(f.log.Bytes()); !strings.Contains(log, "took the secret that was made while this machine slept") {
		t.Error("it did not ask")
	}
}

// Beside a machine of version 1 no secret is changed; when the last one is upgraded, it is.
func TestNoNewSecretBesideAnOldMachine(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 4, 1)
	f.machine(2).upgrade(1)
	f.machine(4).stop()
	f.askAt(f.machine(1))
	f.remove(4)
	f.leader()
	eventually(t, "all know that it is due", func() error {
		for _, m := range f.up() {
			if st := m.secret(0); !st.Due {
				return fmt.Errorf("machine %d: %+v", m.number, st)
			}
		}
		return nil
	})
	if _, err := f.machine(1).server.Rekey(t.Context()); err == nil {
		t.Error("a new secret beside a machine that does not know what that is")
	}
	for _, m := range f.up() {
		if st := m.secret(0); st.Generation != 0 || !st.Due {
			t.Errorf("machine %d: %+v", m.number, st)
		}
	}
	eventually(t, "the status says why", func() error {
		for _, m := range f.up() {
			if strings.Contains(m.secret(0).Problem, "not every member reads this yet") {
				return nil
			}
		}
		return errors.New("it does not")
	})
	f.machine(2).upgrade(vaultd.Version)
	f.awaitSecret(0, 1, f.up()...)
}

// Each group has a secret of its own; all change when a machine leaves the fleet.
func TestSecretsOfGroups(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 2)
	before := f.machine(1).server.SecretOf(1)
	f.join(4)
	f.machine(4).stop()
	f.remove(4)
	for group := range uint32(2) {
		f.awaitSecret(group, 1, f.up()...)
	}
	if one := f.machine(1).server.SecretOf(1); one == before || one == f.machine(1).server.SecretOf(0) || one != f.machine(2).server.SecretOf(1) {
		t.Error("the secret of group 1 is not its own, not new, or not everybody's")
	}
	// A machine that comes afterwards is welcomed with the new ones.
	f.join(5)
	eventually(t, "machine 5 is in group 1", func() error {
		if len(f.machine(5).server.Status(t.Context()).Groups) != 2 {
			return errors.New("it is not")
		}
		return nil
	})
	for group := range uint32(2) {
		f.awaitSecret(group, 1, f.machine(5))
	}
}

// Who has a secret could seal in everybody's name: over the links of one machine only what is of that machine is taken.
func TestMessageOverAnothersLink(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 1, 1)
	hello := make([]byte, 98) // of no secret
	hello[0], hello[1], hello[9], hello[17], hello[18] = 1, 1, 2, 1, 1
	dropped := func() uint64 { return f.machine(1).server.Status(t.Context()).Replica.Dropped }
	before := dropped()
	f.machine(1).server.Hear(3, append([]byte{}, hello...))
	f.machine(1).server.Hear(2, append([]byte{}, hello...))
	eventually(t, "the message of member 2 is looked at", func() error {
		if n := dropped(); n != before+1 {
			return fmt.Errorf("%d messages were looked at", n-before)
		}
		return nil
	})
}
