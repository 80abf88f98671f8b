package replica_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"keepsake.example/anchor/software"
	"keepsake.example/replica"
)

// A keeper is a machine that keeps the entries themselves, as none may: so that a
// test sees what becomes of them.
type keeper struct {
	toy
	entries [][]byte
}

func (m *keeper) Apply(entry []byte, _ bool) (any, error) {
	m.entries = append(m.entries, entry)
	return nil, nil
}
func (m *keeper) Checkpoint() replica.Checkpoint { return &toyPicture{} }
func (m *keeper) Restore(r io.Reader) error      { _, err := io.Copy(io.Discard, r); return err }

// left is what is not wiped of the entries.
func (m *keeper) left() (n int) {
	for _, e := range m.entries {
		if !bytes.Equal(e, make([]byte, len(e))) {
			n++
		}
	}
	return n
}

// What a checkpoint makes unreadable on the disk it takes out of memory, and
// closing takes out the rest; not before: another member might need it.
func TestEntriesAreWiped(t *testing.T) {
	p := created(t)
	m := &keeper{}
	for life := range 2 { // the second one's first entries come from the disk
		m.entries = nil
		a := must(software.Open(p.anchor))
		r := must(replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: func() replica.Machine { return m }}))
		for _, e := range []string{"one", "two", "three"} {
			propose(t, r, e)
		}
		if n := m.left(); n != len(m.entries) || n < 3 {
			t.Errorf("life %d: before the checkpoint %d entries of %d are there", life, n, len(m.entries))
		}
		if life == 1 {
			check(t, r.Checkpoint(t.Context()))
			if n := m.left(); n != 0 {
				t.Errorf("after the checkpoint %d entries of %d are there", n, len(m.entries))
			}
			propose(t, r, "four")
		}
		check(t, errors.Join(r.Close(), a.Close()))
		if n := m.left(); n != 0 {
			t.Errorf("life %d: after closing %d entries of %d are there", life, n, len(m.entries))
		}
	}
}
