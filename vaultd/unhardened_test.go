package vaultd_test

import (
	"context"
	"errors"
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
	// From the member that follows, whichever it is just then, to the one that leads.
	askAs := func(p *person, body vaultapi.Body) (a *vaultapi.Answer, err error) {
		for {
			leader, term := f.term()
			thief := f.followers()[0]
			a, err = thief.server.AskAs(t.Context(), leader.number, 0, &vault.Command{Kind: vault.Request, Account: p.account, Body: body})
			if err == nil {
				return a, nil
			}
			if _, now := f.term(); now == term {
				return nil, err
			}
		}
	}
	told := 0
	for n := range 3 {
		p := f.person("nobody knows him")
		p.account = vaultapi.Account{0: 0xff, 1: byte(n)} // of no issuer
		ask := func(body vaultapi.Body) *vaultapi.Answer { return must(askAs(p, body)) }
		proposal := p.proposal("his own")
		wants(t, ask(proposal), vaultapi.OK)
		wants(t, ask(&vaultapi.ConfirmBody{Record: proposal.Record}), vaultapi.OK)
		for range 20 {
			g := newHardenedGuess("his own")
			a, err := askAs(p, g.body)
			if err != nil {
				break // busy
			}
			if err := p.finishBoth(g, wants(t, a, vaultapi.OK), f.asked.config.Device.(*chip)); err != nil { // all have one key
				t.Fatal(err)
			}
			told++
			wants(t, ask(p.proveBoth(g)), vaultapi.OK)
		}
	}
	if told != 3*10 {
		t.Errorf("%d answers of the device to three accounts", told)
	}
}
