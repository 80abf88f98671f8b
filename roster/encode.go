package roster

import (
	"errors"
	"fmt"

	"keepsake.example/internal/wire"
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
	w := wire.Append(nil)
	r.Clone().layout(w) // writing sets every field to what it is: others may be reading
	return w.Written()
}

// Decode reads the bytes of [Roster.Encode] of a roster that [Roster.Check]
// accepts, and no others: ErrRoster. It takes up memory in proportion to what it reads.
func Decode(b []byte) (*Roster, error) {
	if len(b) > MaxRoster {
		return nil, fmt.Errorf("%w: %d bytes", ErrRoster, len(b))
	}
	r, w := new(Roster), wire.Read(b)
	r.layout(w)
	if !w.Done() {
		return nil, ErrRoster
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	return r, nil
}

func (r *Roster) layout(w *wire.Codec) {
	w.Constant(rosterName)
	w.Bytes(r.Fleet[:])
	w.U32(&r.Groups)
	w.U64(&r.Serial)
	w.Bytes(r.Last[:])
	w.U8(&r.Quorum)
	wire.List(w, &r.Operators, MaxOperators, func(o *Operator) {
		w.Text(&o.Name, 1, MaxName)
		w.Bytes(o.Key[:])
	})
	w.U8(&r.Tolerate)
	w.U32(&r.MinVersion)
	r.Policy.layoutWire(w)
	w.U64(&r.Highest)
	wire.List(w, &r.Members, MaxMembers, func(m *Member) { m.layoutWire(w) })
	wire.List(w, &r.Placement, MaxGroups-1, func(p *Place) { p.layoutWire(w) })
}

func (o *Policy) layoutWire(w *wire.Codec) {
	w.U8(&o.MaxAttempts)
	wire.List(w, &o.Waits, maxAttempts-1, w.U64)
	w.U64(&o.CoolDown)
	w.U64(&o.Grace)
	w.Flag(&o.Insecure)
}

func (m *Member) layoutWire(w *wire.Codec) {
	w.U64(&m.Number)
	w.Flag(&m.Learner)
	w.Text(&m.Name, 1, MaxName)
	w.Text(&m.DataCenter, 1, MaxName)
	w.Text(&m.Address, 1, MaxAddress)
	w.Bytes(m.Identity[:])
	if w.Reading() {
		m.Sealing = make([]byte, SealingSize)
	}
	w.Bytes(m.Sealing)
}

func (p *Place) layoutWire(w *wire.Codec) {
	w.U32(&p.Group)
	wire.List(w, &p.Members, MaxMembers, func(m *Placed) {
		w.U64(&m.Number)
		w.Flag(&m.Learner)
	})
	wire.List(w, &p.Left, MaxMembers, w.U64)
}
