package vault

import (
	"errors"
	"io"

	"keepsake.example/internal/wire"
	"keepsake.example/vault/cells"
)

// stateName begins the head of a checkpoint; its last byte is the version.
const stateName = "keepsake vault state\x01"

// maxFleet is more than a fleet's bytes: growing would leave a copy of its seeds behind.
const maxFleet = 1 << 10

var errState = errors.New("vault: not a state that commands lead to")

// Checkpoint is a picture of the state at one time. It costs the memory of what
// changes until its release. What is erased meanwhile stays in it until then; the
// next command overwrites it. WriteTo writes the same bytes for the same state on
// every replica; they hold every secret of the vault. Both its methods may run in
// other goroutines while the state goes on.
type Checkpoint struct{ *cells.Picture }

// Checkpoint takes a picture, in less than a millisecond for 10 M accounts. There
// is none before Genesis: then it panics. The caller releases it.
func (s *State) Checkpoint() *Checkpoint {
	w := wire.Append(make([]byte, 0, maxFleet))
	s.fleet.layout(w)
	return &Checkpoint{s.accounts.Picture(w.Written())}
}

// Load reads what a Checkpoint wrote, to its end, and refuses whatever no
// sequence of commands leads to. It takes up memory in proportion to what it has
// read. Whether that is the newest is for the caller's anchor to say.
func Load(r io.Reader) (*State, error) {
	s := New()
	store, err := cells.Load(r, s.loadFleet, s.loadAccount)
	if err != nil {
		return nil, err
	}
	s.accounts = store
	return s, nil
}

func (s *State) loadFleet(b []byte) error {
	s.fleet = newFleet()
	w := wire.Read(b)
	s.fleet.layout(w)
	if !w.Done() {
		return errState
	}
	return s.fleet.check()
}

// loadAccount looks at every field of an account. What is overdue, time would have done.
func (s *State) loadAccount(b []byte) error {
	var a account
	defer a.wipe()
	if a.decode(b) != nil || a.overdue(s.fleet.Time) {
		return errState
	}
	s.note(&a, 0)
	s.counts.count(&a, 1)
	return nil
}
