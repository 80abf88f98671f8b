package machine_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// later is entries of a program that is yet to be written.
func later() map[string][]byte {
	command := (&vault.Command{Kind: vault.Tick, Time: begin}).Encode()
	version, kind := bytes.Clone(command), bytes.Clone(command)
	version[0], kind[1] = 2, byte(vault.Restrict)+1
	// A type of request that is unknown, where a known one stands.
	about := request(&vaultapi.StatusBody{}, "alice")
	about[bytes.LastIndexByte(about, byte(vaultapi.Status))] = byte(vaultapi.Cancel) + 1
	return map[string][]byte{
		"version": version, "kind": kind, "request": about, "label": []byte("keepsake something\x01"), "octet": {0xff},
	}
}

// A member that meets what a newer program wrote halts, says so, and has changed nothing; and as a leader it never
// proposes such a thing.
func TestNewerEntriesAreNotGuessed(t *testing.T) {
	k := newKit(1)
	for name, entry := range later() {
		m := must2(k.found(t, 0))
		before := picture(t, m)
		if needs := m.Needs(entry, false); needs != replica.Unknown {
			t.Errorf("%s: needs version %d", name, needs)
		}
		if e, err := m.Apply(entry, true); e != nil || !errors.Is(err, replica.ErrNewer) || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%s: %v, %v", name, e, err)
		}
		if !bytes.Equal(before, picture(t, m)) {
			t.Errorf("%s: something changed", name)
		}
	}
	m := must2(k.found(t, 0))
	signed := k.sign(add(m, 2), 2)
	for name, newer := range map[string][]byte{
		"title": bytes.Replace(signed, []byte("change v1\n"), []byte("change v3\n"), 1), "form": append([]byte{2}, signed[1:]...),
		"ten": bytes.Replace(signed, []byte("change v1\n"), []byte("change v10"), 1),
	} {
		if needs := m.Needs(newer, true); needs != replica.Unknown {
			t.Errorf("%s: needs version %d", name, needs)
		}
		if e, err := m.Change(newer); e != nil || !errors.Is(err, replica.ErrNewer) {
			t.Errorf("a change of another %s: %v, %v", name, e, err)
		}
	}
}

// What version 1 has is proposed at once; a broken entry of it is not taken for a newer one.
func TestKnownEntries(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	known := [][]byte{
		k.genesis.Encode(), request(proposal(1), "alice"), request(&vaultapi.StatusBody{}, "alice"), request(&vaultapi.CancelBody{Authority: vaultapi.Authority{Kind: vaultapi.ByDevice}}, "alice"),
		(&vault.Command{Kind: vault.Tick, Time: begin}).Encode(), machine.WelcomeEntry(2, [32]byte{1}),
	}
	for i, entry := range known {
		if needs := m.Needs(entry, false); needs != 1 {
			t.Errorf("entry %d needs version %d", i, needs)
		}
		if _, err := m.Apply(entry[:len(entry)-1], true); err == nil || errors.Is(err, replica.ErrNewer) {
			t.Errorf("a part of entry %d: %v", i, err)
		}
	}
	signed := k.sign(add(m, 2), 2)
	for n := range signed {
		if needs := m.Needs(signed[:n], true); needs != 1 {
			t.Errorf("%d bytes of a change need version %d", n, needs)
		}
	}
}

// regressions.md, State: version minimums not enforced (Signal). A member under the minimum stops when the minimum is
// applied, and neither its state nor another's picture lets it start again; one that is new enough goes on, and the
// minimum never goes down.
func TestVersionMinimumsEnforced(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	newer := machine.NewAs(machine.Version+1, 0, nil)
	if err := newer.Restore(bytes.NewReader(picture(t, m))); err != nil {
		t.Fatal(err)
	}
	c := m.Roster().Next(roster.SetMinVersion)
	c.MinVersion = machine.Version + 1
	signed := k.sign(c, 2)
	_, err := m.Change(signed)
	old, ok := errors.AsType[*machine.VersionError](err)
	if !ok || old.Least != machine.Version+1 || old.Has != machine.Version || !errors.Is(err, replica.ErrNewer) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("a member under the minimum: %v", err)
	}
	if o := change(t, newer, signed); o.Refused != nil || newer.Least() != machine.Version+1 {
		t.Errorf("a member that is new enough: %+v, least %d", o, newer.Least())
	}
	if err := machine.New(0, nil).Restore(bytes.NewReader(picture(t, newer))); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("starts from a picture that asks for a newer program: %v", err)
	}
	lower := newer.Roster().Next(roster.SetMinVersion)
	lower.MinVersion = machine.Version
	if o := change(t, newer, k.sign(lower, 3)); o.Refused == nil {
		t.Error("the minimum goes down")
	}
	// Who must be upgraded is no error of this machine's.
	if errors.Is(&machine.VersionError{Least: 2, Member: 3, Has: 1}, replica.ErrNewer) {
		t.Error("another's age stops this machine")
	}
}

// A picture of a later form is not read.
func TestNewerPicture(t *testing.T) {
	k := newKit(1)
	whole := picture(t, must2(k.found(t, 0)))
	whole[len("keepsake group")] = machine.Version + 1
	if err := machine.New(0, nil).Restore(bytes.NewReader(whole)); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("a picture of the next version: %v", err)
	}
}
