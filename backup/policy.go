package backup

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Policy says which snapshots prune keeps. A snapshot is kept if any rule keeps it; times are taken in the local time zone.
//
// Snapshots of one device and one source are a history, and a rule never gives up those of one for those of another. The newest of each history is always
// kept. The calendar is one for all, so that the days of a device that is no longer used pass too, and it comes down to its newest Last.
type Policy struct {
	Last    int           // the newest so many of each history
	Daily   int           // of each of the last so many days that have a snapshot of any history, the newest of each history
	Weekly  int           // likewise ISO weeks
	Monthly int           // likewise months
	Within  time.Duration // every one that is at most this much older than the newest of all
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

// apply splits snapshots, oldest first, into those kept and those removed.
func (p Policy) apply(snapshots []*Snapshot) (kept, removed []*Snapshot) {
	keep := make(map[*Snapshot]bool)
	p.keepLast(snapshots, keep)
	keepEach(snapshots, keep, p.Daily, func(t time.Time) string { return t.Format(time.DateOnly) })
	keepEach(snapshots, keep, p.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, "-", w) })
	keepEach(snapshots, keep, p.Monthly, func(t time.Time) string { return t.Format("2006-01") })
	for _, s := range snapshots {
		newest := snapshots[len(snapshots)-1]
		if keep[s] || (p.Within > 0 && newest.Time.Sub(s.Time) <= p.Within) {
			kept = append(kept, s)
		} else {
			removed = append(removed, s)
		}
	}
	return kept, removed
}

// A history is what snapshots of one folder have in common.
type history struct{ device, source string }

func (s *Snapshot) history() history { return history{s.Device, s.Source} }

// keepLast keeps the newest of each history, at least one.
func (p Policy) keepLast(snapshots []*Snapshot, keep map[*Snapshot]bool) {
	n := make(map[history]int)
	for _, s := range slices.Backward(snapshots) {
		if n[s.history()]++; n[s.history()] <= max(p.Last, 1) {
			keep[s] = true
		}
	}
}

// keepEach keeps the newest of each history of the last n periods.
func keepEach(snapshots []*Snapshot, keep map[*Snapshot]bool, n int, period func(time.Time) string) {
	last := make(map[string]map[history]bool) // :: period → histories that have theirs
	for _, s := range slices.Backward(snapshots) {
		at := period(s.Time.Local())
		if last[at] == nil && len(last) < n {
			last[at] = make(map[history]bool)
		}
		if have := last[at]; have != nil && !have[s.history()] {
			have[s.history()], keep[s] = true, true
		}
	}
}
