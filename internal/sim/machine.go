package sim

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultd/machine"
)

// inner is the machine that is tested, vaultd/machine.
type inner interface {
	replica.Machine
	State() *vault.State
	Roster() *roster.Roster
	Serial() uint64
	Tolerate() int
	replica.Rekeyed
	RekeyDue() bool
	NextRekey() (*machine.Rekey, []roster.Member)
	LastRekey(number uint64) *machine.Rekey
}

// machine wraps one, and knows how many entries it holds: its place in the history
// that all members must share.
type wrapper struct {
	inner
	at  uint64
	run *run
	who uint64 // the member
}

// placed is an effect and the place of its entry.
type placed struct {
	effect any
	at     uint64
}

// Apply implements replica.Machine.
func (m *wrapper) Apply(entry []byte, asked bool) (any, error) {
	e, err := m.inner.Apply(entry, asked)
	if err != nil {
		return nil, err
	}
	m.at++
	m.run.history.applied(m, entry, e)
	return &placed{e, m.at}, nil
}

// Change implements replica.Machine.
func (m *wrapper) Change(signed []byte) (any, error) {
	serial := m.Serial()
	e, err := m.inner.Change(signed)
	if err != nil {
		return nil, err
	}
	m.at++
	m.run.history.changed(m, signed, m.Serial() != serial)
	return &placed{e, m.at}, nil
}

// Checkpoint implements replica.Machine: the picture begins with the place.
func (m *wrapper) Checkpoint() replica.Checkpoint {
	return &picture{m.inner.Checkpoint(), m.at}
}

type picture struct {
	replica.Checkpoint
	at uint64
}

// WriteTo implements replica.Checkpoint.
func (p *picture) WriteTo(w io.Writer) (int64, error) {
	if _, err := w.Write(binary.BigEndian.AppendUint64(nil, p.at)); err != nil {
		return 0, err
	}
	n, err := p.Checkpoint.WriteTo(w)
	return n + 8, err
}

// Restore implements replica.Machine.
func (m *wrapper) Restore(r io.Reader) error {
	var at [8]byte
	if _, err := io.ReadFull(r, at[:]); err != nil {
		return fmt.Errorf("reading a place in the history: %w", err)
	}
	if err := m.inner.Restore(r); err != nil {
		return err
	}
	m.at = binary.BigEndian.Uint64(at[:])
	m.run.history.restored(m)
	return nil
}

// sum is a digest of the whole state.
func (m *wrapper) sum() uint64 {
	c := m.inner.Checkpoint()
	defer c.Release()
	h := crc32.New(castagnoli)
	n, err := c.WriteTo(h)
	if err != nil {
		m.run.fail("state", "member %d: writing its picture: %v", m.who, err)
	}
	return uint64(h.Sum32()) | uint64(n)<<32
}
