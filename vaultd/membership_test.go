package vaultd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/fleet"
	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// The operators' signatures decide who belongs, and nothing else does.
func TestMembership(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.followers()[0])
	leave := f.about(roster.Remove, 3)
	// Over HTTP, as the operators' tools bring it.
	if r := f.propose(f.signed(leave, f.operators[0])); r.Code != http.StatusConflict || !strings.Contains(r.Body.String(), "refused (quorum)") {
		t.Errorf("one signature of two: HTTP %d %s", r.Code, r.Body)
	}
	if r := f.propose([]byte("nothing")); r.Code != http.StatusBadRequest {
		t.Errorf("no change at all: HTTP %d", r.Code)
	}
	f.askAt(f.machine(1))
	p := f.registered("alice", "right")
	leave.Because = "its disk was stolen"
	r := f.propose(f.signed(leave))
	if r.Code != http.StatusOK || r.Body.String() != must(leave.Text()) {
		t.Fatalf("two signatures: HTTP %d %s", r.Code, r.Body)
	}
	if r := f.propose(f.signed(leave)); r.Code != http.StatusOK {
		t.Errorf("the same again, after an answer that was lost: HTTP %d %s", r.Code, r.Body)
	}
	gone := f.machine(3)
	var told []vaultd.SignedChange
	if err := json.Unmarshal(f.admin(f.asked, "GET", "/changes", nil).Body.Bytes(), &told); err != nil || len(told) != 5 || told[4].Text != must(leave.Text()) {
		t.Errorf("the changes are told as %+v, %v", told, err)
	}
	for _, change := range told { // and each says who signed it
		if g := change.Signatures; len(g) != 2 || g[0].Operator == g[1].Operator || !strings.HasPrefix(g[0].Operator, "operator-") || len(g[0].Key) != 64 {
			t.Errorf("signed by %+v", g)
		}
	}
	eventually(t, "the others let it go", func() error {
		if st := f.machine(1).server.Status(t.Context()); len(st.Members) != 2 {
			return fmt.Errorf("%d members", len(st.Members))
		}
		return nil
	})
	f.askAt(gone)
	if status, _, _ := f.post(p.question(&vaultapi.StatusBody{}).bytes); status == http.StatusOK {
		eventually(t, "the removed one stops", func() error {
			if status, _, _ := f.post(p.question(&vaultapi.StatusBody{}).bytes); status == http.StatusOK {
				return errors.New("it still answers")
			}
			return nil
		})
	}
	eventually(t, "it knows why", func() error {
		if err := gone.server.Err(); !errors.Is(err, vaultd.ErrRemoved) {
			return fmt.Errorf("halted: %v", err)
		}
		return nil
	})
	if err := gone.server.Close(); err != gone.server.Err() {
		t.Errorf("Close says more than why it halted, or not that: %v", err)
	}
	gone.stop()
	gone.openAnchor()
	gone.config.Anchor, gone.config.Peers = gone.anchor, gone.listen()
	if _, err := vaultd.New(t.Context(), gone.config); !errors.Is(err, vaultd.ErrRemoved) {
		t.Errorf("started again: %v", err)
	}
	gone.config.Peers.Close()
	// Its number never comes back; the machine, emptied, is a new member.
	f.askAt(f.machine(1))
	gone.stop()
	f.join(4)
	f.promote(4)
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 10 {
		t.Errorf("%d left", st.Left)
	}
}

// A stricter policy is in every member's bundle, and rules at once; a weaker one is refused.
func TestPolicyChange(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	c := f.next(roster.SetPolicy)
	c.Policy = roster.Policy(testPolicy())
	c.Policy.Waits = append([]uint64{}, c.Policy.Waits...)
	c.Policy.Waits[0], c.Policy.Waits[1], c.Policy.Waits[2] = 1000, 5000, 10000
	c.Policy.CoolDown *= 2
	f.decide(c)
	eventually(t, "all bundles have it", func() error {
		for _, m := range f.machines {
			f.askAt(m)
			if b := f.bundle(); b.Policy.Waits[0] != 1000 || b.Policy.CoolDown != c.Policy.CoolDown || !bytes.Equal(m.server.Bundle(), f.machine(1).server.Bundle()) {
				return fmt.Errorf("machine %d: %+v", m.number, b.Policy)
			}
		}
		return nil
	})
	wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	wants(t, p.ask(newGuess("wrong").body), vaultapi.Wait)
	weaker := f.next(roster.SetPolicy)
	weaker.Policy = roster.Policy(testPolicy())
	_, err := f.tried(weaker)
	if refusal, ok := errors.AsType[*roster.Refusal](err); !ok {
		t.Errorf("a weaker policy: %v", err)
	} else if !strings.Contains(refusal.Error(), "refused") {
		t.Errorf("it says %q", refusal)
	}
	// A fleet that asks for a newer program has none of this one.
	newer := f.next(roster.SetMinVersion)
	newer.MinVersion = vaultd.Version + 1
	_, err = f.tried(newer)
	if old, ok := errors.AsType[*vaultd.VersionError](err); !ok || old.Has != vaultd.Version {
		t.Errorf("a version that nobody has: %v", err)
	}
	if r := f.propose(f.signed(newer)); r.Code != http.StatusConflict {
		t.Errorf("a version that nobody has: HTTP %d %s", r.Code, r.Body)
	}
	if err := f.asked.server.Propose(t.Context(), f.signed(newer)); err == nil {
		t.Error("a member applied a version that it does not have")
	}
	for _, m := range f.machines {
		<-m.server.Done()
		if _, ok := errors.AsType[*vaultd.VersionError](m.server.Err()); !ok {
			t.Errorf("machine %d: %v", m.number, m.server.Err())
		}
	}
}

// What is not signed by the fleet, or not for this machine, is no way in.
func TestJoinRefuses(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 1, 1)
	m := f.newMachine(2)
	join := func(r []byte) error {
		_, err := vaultd.Join(t.Context(), vaultd.Joining{Dir: m.config.Dir, Anchor: m.anchor, Fleet: f.fleet, Roster: r, Keys: m.keys, Peers: m.listen()})
		return err
	}
	good := must(f.asked.server.Roster())
	if err := join(good); !errors.Is(err, vaultd.ErrUnlisted) {
		t.Errorf("joined without having been added: %v", err)
	}
	for n := range good {
		if n%7 != 0 && n > 200 {
			continue
		}
		good[n] ^= 4
		if _, err := vaultd.OpenRoster(good, f.fleet); err == nil {
			t.Fatalf("a roster with byte %d changed", n)
		}
		if _, err := vaultd.OpenRoster(good[:n], f.fleet); err == nil {
			t.Fatalf("%d bytes of a roster", n)
		}
		good[n] ^= 4
	}
	elsewhere := newFleet(t, 1, 1)
	if err := join(must(elsewhere.asked.server.Roster())); err == nil || !strings.Contains(err.Error(), "not a roster that this fleet signed") {
		t.Errorf("joined by another fleet's roster: %v", err)
	}
}

// A host empties disk and anchor of members, keeps their key files, and has them join
// again under their numbers: empty, they would elect a leader that lacks what they had
// acknowledged. A number is welcomed once.
func TestEmptiedMemberIsNotWelcomedAgain(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.machine(1))
	for _, m := range f.machines[1:] {
		m.stop()
		m.start() // the same disk and anchor: no question
	}
	f.leader()
	emptied := f.machine(3)
	emptied.stop()
	emptied.empty()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := vaultd.Join(ctx, vaultd.Joining{
		Dir: emptied.config.Dir, Anchor: emptied.anchor, Fleet: f.fleet, Roster: must(f.asked.server.Roster()), Keys: emptied.keys, Peers: emptied.listen(),
	})
	if !errors.Is(err, vaultd.ErrWelcomed) {
		t.Fatalf("joined again: %v", err)
	}
	// As a new member it is welcome.
	f.decide(f.about(roster.Remove, 3))
	f.join(4)
	f.promote(4)
}

// Who has a machine's key file, and no secret, is refused a second welcome without a word of it in
// the group's log, and a first one, repeated, is proposed no more than once a second.
func TestWelcomesAreBounded(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 1, 1)
	m, leader := f.newMachine(2), f.machine(1)
	c := f.next(roster.Add)
	c.Member = m.card().Member(2)
	f.decide(c)
	thief := must(vaultd.Steal(m.keys, m.listen(), 2, [32]byte{}, leader.server))
	defer thief.Close()
	eventually(t, "the first is given", func() error {
		if given, err := thief.WelcomeAs(t.Context(), 1, [32]byte{1}); !given {
			return fmt.Errorf("not given: %v", err)
		}
		return nil
	})
	applied := leader.server.Status(t.Context()).Replica.Applied
	for range 50 {
		if given, err := thief.Welcome(t.Context(), 1); given || err != nil {
			t.Errorf("given %v, %v", given, err)
		}
		thief.WelcomeAs(t.Context(), 1, [32]byte{1})
	}
	if n := leader.server.Status(t.Context()).Replica.Applied - applied; n > 5 {
		t.Errorf("%d entries for 100 questions", n)
	}
	if n := bytes.Count(f.log.Bytes(), []byte("welcomed a second time")); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if err := leader.server.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	time.Sleep(1100 * time.Millisecond) // or it is refused for asking too often
	if given, err := thief.WelcomeAs(t.Context(), 1, [32]byte{1}); given || err == nil {
		t.Error("welcomed by a member that drains")
	}
}

// A machine whose anchor protects nothing does not get into a fleet that is secure,
// and its number is not used up by trying.
func TestInsecureMachineDoesNotJoin(t *testing.T) {
	f := newFleet(t, 1, 1, func(m *machine) {
		m.f.policy = fleet.DefaultPolicy()
		m.anchor = boastful{m.anchor}
	})
	m := f.newMachine(2)
	m.anchor = m.anchor.(boastful).Anchor
	c := f.next(roster.Add)
	c.Member = m.card().Member(2)
	f.decide(c)
	join := func(a anchor.Anchor) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := vaultd.Join(ctx, vaultd.Joining{Dir: m.config.Dir, Anchor: a, Fleet: f.fleet, Roster: must(f.asked.server.Roster()), Keys: m.keys, Peers: m.listen()})
		return err
	}
	if err := join(m.anchor); !errors.Is(err, vaultd.ErrInsecure) {
		t.Errorf("joined on an anchor that protects nothing: %v", err)
	}
	if err := join(boastful{m.anchor}); err != nil {
		t.Errorf("with another anchor: %v", err)
	}
}
