package vaultd

import (
	"fmt"
	"sync/atomic"
	"time"

	"keepsake.example/roster"
	"keepsake.example/vaultapi"
)

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

// hostTime is what this machine says the time is, within one run: from the later of
// the wall clock and the last time that the state knows, on with the monotonic clock
// (§11.4). A wall clock set back or forward meanwhile changes nothing. It is one
// reading of several: the vault's time is the quorum's.
type hostTime struct {
	clock Clock
	at    atomic.Pointer[vaultTime]
}

// now is the reading in milliseconds since 1970; 0 before it is known.
func (t *hostTime) now() uint64 {
	if at := t.at.Load(); at != nil {
		return at.now()
	}
	return 0
}

type vaultTime struct {
	clock Clock
	base  uint64 // ms since 1970
	from  time.Duration
}

func startTime(clock Clock, known uint64) vaultTime {
	return vaultTime{clock, max(uint64(max(clock.Wall().UnixMilli(), 0)), known), clock.Elapsed()}
}

func (t vaultTime) now() uint64 {
	return t.base + uint64((t.clock.Elapsed() - t.from).Milliseconds())
}

// startClock takes the host's date as this machine's reading, unless it would do
// harm if it were believed: then an only voter refuses to run, and one of several
// goes on from the last time it knows, which moves nothing.
func (s *Server) startClock(root *group, r *roster.Roster) error {
	var known uint64
	if view := root.view(); view != nil {
		known = view.Time
		view.Wipe()
	}
	at := startTime(s.clock, known)
	if err := checkDate(s.config, known); err != nil {
		if s.alone(r) {
			return err
		}
		s.log.Error("the host's date is not believed", "reason", err)
		at.base, s.disbelieved = known, err
	}
	s.time.at.Store(&at)
	return nil
}

// checkDate refuses a host's date that would do harm if it were believed. A
// newcomer, which knows no time yet, has nothing to compare it with.
func checkDate(c Config, known uint64) error {
	wall := c.Clock.Wall()
	last := time.UnixMilli(int64(known))
	if ahead := wall.Sub(last); known > 0 && ahead > c.MaxClockJump || wall.UnixMilli() > vaultapi.MaxTime {
		return &ClockError{Host: wall, Last: last}
	}
	return nil
}

// ClockError is a host whose date is too far ahead of the last time that the
// vault knows. Config.MaxClockJump accepts it, once and for good.
type ClockError struct{ Host, Last time.Time }

func (e *ClockError) Error() string {
	return fmt.Sprintf("vaultd: the host says it is %s, the vault last ran at %s: time that it takes over it never gives back",
		e.Host.UTC().Format(time.DateTime), e.Last.UTC().Format(time.DateTime))
}

// maxSkew is by how much a machine's reading may differ from the quorum's time
// before its status says so.
const maxSkew = time.Minute

// skew is by how much this machine's reading is ahead of the quorum's time.
func (s *Server) skew() time.Duration {
	quorum := s.now()
	if quorum == 0 {
		return 0
	}
	return time.Duration(int64(s.time.now())-int64(quorum)) * time.Millisecond
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
