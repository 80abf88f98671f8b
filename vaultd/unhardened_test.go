package vaultd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/fleet"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// A newcomer finds the others by a file that nobody signed. Whoever takes the fleet key out of
// it does not get a bundle without one from that machine: it serves with what the state says, or not at all.
func TestRosterFileWithoutTheFleetKey(t *testing.T) {
	t.Parallel() // it waits for an election more than it computes
	f := newFleet(t, 1, 1, func(m *machine) { m.config.Device = newChip(m.clock) })
	m := f.newMachine(2)
	c := f.next(roster.Add)
	c.Member = must(vaultd.ParseCard(m.card().Text())).Member(2)
	f.decide(c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := vaultd.Join(ctx, vaultd.Joining{
		Dir: m.config.Dir, Anchor: m.anchor, Fleet: f.fleet, Roster: must(f.asked.server.Roster()), Keys: m.keys, Peers: m.listen(), Device: m.config.Device,
	}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(m.config.Dir, "roster")
	r := must(roster.Decode(must(os.ReadFile(file))))
	r.Hardening = [33]byte{}
	if err := os.WriteFile(file, r.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	eventually(t, "the newcomer has halted", func() error {
		if signed := m.server.Bundle(); signed != nil {
			if b := must(fleet.Open(signed, f.fleet)); !b.Hardened() {
				t.Fatal("a bundle without the fleet key")
			}
		}
		if err := m.server.Err(); !errors.Is(err, vaultd.ErrFleetKey) {
			return errors.New("still up")
		}
		return nil
	})
}

// Not a promise but its end (threat model, C21): who has a member's memory can ask the others as that
// member, who look at no token then. Accounts cost him nothing, and so the rations, which are by account, do not bound
// what he asks the others' devices. Rule 1 holds for each account all the same.
func TestWhoHasAMembersMemoryAsksTheOthersDevices(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 2, 1, func(m *machine) { m.config.Device = newChip(m.clock) })
	answers, lost := 0, 0
	for n := range 3 {
		p := f.person("nobody knows him")
		p.account = vaultapi.Account{0: 0xff, 1: byte(n)} // of no issuer
		th := &thief{f: f, p: p, told: map[uint64]int{}, lost: map[uint64]int{}}
		proposal := p.proposal("his own")
		th.ask(proposal)
		th.ask(&vaultapi.ConfirmBody{Record: proposal.Record})
		for th.guess() {
			answers++
		}
		for _, n := range th.lost {
			lost += n
		}
	}
	if answers+lost < 3*10 {
		t.Errorf("%d answers of the devices to three accounts, and %d that were lost", answers, lost)
	}
}

// thief asks as the member that follows, whichever it is just then, the one that leads; and counts by who led, because
// after an election another member's device is asked, which has told this account nothing yet.
type thief struct {
	f          *fleetOf
	p          *person
	told, lost map[uint64]int // guesses that a member's device answered, and that nobody answered when they were brought to it
}

// once brings a command to the leader.
func (th *thief) once(body vaultapi.Body) (leader uint64, a *vaultapi.Answer, err error) {
	leader = th.f.leader().number
	c := &vault.Command{Kind: vault.Request, Account: th.p.account, Body: body}
	a, err = th.f.followers()[0].server.AskAs(th.f.t.Context(), leader, 0, c)
	return leader, a, err
}

// ask asks what nobody's rations bound until it is answered, over elections.
func (th *thief) ask(body vaultapi.Body) {
	th.f.t.Helper()
	eventually(th.f.t, fmt.Sprintf("there is an answer to %v", body.Type()), func() error {
		_, a, err := th.once(body)
		if err == nil {
			wants(th.f.t, a, vaultapi.OK)
		}
		return err
	})
}

// guess tries his own password, and proves it, so that it costs no attempt. It reports false once the leader's device has no
// more for the account: after ten, and not before, but for guesses whose answers were lost.
func (th *thief) guess() (told bool) {
	th.f.t.Helper()
	const ration = 10
	g := newHardenedGuess("his own")
	eventually(th.f.t, "there is an answer, or no more of them", func() error {
		leader, a, err := th.once(g.body)
		switch {
		case err == nil && th.told[leader] == ration:
			th.f.t.Fatalf("member %d's device told one account more than %d answers", leader, ration)
		case err == nil:
			told = true
			th.told[leader]++
			if err := th.p.finishBoth(g, wants(th.f.t, a, vaultapi.OK), th.f.asked.config.Device.(*chip)); err != nil { // all have one key
				th.f.t.Fatal(err)
			}
		case !errors.Is(err, vaultd.ErrBusy) || th.told[leader]+th.lost[leader] < ration:
			th.lost[leader]++
			return fmt.Errorf("member %d told %d and lost %d: %w", leader, th.told[leader], th.lost[leader], err)
		}
		return nil
	})
	if told {
		th.ask(th.p.proveBoth(g))
	}
	return told
}
