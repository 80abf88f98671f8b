package machine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultd/machine"
)

// rekeyFor is a new secret for the state as it is, with boxes of one byte.
func rekeyFor(m *machine.Machine, before byte) *machine.Rekey {
	k, members := m.NextRekey()
	k.Check, k.Before = [32]byte{byte(k.Generation)}, [32]byte{before}
	for _, x := range members {
		k.Boxes = append(k.Boxes, machine.Box{Number: x.Number, Sealed: []byte{byte(x.Number)}})
	}
	return k
}

// rekeys applies a new secret, and says whether it was accepted.
func rekeys(t testing.TB, m *machine.Machine, k *machine.Rekey) bool {
	t.Helper()
	if needs := m.Needs(k.Encode(), false); needs != 2 {
		t.Errorf("an entry with a new secret needs version %d", needs)
	}
	before, e := picture(t, m), must(m.Apply(k.Encode(), true)).(*machine.Rekeyed)
	if !e.OK && !bytes.Equal(before, picture(t, m)) {
		t.Error("what was refused changed something")
	}
	return e.OK
}

// threeOf is a group of three: 1 votes, 2 and 3 learn.
func threeOf(t testing.TB, k *kit) *machine.Machine {
	t.Helper()
	m := must2(k.found(t, 0))
	for n := uint64(2); n <= 3; n++ {
		change(t, m, k.sign(add(m, n), 2))
	}
	return m
}

func remove(m *machine.Machine, number uint64) *roster.Change {
	c := m.Roster().Next(roster.Remove)
	c.Member = roster.Member{Number: number}
	return c
}

// A new secret is due when a member left, and is no longer when it was made; whoever has left has no box.
func TestRekeyIsDue(t *testing.T) {
	k := newKit(1)
	m := threeOf(t, k)
	if m.RekeyDue() || !rekeys(t, m, rekeyFor(m, 0)) || m.RekeyDue() {
		t.Error("due without anybody having left")
	}
	change(t, m, k.sign(remove(m, 2), 2))
	if !m.RekeyDue() || m.LastRekey(2) == nil || len(m.LastRekey(2).Boxes) == 0 {
		t.Error("a member left that knows the secret, and has a box of it")
	}
	if !rekeys(t, m, rekeyFor(m, 1)) || m.RekeyDue() {
		t.Error("due after the new secret")
	}
	for n, boxes := range map[uint64]int{1: 1, 2: 0, 3: 1} {
		last, now := m.LastRekey(n), m.Rekeying(n)
		if len(last.Boxes) != boxes || (now.Box != nil) != (boxes == 1) || now.Generation != 2 || now.Check != [32]byte{2} {
			t.Errorf("member %d: %+v, %+v", n, last, now)
		}
		if boxes == 1 && !bytes.Equal(now.Info, last.Info(n)) {
			t.Errorf("member %d: another info", n)
		}
	}
	if !m.Superseded([32]byte{0}) || !m.Superseded([32]byte{1}) || m.Superseded([32]byte{2}) {
		t.Error("which secrets were before")
	}
}

// A new secret that was made for another state, or is sealed to others than the members of the moment, is refused.
func TestRekeyRefused(t *testing.T) {
	k := newKit(1)
	for name, spoil := range map[string]func(*machine.Rekey){
		"fleet":           func(r *machine.Rekey) { r.Fleet[0]++ },
		"group":           func(r *machine.Rekey) { r.Group++ },
		"generation":      func(r *machine.Rekey) { r.Generation++ },
		"repeated":        func(r *machine.Rekey) { r.Generation-- },
		"serial":          func(r *machine.Rekey) { r.Serial++ },
		"before":          func(r *machine.Rekey) { r.Before[0]++ },
		"somebody else":   func(r *machine.Rekey) { r.Boxes = append(r.Boxes, machine.Box{Number: 4, Sealed: []byte{1}}) },
		"not to everyone": func(r *machine.Rekey) { r.Boxes = r.Boxes[:2] },
		"in another's":    func(r *machine.Rekey) { r.Boxes[2].Number = 9 },
		"twice":           func(r *machine.Rekey) { r.Boxes[1].Number = 1 },
		"no box":          func(r *machine.Rekey) { r.Boxes = nil },
		"long box":        func(r *machine.Rekey) { r.Boxes[0].Sealed = make([]byte, 2049) },
	} {
		m := threeOf(t, k)
		if !rekeys(t, m, rekeyFor(m, 0)) {
			t.Fatal("the first is refused")
		}
		r := rekeyFor(m, 1)
		spoil(r)
		if rekeys(t, m, r) {
			t.Errorf("%s: accepted", name)
		}
		if !rekeys(t, m, rekeyFor(m, 1)) {
			t.Errorf("%s: the right one is refused after it", name)
		}
	}
}

// A member that is removed between the making of a secret and its commit does not get it.
func TestRemovedWhileTheSecretIsMade(t *testing.T) {
	k := newKit(1)
	m := threeOf(t, k)
	late := rekeyFor(m, 0)
	change(t, m, k.sign(remove(m, 3), 2))
	if rekeys(t, m, late) || m.LastRekey(3) != nil {
		t.Error("a box for a member that was removed")
	}
	if !m.RekeyDue() || !rekeys(t, m, rekeyFor(m, 0)) {
		t.Error("the secret made after it")
	}
}

// Each group has a secret of its own, which is due when a member leaves that group.
func TestRekeyOfGroups(t *testing.T) {
	k := newKit(2)
	root, other := must2(k.found(t, 0)), must2(k.found(t, 1))
	both := func(c *roster.Change) {
		signed := k.sign(c, 2)
		change(t, root, signed)
		change(t, other, signed)
	}
	both(add(root, 2))
	place := root.Roster().Next(roster.Promote)
	place.Group, place.Member = 1, roster.Member{Number: 2}
	both(place)
	leave := remove(root, 1)
	leave.Group = 1
	both(leave)
	if root.RekeyDue() || !other.RekeyDue() {
		t.Errorf("due: root %t, group 1 %t", root.RekeyDue(), other.RekeyDue())
	}
	r := rekeyFor(other, 0)
	if len(r.Boxes) != 1 || r.Boxes[0].Number != 2 || rekeys(t, root, r) || !rekeys(t, other, r) || other.RekeyDue() {
		t.Errorf("%+v", r.Boxes)
	}
}

// The picture of a group with its first secret is one that version 1 reads; after that version 1 halts. What is read
// is what was written, over more generations than are remembered.
func TestRekeyPicture(t *testing.T) {
	k := newKit(1)
	m := threeOf(t, k)
	if err := machine.NewAs(1, 0, nil).Restore(bytes.NewReader(picture(t, m))); err != nil {
		t.Errorf("version 1: %v", err)
	}
	for n := range 18 {
		r := rekeyFor(m, byte(n))
		old := machine.NewAs(1, 0, nil)
		check(t, old.Restore(bytes.NewReader(picture(t, threeOf(t, k)))))
		if _, err := old.Apply(r.Encode(), false); !errors.Is(err, replica.ErrNewer) {
			t.Errorf("version 1 applies a new secret: %v", err)
		}
		if !rekeys(t, m, r) {
			t.Fatal("refused")
		}
		whole := picture(t, m)
		again := machine.New(0, nil)
		check(t, again.Restore(bytes.NewReader(whole)))
		if !bytes.Equal(picture(t, again), whole) || !bytes.Equal(again.LastRekey(2).Encode(), m.LastRekey(2).Encode()) || again.RekeyDue() {
			t.Fatalf("generation %d: read otherwise than it was written", n+1)
		}
		if err := machine.NewAs(1, 0, nil).Restore(bytes.NewReader(whole)); !errors.Is(err, replica.ErrNewer) {
			t.Errorf("version 1 reads the picture: %v", err)
		}
	}
	if m.Superseded([32]byte{1}) || !m.Superseded([32]byte{2}) || !m.Superseded([32]byte{17}) {
		t.Error("not the last 16 are remembered")
	}
}

// Every byte of the part of the picture with the secret counts.
func TestMangledRekeyPicture(t *testing.T) {
	k := newKit(1)
	m := threeOf(t, k)
	rekeys(t, m, rekeyFor(m, 0))
	whole := picture(t, m)
	for at := range 300 {
		changed := bytes.Clone(whole)
		changed[at]++
		if machine.New(0, nil).Restore(bytes.NewReader(changed)) == nil {
			t.Errorf("byte %d changed: read", at)
		}
		if machine.New(0, nil).Restore(bytes.NewReader(whole[:at])) == nil {
			t.Errorf("%d bytes: read", at)
		}
	}
}

// An entry has one form.
func TestMangledRekey(t *testing.T) {
	k := newKit(1)
	r := rekeyFor(threeOf(t, k), 0)
	r.Boxes[1].Sealed = bytes.Repeat([]byte{7}, 40)
	whole := r.Encode()
	for at := range whole {
		if _, err := machine.DecodeRekey(whole[:at]); err == nil {
			t.Errorf("%d bytes: read", at)
		}
		changed := bytes.Clone(whole)
		changed[at]++
		if got, err := machine.DecodeRekey(changed); err == nil && !bytes.Equal(got.Encode(), changed) {
			t.Errorf("byte %d changed: read as something else", at)
		}
	}
	if _, err := machine.DecodeRekey(append(whole, 0)); err == nil {
		t.Error("a byte more: read")
	}
}

func FuzzRekey(f *testing.F) {
	k := newKit(1)
	f.Add(rekeyFor(threeOf(f, k), 0).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := machine.DecodeRekey(b); err == nil && !bytes.Equal(r.Encode(), b) {
			t.Errorf("%x is written as %x", b, r.Encode())
		}
	})
}

// The end of the newest channel key is kept, so that the next one can be made to outlast it.
func TestRekeyKnowsTheChannelKeys(t *testing.T) {
	m := threeOf(t, newKit(1))
	c := &vault.Command{Kind: vault.AddChannelKey, Time: begin, ChannelKey: vault.ChannelKey{Seed: vault.Seed{5}, NotBefore: begin, NotAfter: begin + 5000}}
	apply(t, m, c.Encode(), true)
	rekeys(t, m, rekeyFor(m, 0))
	if g, newest := m.RekeyedAt(); g != 1 || newest != begin+5000 {
		t.Errorf("generation %d, newest %d", g, newest)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The bytes of spec/replication.md §18.1.
func TestRekeyBytes(t *testing.T) {
	r := &machine.Rekey{Fleet: [32]byte{1}, Group: 2, Generation: 3, Serial: 4, Check: [32]byte{5}, Before: [32]byte{6}, Boxes: []machine.Box{{Number: 7, Sealed: []byte{8, 9}}}}
	zeros := make([]byte, 31)
	var entry, info bytes.Buffer
	part := func(to *bytes.Buffer, parts ...any) {
		for _, p := range parts {
			if text, ok := p.(string); ok {
				to.WriteString(text)
				continue
			}
			check(t, binary.Write(to, binary.BigEndian, p))
		}
	}
	head := []any{byte(1), zeros, uint32(2), uint64(3), uint64(4), byte(5), zeros}
	part(&entry, append(append([]any{"keepsake rekey\x01"}, head...), byte(6), zeros, byte(1), uint64(7), uint16(2), byte(8), byte(9))...)
	part(&info, append(append([]any{"keepsake rekey box\x01"}, head...), uint64(7))...)
	if !bytes.Equal(r.Encode(), entry.Bytes()) {
		t.Errorf("entry %x, want %x", r.Encode(), entry.Bytes())
	}
	if !bytes.Equal(r.Info(7), info.Bytes()) {
		t.Errorf("info %x, want %x", r.Info(7), info.Bytes())
	}
}
