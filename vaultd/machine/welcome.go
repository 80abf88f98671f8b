package machine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"keepsake.example/roster"
)

// A member is welcomed to a group once, ever: given the group's secret, and with it a
// voice. Otherwise a host could empty the disks and anchors of some members and have
// them join again under their numbers: empty, they would elect a leader that lacks
// what they had acknowledged, and every attempt in it would be had again. A machine
// that lost its state comes back as another member, whom operators add.
//
// Who is welcomed is in the state, so that a majority knows it before anybody gives
// the secret away. The nonce is the newcomer's, for one run: it makes the question
// repeatable, and a welcome that somebody kept useless to a machine that was emptied.

// welcomeLabel begins a welcome's entry; no command of the vault begins so.
const welcomeLabel = "keepsake welcome\x01"

const welcomeSize = len(welcomeLabel) + 8 + 32

// welcomed is a member that was.
type welcomed struct {
	number uint64
	nonce  [32]byte // zeros for who founded the group
}

// Welcome is the effect of a welcome's entry.
type Welcome struct {
	Number uint64
	// OK: this nonce was the first, or is the same again. Else the number is no member of the
	// group, or was welcomed with another nonce.
	OK bool
}

// WelcomeEntry makes the entry that asks for a member to be welcomed.
func WelcomeEntry(number uint64, nonce [32]byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte(welcomeLabel), number)
	return append(b, nonce[:]...)
}

// welcome applies a welcome's entry, if it is one.
func (m *Machine) welcome(entry []byte) (*Welcome, bool) {
	if len(entry) != welcomeSize || !bytes.HasPrefix(entry, []byte(welcomeLabel)) {
		return nil, false
	}
	number := binary.BigEndian.Uint64(entry[len(welcomeLabel):])
	nonce := [32]byte(entry[len(welcomeLabel)+8:])
	w := &Welcome{Number: number}
	if !m.has(number) || nonce == [32]byte{} {
		return w, true
	}
	i, found := slices.BinarySearchFunc(m.welcomed, number, byNumber)
	if !found {
		m.welcomed = slices.Insert(m.welcomed, i, welcomed{number, nonce})
	}
	w.OK = m.welcomed[i].nonce == nonce
	return w, true
}

// Welcomed returns the nonce that a member was welcomed with, zeros for a founder.
func (m *Machine) Welcomed(number uint64) (nonce [32]byte, is bool) {
	i, found := slices.BinarySearchFunc(m.welcomed, number, byNumber)
	if !found {
		return nonce, false
	}
	return m.welcomed[i].nonce, true
}

func byNumber(w welcomed, number uint64) int { return cmp.Compare(w.number, number) }

// has says whether a number is a member of the group.
func (m *Machine) has(number uint64) bool {
	return slices.ContainsFunc(m.roster.In(m.group), func(r roster.Member) bool { return r.Number == number })
}

// forget drops who is no member any more: a number never comes back.
func (m *Machine) forget() {
	m.welcomed = slices.DeleteFunc(m.welcomed, func(w welcomed) bool { return !m.has(w.number) })
}
