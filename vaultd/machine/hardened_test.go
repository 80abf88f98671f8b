package machine_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// harden gives the kit's fleet a key of the second suite.
func (k *kit) harden() *kit {
	k.roster.Hardening = must(p256.Public(&[32]byte{31: 5}))
	return k
}

func hardenedAttempt(id byte) *vaultapi.HardenedAttemptBody {
	blinded := must(oprf.Blind(rand.Reader, []byte("password"))).Blinded().Bytes()
	return &vaultapi.HardenedAttemptBody{Attempt: vaultapi.ID{id}, Blinded: blinded, Blinded2: must(p256.Public(&[32]byte{31: id}))}
}

// old is a program of version 1.
func old() *machine.Machine { return machine.NewAs(1, 0, nil) }

// A HardenedAttempt is of version 2, an Attempt is not, and a Harden is no entry at all.
func TestHardenedAttemptNeedsVersion2(t *testing.T) {
	m := must2(newKit(1).harden().found(t, 0))
	entry, plain := request(hardenedAttempt(1), "alice"), request(&vaultapi.StatusBody{}, "alice")
	for name, tt := range map[string]struct {
		entry    []byte
		now, was uint32
	}{"hardened": {entry, 2, replica.Unknown}, "plain": {plain, 1, 1}} {
		if m.Needs(tt.entry, false) != tt.now || old().Needs(tt.entry, false) != tt.was {
			t.Errorf("%s: needs version %d, in version 1 %d", name, m.Needs(tt.entry, false), old().Needs(tt.entry, false))
		}
	}
	harden := bytes.Clone(entry)
	harden[bytes.LastIndexByte(harden[:84], byte(vaultapi.HardenedAttempt))] = byte(vaultapi.Harden)
	if needs := m.Needs(harden, false); needs != replica.Unknown {
		t.Errorf("a Harden as an entry needs version %d", needs)
	}
	if e, decided := m.State().Check(&vault.Command{Kind: vault.Request, Body: &vaultapi.HardenBody{}}); !decided || e.Answer.Code != vaultapi.Unsupported {
		t.Error("a Harden is decided by the records")
	}
	aged := old()
	k := newKit(1)
	for _, entry := range [][]byte{k.roster.Encode(), k.genesis.Encode()} {
		must(aged.Apply(entry, false))
	}
	before := picture(t, aged)
	if e, err := aged.Apply(entry, true); e != nil || !errors.Is(err, replica.ErrNewer) || !bytes.Equal(before, picture(t, aged)) {
		t.Errorf("version 1 applies a HardenedAttempt: %v, %v", e, err)
	}
}

// In a fleet without the key an entry that asks for it spends nothing, whoever proposed it.
func TestUnhardenedFleetSpendsNothing(t *testing.T) {
	for _, k := range []*kit{newKit(1), newKit(1).harden()} {
		m := must2(k.found(t, 0))
		apply(t, m, request(proposal(1), "alice"), true)
		apply(t, m, request(&vaultapi.ConfirmBody{Record: vaultapi.ID{1}}, "alice"), true)
		before := picture(t, m)
		e := apply(t, m, request(hardenedAttempt(1), "alice"), true)
		if hardened := k.roster.Hardened(); hardened != (e.Answer.Code == vaultapi.OK) || hardened != !bytes.Equal(before, picture(t, m)) {
			t.Errorf("hardened %v: answered %v", hardened, e.Answer.Code)
		}
	}
}

// The picture is of version 2 as long as its roster is, and no longer; and one form
// is read for each state.
func TestPictureOfVersion2(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	at := len("keepsake group")
	form := func() byte { return picture(t, m)[at] }
	if form() != 1 || m.Least() != 1 {
		t.Errorf("at first: form %d, no member under %d", form(), m.Least())
	}
	c := add(m, 2)
	c.Member.Sealing = append(c.Member.Sealing, make([]byte, roster.DeviceSealingSize-roster.SealingSize)...)
	signed := k.sign(c, 2)
	if needs := m.Needs(signed, true); needs != 2 || old().Needs(signed, true) != replica.Unknown {
		t.Errorf("a machine with its key in hardware needs version %d", needs)
	}
	aged := old()
	if err := aged.Restore(bytes.NewReader(picture(t, m))); err != nil {
		t.Errorf("version 1 reads what has nothing of version 2: %v", err)
	}
	if _, err := aged.Change(signed); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("version 1 decides about a key in hardware: %v", err)
	}
	if o := change(t, m, signed); o.Refused != nil || form() != 2 || m.Least() != 2 {
		t.Errorf("with a key in hardware: %v, form %d, no member under %d", o.Refused, form(), m.Least())
	}
	if err := aged.Restore(bytes.NewReader(picture(t, m))); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("version 1 reads a picture of version 2: %v", err)
	}
	other := machine.New(0, nil)
	if err := other.Restore(bytes.NewReader(picture(t, m))); err != nil || !bytes.Equal(picture(t, m), picture(t, other)) {
		t.Errorf("a picture of version 2: %v", err)
	}
	remove := m.Roster().Next(roster.Remove)
	remove.Member = roster.Member{Number: 2}
	if o := change(t, m, k.sign(remove, 2)); o.Refused != nil || form() != 1 {
		t.Errorf("without it again: %v, form %d", o.Refused, form())
	}
}

// A fleet of the second suite is none for an old program, from its first entry on.
func TestOldProgramInHardenedFleet(t *testing.T) {
	k := newKit(1).harden()
	if _, err := old().Apply(k.roster.Encode(), false); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("version 1 takes its roster: %v", err)
	}
	m := must2(k.found(t, 0))
	if m.Least() != 2 {
		t.Errorf("members of version %d are waited for", m.Least())
	}
	if err := old().Restore(bytes.NewReader(picture(t, m))); !errors.Is(err, replica.ErrNewer) {
		t.Errorf("version 1 takes its picture: %v", err)
	}
}

// A state has one picture: what says version 2 and has nothing of it is none.
func TestPictureHasOneForm(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	before := m.Roster().Encode()
	c := add(m, 2)
	c.Member.Sealing = append(c.Member.Sealing, make([]byte, roster.DeviceSealingSize-roster.SealingSize)...)
	change(t, m, k.sign(c, 2))
	whole, after := picture(t, m), m.Roster().Encode()
	at := bytes.Index(whole, after)
	records := bytes.Index(whole, []byte("keepsake vault state")) - 2
	exchanged := func(by []byte) []byte {
		head := append(binary.BigEndian.AppendUint32(bytes.Clone(whole[:at-4]), uint32(len(by))), by...)
		head = append(head, 0, 1)                                          // the one that was welcomed
		head = append(append(head, whole[at+len(after)+2:][:40]...), 0, 0) // and no change
		head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, crc32.MakeTable(crc32.Castagnoli)))
		return append(head, whole[records:]...)
	}
	if err := machine.New(0, nil).Restore(bytes.NewReader(exchanged(after))); err != nil {
		t.Errorf("made of its own parts: %v", err)
	}
	if err := machine.New(0, nil).Restore(bytes.NewReader(exchanged(before))); err == nil {
		t.Error("a picture of version 2 of a roster of version 1")
	}
}
