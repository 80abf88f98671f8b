package roster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"keepsake.example/internal/wire"
)

const (
	// MaxRoster is the longest encoding of a roster in bytes. One with every limit
	// reached has under 400 KiB.
	MaxRoster  = 512 << 10
	rosterName = "keepsake roster" // the version of the form follows
)

// ErrRoster is bytes that are not a roster in its one form.
var ErrRoster = errors.New("roster: not a roster in its one form")

// Encode returns the roster's bytes, spec/replication.md §15.5. Nothing in them is
// secret. The roster is one that Check accepts.
func (r *Roster) Encode() []byte {
	w := wire.Append(make([]byte, 0, 1<<10+len(r.Members)*(DeviceSealingSize+256)))
	r.shallow().layout(w) // writing sets every field to what it is: others may be reading
	return w.Written()
}

// Decode reads the bytes of [Roster.Encode] of a roster that [Roster.Check]
// accepts, and no others: ErrRoster. It takes up memory in proportion to what it reads.
func Decode(b []byte) (*Roster, error) {
	if len(b) > MaxRoster {
		return nil, fmt.Errorf("%w: %d bytes", ErrRoster, len(b))
	}
	r, w := new(Roster), wire.Read(b)
	form := r.layout(w)
	if !w.Done() || form != r.Form() {
		return nil, ErrRoster
	}
	if err := r.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRoster, err)
	}
	return r, nil
}

// Form returns the lowest version of the program that reads the roster's encoding: 2
// with a key of the second suite, or with a machine whose sealing key is in hardware,
// else 1. So a roster of version 1 keeps its bytes.
func (r *Roster) Form() uint8 {
	if r.Hardened() || slices.ContainsFunc(r.Members, func(m Member) bool { return m.inDevice() }) {
		return 2
	}
	return 1
}

// layout returns the version of the form.
func (r *Roster) layout(w *wire.Codec) (form uint8) {
	form = r.Form()
	w.Constant(rosterName)
	w.U8(&form)
	w.Bytes(r.Fleet[:])
	if form > 1 {
		w.Bytes(r.Hardening[:])
	}
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
	wire.List(w, &r.Members, MaxMembers, func(m *Member) { m.layoutWire(w, form) })
	wire.List(w, &r.Placement, MaxGroups-1, func(p *Place) { p.layoutWire(w) })
	return form
}

func (o *Policy) layoutWire(w *wire.Codec) {
	w.U8(&o.MaxAttempts)
	wire.List(w, &o.Waits, maxAttempts-1, w.U64)
	w.U64(&o.CoolDown)
	w.U64(&o.Grace)
	w.Flag(&o.Insecure)
}

func (m *Member) layoutWire(w *wire.Codec, form uint8) {
	w.U64(&m.Number)
	w.Flag(&m.Learner)
	w.Text(&m.Name, 1, MaxName)
	w.Text(&m.DataCenter, 1, MaxName)
	w.Text(&m.Address, 1, MaxAddress)
	w.Bytes(m.Identity[:])
	if form > 1 {
		w.Counted(&m.Sealing, SealingSize, DeviceSealingSize)
		if w.Reading() {
			m.Sealing = bytes.Clone(m.Sealing)
		}
		return
	}
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
