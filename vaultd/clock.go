package vaultd

import "time"

// Clock is the time of the host. The host is not trusted with it further than
// spec/vault-protocol.md §11.4 says: its date is read once, at the start.
type Clock interface {
	// Wall is the host's date.
	Wall() time.Time
	// Elapsed is a time that only grows, whatever is done to the host's date.
	Elapsed() time.Duration
	// After sends once d has passed. What is not positive has passed.
	After(d time.Duration) <-chan time.Time
}

// hostClock is the clock of the machine.
type hostClock struct{}

func (hostClock) Wall() time.Time                        { return time.Now() }
func (hostClock) Elapsed() time.Duration                 { return elapsed() }
func (hostClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// vaultTime is the time of the vault within one run: from the later of the wall
// clock and the last time that the state knows, on with the monotonic clock
// (§11.4). A wall clock set back or forward meanwhile changes nothing.
type vaultTime struct {
	clock Clock
	base  uint64 // ms since 1970
	from  time.Duration
}

func startTime(clock Clock, known uint64) vaultTime {
	wall := clock.Wall().UnixMilli()
	if wall < 0 {
		wall = 0
	}
	return vaultTime{clock, max(uint64(wall), known), clock.Elapsed()}
}

// now is the vault's time in milliseconds since 1970.
func (t vaultTime) now() uint64 {
	return t.base + uint64((t.clock.Elapsed() - t.from).Milliseconds())
}

// awaitQuantum returns at the next multiple of the quantum after arrival, so
// that a refusal, which is quick, and an attempt, which waits for a disk, leave
// at the same time (§12).
func awaitQuantum(clock Clock, quantum, arrival time.Duration) {
	if quantum <= 0 {
		return
	}
	spent := clock.Elapsed() - arrival
	rest := quantum - spent%quantum
	if spent > 0 && rest == quantum {
		return // on the dot
	}
	<-clock.After(rest)
}
