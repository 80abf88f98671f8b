package vaultd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/roster"
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
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
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
