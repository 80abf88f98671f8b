package peer

import "time"

// MaxMessage is the longest message that Send takes, in bytes, and with it the size
// of a frame: what packages replica makes at most, with room for its seal.
const MaxMessage = 2<<20 + 4096

// Limits are the bounds of all links of a process; a zero field takes its default.
type Limits struct {
	// Queue is how many bytes of messages wait for one member (64 besides for each
	// message); the oldest are dropped for new ones. Default 8 MiB.
	Queue int
	// Calls is how many calls to one member, and from one member, are in work at once;
	// further ones wait. Default 32.
	Calls int
	// Call is the longest request and the longest answer of a call, in bytes. Default 256 KiB:
	// a roster of 64 members has 90.
	Call int
	// CallTime bounds a call whose caller has no deadline, and at the callee every call. Default 30 s.
	CallTime time.Duration
	// Beat is how often both sides of a lane say that they live. Default 500 ms.
	Beat time.Duration
	// Silence is after what time without a byte a connection is cut, and the age at which
	// a message is not worth sending on the next connection. Default 2 s.
	Silence time.Duration
	// Connect bounds the making of a TCP connection. Default 1.5 s.
	Connect time.Duration
	// Handshake bounds TLS and hello together. Default 5 s.
	Handshake time.Duration
	// Handshakes is how many connections may be without a known member behind them at once. Default 64.
	Handshakes int
	// PauseFrom and PauseTo are the first and the longest pause between two attempts to
	// connect. Default 50 ms and 2 s; between half of it and all of it is waited.
	PauseFrom, PauseTo time.Duration
	// Parting is how long what waits for a member that was removed may take to leave. Default 2 s.
	Parting time.Duration
}

// DefaultLimits are the limits of links that were told none.
func DefaultLimits() Limits {
	return Limits{
		Queue: 8 << 20, Calls: 32, Call: 256 << 10, CallTime: 30 * time.Second,
		Beat: 500 * time.Millisecond, Silence: 2 * time.Second, Connect: 1500 * time.Millisecond,
		Handshake: 5 * time.Second, Handshakes: 64, PauseFrom: 50 * time.Millisecond, PauseTo: 2 * time.Second,
		Parting: 2 * time.Second,
	}
}

func (l Limits) filled() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ is, or *int }{{&l.Queue, &d.Queue}, {&l.Calls, &d.Calls}, {&l.Call, &d.Call}, {&l.Handshakes, &d.Handshakes}} {
		if *f.is <= 0 {
			*f.is = *f.or
		}
	}
	for _, f := range []struct{ is, or *time.Duration }{
		{&l.CallTime, &d.CallTime}, {&l.Beat, &d.Beat}, {&l.Silence, &d.Silence}, {&l.Connect, &d.Connect}, {&l.Handshake, &d.Handshake},
		{&l.PauseFrom, &d.PauseFrom}, {&l.PauseTo, &d.PauseTo}, {&l.Parting, &d.Parting},
	} {
		if *f.is <= 0 {
			*f.is = *f.or
		}
	}
	return l
}
