package vaultd

import (
	"errors"

	"keepsake.example/vaultd/machine"
)

// What Answer returns in place of an answer.
var (
	// ErrKey is a request to a channel key that is not, or no longer, there: the
	// client needs the current bundle. HTTP 404.
	ErrKey = errors.New("vaultd: sealed to a channel key that is not here")
	// ErrRequest is a request of another size or version, or one that does not
	// open. HTTP 400.
	ErrRequest = errors.New("vaultd: not a request that opens")
	// ErrOverloaded is a request that found no place within the time. HTTP 503.
	ErrOverloaded = errors.New("vaultd: overloaded")
	// ErrClosed is a request to a server that drains or is closed. HTTP 503.
	ErrClosed = errors.New("vaultd: closed")
	// ErrHalted is a request to a server whose replica halted; Server.Err says
	// why. HTTP 503.
	ErrHalted = errors.New("vaultd: the replica has halted")
	// ErrNoQuorum is a request to a member that knows no leader now, or that has no
	// state yet: nothing can be decided here. Another member may be better off, and the
	// same bytes are answered without cost. HTTP 503.
	ErrNoQuorum = errors.New("vaultd: nothing can be decided here now")
	// ErrInsecure is a fleet, an anchor or a limit that protects less than it
	// should, without the setting that accepts it by name.
	ErrInsecure = errors.New("vaultd: an insecure choice that was not accepted by name")
)

// ErrWelcomed is a machine that asks to be let into the fleet a second time under one
// number. Its state is gone, and with it what it had acknowledged: under the same
// number it would be taken for the one that has it.
var ErrWelcomed = errors.New("vaultd: this member was welcomed already: a machine that lost its state, or whose joining was cut off, " +
	"must be removed by the operators and added again under a new number")

// Version is the version of this program in a fleet: of what the members say to
// each other, and of the entries, changes and pictures they read. Members of two versions that
// follow each other work together (spec/replication.md §17).
const Version = machine.Version

// VersionError is a fleet that asks for a newer program than a member has, or a
// change that would.
type VersionError = machine.VersionError

// ErrAlone is a member of a fleet of several that is to run without the others.
var ErrAlone = errors.New("vaultd: a fleet of several members needs Keys and Peers")

// ErrJoined tells that a machine is to join a fleet that has a replica.
var ErrJoined = errors.New("vaultd: this machine has joined already: there is a replica on its anchor")

// ErrUnlisted tells that a machine is to join a fleet whose roster does not have it, or not yet.
var ErrUnlisted = errors.New("vaultd: the roster does not have this machine")

// ErrRemoved is why New refuses, or a Server halts: a machine that operators removed from the fleet.
var ErrRemoved = errors.New("vaultd: the operators removed this machine from the fleet: it has no part in it any more; " +
	"destroy its disk and its anchor, or empty both and let it join as a new member")

// ErrFleetKey is a machine without the key of its fleet's second suite in its device: it
// could not answer those who need it (spec/vault-protocol.md).
var ErrFleetKey = errors.New("vaultd: the fleet's key is not in this machine's device")
