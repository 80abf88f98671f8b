package backup

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Policy says which snapshots prune keeps. A snapshot is kept if any rule keeps it; times are taken in the local time zone.
type Policy struct {
	Last    int           // the newest so many
	Daily   int           // the newest of each of the last so many days that have one
	Weekly  int           // likewise ISO weeks
	Monthly int           // likewise months
	Within  time.Duration // every one that is at most this much older than the newest
}

// Empty reports whether the policy would keep nothing.
func (p Policy) Empty() bool { return p == Policy{} }

// check refuses numbers below zero. Taken as they come they would keep everything, which nobody means who asks for less than nothing.
func (p Policy) check() error {
	if min(p.Last, p.Daily, p.Weekly, p.Monthly) < 0 || p.Within < 0 {
		return errors.New("backup: a policy with a number below zero")
	}
	return nil
}

// apply splits snapshots, oldest first, into those kept and those removed. The newest is always kept.
func (p Policy) apply(snapshots []*Snapshot) (kept, removed []*Snapshot) {
	keep := make(map[*Snapshot]bool)
	for _, rule := range []struct {
		n      int
		period func(time.Time) string
	}{
		{p.Last, nil},
		{p.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{p.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, "-", w) }},
		{p.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
	} {
		last, n := "", 0
		for _, s := range slices.Backward(snapshots) {
			period := s.ID
			if rule.period != nil {
				period = rule.period(s.Time.Local())
			}
			if n == rule.n {
				break
			}
			if period != last {
				keep[s] = true
				last, n = period, n+1
			}
		}
	}
	for i, s := range snapshots {
		newest := snapshots[len(snapshots)-1]
		if i == len(snapshots)-1 || keep[s] || (p.Within > 0 && newest.Time.Sub(s.Time) <= p.Within) {
			kept = append(kept, s)
		} else {
			removed = append(removed, s)
		}
	}
	return kept, removed
}
