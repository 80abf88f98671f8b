package vaultd

import "errors"

// What Answer returns in place of an answer. Nothing was opened, nothing counted.
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
	// ErrInsecure is a fleet, an anchor or a limit that protects less than it
	// should, without the setting that accepts it by name.
	ErrInsecure = errors.New("vaultd: an insecure choice that was not accepted by name")
)
