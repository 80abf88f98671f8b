// Package vault is the state machine of the vault.
package vault

import (
	"errors"
	"io"

	"keepsake.example/oprf"
	"keepsake.example/vaultapi"
)

var errMissing = errors.New("vault: not there yet")

// State is the vault's state.
type State struct{}

// Effect is what a command brings about outside.
type Effect struct {
	Answer vaultapi.Answer
	// Evaluate, unless nil, is what the shell evaluates after the commit, and puts
	// into the Answer's body, a [vaultapi.Evaluation] with all but Z and the proof.
	Evaluate *Evaluation
}

// Evaluation is an evaluation that was paid for. The shell wipes the key.
type Evaluation struct {
	Key     *oprf.PrivateKey
	Blinded *oprf.Blinded
}

// FleetView is the fleet's keys and policy. The caller wipes it.
type FleetView struct {
	ID              [32]byte
	IdentitySeed    Seed
	Keys            []ChannelKey
	Policy          Policy
	Serial, Changed uint64 // the bundle's serial, and when it came to be: with them one serial has one bundle
	Time            uint64 // the vault's time
}

// Wipe overwrites the secrets.
func (v *FleetView) Wipe() {}

// Checkpoint is a picture of the state.
type Checkpoint struct{}

// WriteTo writes the picture; it may run beside everything.
func (c *Checkpoint) WriteTo(w io.Writer) (int64, error) { return 0, errMissing }

// Release gives the picture up. It may be called from any goroutine.
func (c *Checkpoint) Release() {}

// Counts is how much there is.
type Counts struct {
	Records    uint64 // live, or in the grace after their last attempt
	Tombstones uint64
	Pending    uint64 // changes
	Bytes      uint64 // memory for accounts
}

// New returns the state before the first command.
func New() *State { return new(State) }

// Apply applies a committed command. An error is a broken invariant: the replica halts.
func (s *State) Apply(c *Command) (*Effect, error) { return nil, errMissing }

// Check reports whether the command is decided without changing anything.
func (s *State) Check(c *Command) (effect *Effect, decided bool) { return nil, false }

// Fleet returns the fleet's keys and policy; nil before Genesis.
func (s *State) Fleet() *FleetView { return nil }

// Checkpoint takes a picture.
func (s *State) Checkpoint() *Checkpoint { return nil }

// Counts returns how much there is.
func (s *State) Counts() Counts { return Counts{} }

// Load reads what a Checkpoint wrote.
func Load(r io.Reader) (*State, error) { return nil, errMissing }
