package key

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// FindSlip looks for the one slip that turns d into a key that check accepts
// (spec/key.md §5): with 64 digits, one wrong digit (960 tries), two neighbours
// swapped (63), then two wrong digits (453,600); with 63 digits, one missing
// (961); with 65, one too many (65). Other lengths are not searched.
//
// The caller has tried d itself. FindSlip uses GOMAXPROCS goroutines for the
// pairs and none after it returns. When ctx ends it stops within 945 calls of
// check in each and returns what it has, usually nothing. If check accepts
// several candidates the first in the order of spec/key.md §5.2 is returned, so
// that the answer does not depend on scheduling.
func FindSlip(ctx context.Context, d Digits, check Check) (*Slip, bool) {
	s := finder{ctx: ctx, check: check}
	defer func() { clear(s.candidate[:]) }()
	values := d.values()
	switch len(values) {
	case numDigits - 1:
		return found(s.missing(values))
	case numDigits + 1:
		return found(s.extra(values))
	case numDigits:
		s.load(values)
		for _, look := range []func() *Slip{s.wrong, s.swapped, s.twoWrong} {
			if slip := look(); slip != nil {
				return slip, true
			}
		}
	}
	return nil, false
}

func found(s *Slip) (*Slip, bool) { return s, s != nil }

// finder tries candidates. The candidate is changed in place and put back, so
// that a try costs one store and one check and allocates nothing.
type finder struct {
	ctx       context.Context
	check     Check
	candidate [Size]byte
}

// load makes the first 64 of values the candidate.
func (s *finder) load(values []byte) {
	for i, v := range values[:numDigits] {
		setDigit(&s.candidate, i, v)
	}
}

func (s *finder) ended() bool { return s.ctx.Err() != nil }

// slip describes the present candidate, repaired at these indices (from 0).
func (s *finder) slip(kind SlipKind, indices ...int) *Slip {
	fixes := make([]Fix, len(indices))
	for n, i := range indices {
		fixes[n] = Fix{Position: i + 1, Want: hexDigits[digitAt(&s.candidate, i)]}
	}
	return &Slip{Kind: kind, Fixes: fixes, Key: FromBytes(s.candidate)}
}

// tryOthers tries every digit but not at index i, and leaves the candidate at
// the one accepted, or as it was.
func (s *finder) tryOthers(i int, not byte) bool {
	was := digitAt(&s.candidate, i)
	for v := range byte(16) {
		if v == not {
			continue
		}
		setDigit(&s.candidate, i, v)
		if s.check(&s.candidate) {
			return true
		}
	}
	setDigit(&s.candidate, i, was)
	return false
}

func (s *finder) wrong() *Slip {
	for i := 0; i < numDigits && !s.ended(); i++ {
		if s.tryOthers(i, digitAt(&s.candidate, i)) {
			return s.slip(WrongDigit, i)
		}
	}
	return nil
}

func (s *finder) swapped() *Slip {
	for i := 0; i+1 < numDigits && !s.ended(); i++ {
		a, b := digitAt(&s.candidate, i), digitAt(&s.candidate, i+1)
		if a == b {
			continue
		}
		setDigit(&s.candidate, i, b)
		setDigit(&s.candidate, i+1, a)
		if s.check(&s.candidate) {
			return s.slip(Swapped, i, i+1)
		}
		setDigit(&s.candidate, i, a)
		setDigit(&s.candidate, i+1, b)
	}
	return nil
}

// missing moves a gap through the 63 digits: the digits from the gap on start
// one place to the right and step back as the gap passes them.
func (s *finder) missing(values []byte) *Slip {
	for i, v := range values {
		setDigit(&s.candidate, i+1, v)
	}
	const none = 16
	before := byte(none)
	for i := 0; i < numDigits && !s.ended(); i++ {
		// The digit before the gap, put into the gap, is the same candidate as
		// one gap earlier.
		if s.tryOthers(i, before) {
			return s.slip(Missing, i)
		}
		if i < len(values) {
			before = values[i]
			setDigit(&s.candidate, i, before)
		}
	}
	return nil
}

// extra leaves out each of the 65 digits in turn.
func (s *finder) extra(values []byte) *Slip {
	s.load(values[1:])
	for i := 0; i < len(values) && !s.ended(); i++ {
		repeated := i > 0 && values[i] == values[i-1]
		if !repeated && s.check(&s.candidate) {
			repeats := i+1 < len(values) && values[i] == values[i+1]
			return &Slip{
				Kind:  Doubled,
				Fixes: []Fix{{Position: i + 1, Repeats: repeats}},
				Key:   FromBytes(s.candidate),
			}
		}
		if i < numDigits {
			setDigit(&s.candidate, i, values[i])
		}
	}
	return nil
}

// pairs is the search for two wrong digits, shared by its workers. A job is one
// digit value at one index; jobs are numbered in the order of the specification.
type pairs struct {
	next  atomic.Int64 // the next job to hand out
	limit atomic.Int64 // jobs from here on need not start: an earlier one found it

	mu    sync.Mutex
	first *Slip // found by job limit
}

const pairJobs = (numDigits - 1) * 16

func (s *finder) twoWrong() *Slip {
	p := &pairs{}
	p.limit.Store(pairJobs)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		own := *s
		workers.Go(func() {
			defer clear(own.candidate[:])
			own.work(p)
		})
	}
	workers.Wait()
	return p.first
}

// work takes jobs until they run out, one is found before the next, or ctx ends.
func (s *finder) work(p *pairs) {
	for !s.ended() {
		job := p.next.Add(1) - 1
		if job >= p.limit.Load() {
			return
		}
		i, v := int(job/16), byte(job%16)
		if j := s.tryPairs(i, v); j > 0 {
			p.accept(job, s.slip(TwoWrong, i, j))
			return
		}
	}
}

// tryPairs puts v at index i and tries every second wrong digit after it. It
// returns that digit's index, or 0.
func (s *finder) tryPairs(i int, v byte) int {
	was := digitAt(&s.candidate, i)
	if v == was {
		return 0
	}
	setDigit(&s.candidate, i, v)
	for j := i + 1; j < numDigits; j++ {
		if s.tryOthers(j, digitAt(&s.candidate, j)) {
			return j
		}
	}
	setDigit(&s.candidate, i, was)
	return 0
}

// accept keeps the slip of the lowest job. Lower jobs still running go on, which
// is what makes the answer independent of scheduling.
func (p *pairs) accept(job int64, slip *Slip) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if job >= p.limit.Load() {
		slip.Key.Wipe()
		return
	}
	if p.first != nil {
		p.first.Key.Wipe()
	}
	p.limit.Store(job)
	p.first = slip
}
