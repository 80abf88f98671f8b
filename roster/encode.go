package roster

import (
	"errors"
	"fmt"
)

const (
	// MaxRoster is the longest encoding of a roster in bytes. One with every limit
	// reached has under 400 KiB.
	MaxRoster = 512 << 10
	// rosterName begins it; its last byte is the version.
	rosterName = "keepsake roster\x01"
)

// ErrRoster is bytes that are not a roster in its one form.
var ErrRoster = errors.New("roster: not a roster in its one form")

// Encode returns the roster's bytes, spec/replication.md §15.5. Nothing in them is
// secret. The roster is one that Check accepts.
func (r *Roster) Encode() []byte {
	w := new(wire)
	r.layout(w)
	return w.b
}

// Decode reads the bytes of [Roster.Encode] of a roster that [Roster.Check]
// accepts, and no others: ErrRoster. It takes up memory in proportion to what it reads.
func Decode(b []byte) (*Roster, error) {
	if len(b) > MaxRoster {
		return nil, fmt.Errorf("%w: %d bytes", ErrRoster, len(b))
	}
	r, w := new(Roster), &wire{b: b, reading: true}
	r.layout(w)
	if !w.done() {
		return nil, ErrRoster
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	return r, nil
}

func (r *Roster) layout(w *wire) {
	w.constant(rosterName)
	w.bytes(r.Fleet[:])
	w.u32(&r.Groups)
	w.u64(&r.Serial)
	w.bytes(r.Last[:])
	w.u8(&r.Quorum)
	list(w, &r.Operators, MaxOperators, func(o *Operator) {
		w.text(&o.Name, MaxName)
		w.bytes(o.Key[:])
	})
	w.u8(&r.Tolerate)
	w.u32(&r.MinVersion)
	r.Policy.layoutWire(w)
	w.u64(&r.Highest)
	list(w, &r.Members, MaxMembers, func(m *Member) { m.layoutWire(w) })
	list(w, &r.Placement, MaxGroups-1, func(p *Place) { p.layoutWire(w) })
}

func (o *Policy) layoutWire(w *wire) {
	w.u8(&o.MaxAttempts)
	list(w, &o.Waits, maxAttempts-1, w.u64)
	w.u64(&o.CoolDown)
	w.u64(&o.Grace)
	w.flag(&o.Insecure)
}

func (m *Member) layoutWire(w *wire) {
	w.u64(&m.Number)
	w.flag(&m.Learner)
	w.text(&m.Name, MaxName)
	w.text(&m.DataCenter, MaxName)
	w.text(&m.Address, MaxAddress)
	w.bytes(m.Identity[:])
	if w.reading {
		m.Sealing = make([]byte, SealingSize)
	}
	w.bytes(m.Sealing)
}

func (p *Place) layoutWire(w *wire) {
	w.u32(&p.Group)
	list(w, &p.Members, MaxMembers, func(m *Placed) {
		w.u64(&m.Number)
		w.flag(&m.Learner)
	})
	list(w, &p.Left, MaxMembers, w.u64)
}
