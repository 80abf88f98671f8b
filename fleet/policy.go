package fleet

import (
	"errors"
	"fmt"
)

// Policy limits guesses, for all records of a fleet (spec/vault-protocol.md §7.2).
// Nothing that a client sends weakens it.
type Policy struct {
	MaxAttempts uint8    // m, the largest attempt limit of a record, 1 to 10
	Waits       []uint64 // milliseconds after the n-th attempt without proof, n from 1 to m − 1; never falling
	CoolDown    uint64   // milliseconds until a change without authority takes effect
	Grace       uint64   // milliseconds for which a last attempt may be repeated and proved
	Insecure    bool     // a development anchor, or weaker limits than the default
}

const (
	second = 1000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// DefaultPolicy returns ten attempts, with waits of 0, 0, 0, 30 s, 5 min, 30 min,
// 2 h, 8 h and 24 h, a cool-down of 7 days and a grace of one hour.
func DefaultPolicy() Policy {
	return Policy{
		MaxAttempts: MaxAttempts,
		Waits:       []uint64{0, 0, 0, 30 * second, 5 * minute, 30 * minute, 2 * hour, 8 * hour, 24 * hour},
		CoolDown:    7 * day,
		Grace:       hour,
	}
}

// Weak reports whether a wait or the cool-down is shorter than the default's, or m
// larger than ten. Such a policy must say that it is insecure.
func (p Policy) Weak() bool {
	d := DefaultPolicy()
	for i, w := range p.Waits {
		if i < len(d.Waits) && w < d.Waits[i] {
			return true
		}
	}
	return p.MaxAttempts > d.MaxAttempts || p.CoolDown < d.CoolDown
}

// Check refuses a policy with a value out of its range, or a weak one that does
// not say that it is insecure.
func (p Policy) Check() error {
	switch {
	case p.MaxAttempts < 1 || p.MaxAttempts > MaxAttempts:
		return fmt.Errorf("fleet: policy: limit of %d attempts, must be 1 to %d", p.MaxAttempts, MaxAttempts)
	case len(p.Waits) != int(p.MaxAttempts)-1:
		return fmt.Errorf("fleet: policy: %d waits for %d attempts, must be one less", len(p.Waits), p.MaxAttempts)
	case p.CoolDown > MaxDuration || p.Grace > MaxDuration:
		return fmt.Errorf("fleet: policy: cool-down of %d ms, grace of %d ms, at most %d", p.CoolDown, p.Grace, uint64(MaxDuration))
	}
	last := uint64(0)
	for _, w := range p.Waits {
		if w < last || w > MaxDuration {
			return fmt.Errorf("fleet: policy: wait of %d ms after one of %d, must not fall and be at most %d", w, last, uint64(MaxDuration))
		}
		last = w
	}
	if p.Weak() && !p.Insecure {
		return errors.New("fleet: policy: weaker than the default without saying that it is insecure")
	}
	return nil
}
