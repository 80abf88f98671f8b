// Package nearest chooses whom to ask among several servers that all do the
// same: the one that answers soonest, as long as it answers.
//
// How soon is measured, twice. A probe, which asks for nothing, tells how far a
// server is; an answered request tells how long the work takes there as well. A
// request's time counts for a minute; until there is one, a server is as good as
// its probe, and one request at a time finds out how good that is. Order of
// configuration decides between servers of which nothing is known, and a lead of
// under a fifth, or 3 ms, changes nothing.
//
// A server that failed, or had an answer to no request, is passed over: its requests under way are called back
// (see [Ticket.Life]), and probes, at pauses that double up to 64 times the
// first, find out when it answers again. It then gets one request at a time, and
// one more with each that it answers, so that whoever comes back is not buried by
// all that waited for it. When every server is passed over they are asked all
// the same: somebody has to find out.
//
// There is no clock, network or goroutine here. Callers say what time it is, by
// one clock that does not go back.
package nearest

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// fresh is how long the time of an answered request counts. Afterwards a
	// request finds out anew: a leader may have moved, a line have healed.
	fresh = time.Minute
	// weight is the weight of a new measurement against those before, 1/weight, as
	// TCP weighs its round trips (RFC 6298 §2).
	weight = 8
	// A lead of less than a lead-th part, or leastLead, is noise.
	lead      = 5
	leastLead = 3 * time.Millisecond
	// proven is the number of requests at once from which on there is no bound:
	// about what one core of a vaultd works on in 30 ms.
	proven = 64
	// doublings bound the pause of a server that stays away.
	doublings = 6
	// A probe of a server that answered the last ones has a connection, and comes back about
	// as soon as they did: after late times as long it is lost, but not before leastLate, which
	// a busy server may take.
	late      = 4
	leastLate = 400 * time.Millisecond
)

// Options are what a Servers is made with.
type Options struct {
	// Every is the time between two probes of a server that answers.
	Every time.Duration
	// PassOver is the first pause of a server that failed, and up to as much again
	// by chance: many relays that lost one server must not come back in step.
	PassOver time.Duration
	// Chance gives a duration from 0 up to under its argument, which is above 0.
	// nil is math/rand.
	Chance func(time.Duration) time.Duration
}

// Servers is what is known of some servers. It is safe for concurrent use.
type Servers struct {
	o Options

	mu      sync.Mutex
	all     []server
	current int // the one that requests go to while nobody has a lead
}

type server struct {
	away  bool
	since time.Time // when it went away, or came back
	life  context.Context
	end   context.CancelFunc
	fails int       // pauses that were doubled
	until time.Time // away: when it is probed
	why   string    // it went away

	near   time.Duration // smoothed time of probes
	probed time.Time
	took   time.Duration // smoothed time of requests
	asked  time.Time     // when the last of them was answered

	flying, window int
	passed         uint64
}

// New knows nothing yet of n servers, which is above 0.
func New(n int, o Options) *Servers {
	if o.Chance == nil {
		o.Chance = rand.N[time.Duration]
	}
	s := &Servers{o: o, all: make([]server, n)}
	for i := range s.all {
		s.all[i].begin()
	}
	return s
}

func (v *server) begin() {
	v.window = 1
	v.life, v.end = context.WithCancel(context.Background())
}

// A Ticket is one request at one server. One of Answered, Failed, Undecided and Left ends it.
type Ticket struct {
	Server int
	// Away says that the server is passed over, and is asked because nobody answers.
	Away bool
	// Life ends when the server is passed over while the request is under way.
	Life  context.Context
	s     *Servers
	began time.Time
}

// Take chooses the server for a request that begins now. Those in tried are taken
// when no other answers; when none does, those not in tried come first.
func (s *Servers) Take(now time.Time, tried []bool) *Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.choose(now, tried)
	v := &s.all[at]
	v.flying++
	if s.all[s.current].away || v.known(now) {
		s.current = at
	}
	return &Ticket{Server: at, Away: v.away, Life: v.life, s: s, began: now}
}

func (s *Servers) choose(now time.Time, tried []bool) int {
	left := func(i int) bool { return i >= len(tried) || !tried[i] }
	answers := func(i int) bool { return !s.all[i].away }
	first := s.best(now, left)
	if first >= 0 && s.all[first].away {
		s.all[first].passed++
	}
	for _, fits := range []func(int) bool{
		func(i int) bool { return left(i) && answers(i) && s.all[i].room(now) },
		func(i int) bool { return left(i) && answers(i) },
		answers, // it was tried, and is back since
		left,
	} {
		if at := s.best(now, fits); at >= 0 {
			return at
		}
	}
	return s.best(now, func(int) bool { return true })
}

// Answers tells whether any server does, as far as is known.
func (s *Servers) Answers() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.all, func(v server) bool { return !v.away })
}

// best is the server of those that fit which answers soonest, -1 for none.
func (s *Servers) best(now time.Time, fits func(int) bool) int {
	at, least := -1, time.Duration(0)
	for i := range s.all {
		if !fits(i) {
			continue
		}
		score := s.all[i].score(now)
		if i == s.current && score < math.MaxInt64 {
			score -= max(score/lead, leastLead)
		}
		if at < 0 || score < least {
			at, least = i, score
		}
	}
	return at
}

// known says whether there is a request's time that counts.
func (v *server) known(now time.Time) bool { return !v.asked.IsZero() && now.Sub(v.asked) < fresh }

func (v *server) score(now time.Time) time.Duration {
	switch {
	case v.known(now):
		return v.took
	case !v.probed.IsZero():
		return v.near
	}
	return math.MaxInt64
}

func (v *server) room(now time.Time) bool {
	if !v.known(now) {
		return v.flying == 0
	}
	return v.window >= proven || v.flying < v.window
}

// Answered ends a request that the server answered. Its time counts if measure
// says so: an answer that took no work would make the server look nearer than it
// is.
func (t *Ticket) Answered(now time.Time, measure bool) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	v := &t.s.all[t.Server]
	v.flying--
	if t.Life != v.life {
		return // it went away meanwhile, and this is of before
	}
	if v.away {
		v.back(now)
	}
	v.fails = 0
	v.window = min(v.window+1, proven)
	if measure {
		v.took = smooth(v.took, now.Sub(t.began), !v.known(now))
		v.asked = now
	}
}

func smooth(old, measured time.Duration, first bool) time.Duration {
	if first {
		return measured
	}
	return old + (measured-old)/weight
}

// Failed ends a request that the server did not answer, and has the server
// passed over. It reports whether it was not already.
func (t *Ticket) Failed(now time.Time, why string) bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	v := &t.s.all[t.Server]
	v.flying--
	if t.Life != v.life {
		return false
	}
	return t.s.lose(v, now, why)
}

// Undecided ends a request that the server says it cannot decide now. That may be so of this one
// alone: if the server has answered another since this one began, it is not passed over. Else
// this is Failed.
func (t *Ticket) Undecided(now time.Time, why string) bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	v := &t.s.all[t.Server]
	v.flying--
	if t.Life != v.life || v.asked.After(t.began) {
		return false
	}
	return t.s.lose(v, now, why)
}

// Left ends a request that nobody waits for any more. It says nothing of the
// server.
func (t *Ticket) Left() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.all[t.Server].flying--
}

// lose has a server passed over from now on, or for longer.
func (s *Servers) lose(v *server, now time.Time, why string) (news bool) {
	if v.away && now.Before(v.until) {
		return false // one failure of many: the pause is for all of them
	}
	if news = !v.away; news {
		if now.Sub(v.since) > fresh {
			v.fails = 0 // it held out long enough to be believed again
		}
		v.away, v.since = true, now
		v.asked = time.Time{}
		v.end()
		v.begin()
	}
	pause := s.o.PassOver << min(v.fails, doublings)
	v.until = now.Add(pause + s.o.Chance(pause))
	v.fails++
	v.why = why
	return news
}

func (v *server) back(now time.Time) { v.away, v.since, v.why = false, now, "" }

// Due tells whether a server may be probed: it answers, or its pause is over.
func (s *Servers) Due(i int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.all[i]
	return !v.away || !now.Before(v.until)
}

// Wait tells how long to wait before asking whether a server is due.
func (s *Servers) Wait(i int, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.all[i]
	switch {
	case v.away:
		return max(v.until.Sub(now), 0)
	case v.probed.IsZero():
		return s.o.Every / 4
	}
	return s.o.Every - s.o.Every/8 + s.o.Chance(s.o.Every/4+1)
}

// Patience tells how long a probe of a server is waited for, at most so long.
func (s *Servers) Patience(i int, most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.all[i]
	if v.away || v.probed.IsZero() {
		return most // it is connected to first
	}
	return min(most, max(late*v.near, leastLate))
}

// Probed takes the end of a probe that began at began: why is "" when the server
// answered. It reports whether the server went away or came back by it.
func (s *Servers) Probed(i int, began, now time.Time, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.all[i]
	if why != "" {
		return s.lose(v, now, why)
	}
	if v.away && !v.since.Before(began) {
		return false // it failed since: the probe is of before
	}
	v.near = smooth(v.near, now.Sub(began), v.probed.IsZero())
	v.probed = now
	news := v.away
	if news {
		v.back(now)
	}
	return news
}

// Status is what is known of one server.
type Status struct {
	Away    bool
	Since   time.Time // when it went away or came back; zero: it never did
	Why     string    // it went away
	Current bool      // requests go here
	// Near is the smoothed time of probes, Took that of answered requests; 0 when
	// there is none that counts.
	Near, Took time.Duration
	Flying     int    // requests under way
	Passed     uint64 // requests that went elsewhere because it was away
}

// Status tells what is known of server i at the time now.
func (s *Servers) Status(i int, now time.Time) Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &s.all[i]
	st := Status{Away: v.away, Since: v.since, Why: v.why, Current: i == s.current && !v.away, Near: v.near, Flying: v.flying, Passed: v.passed}
	if v.known(now) {
		st.Took = v.took
	}
	return st
}
