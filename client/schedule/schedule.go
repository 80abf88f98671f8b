// Package schedule says when backups are due: at times of the day, on the wall
// clock of the zone the device is in. It is a function of its inputs: the clock,
// the zone and what was done before are handed to it.
//
// # Days that are not like others
//
// Every time of the day comes once on every day, daylight saving or not. A time
// that the day leaves out (02:30, when clocks go from 02:00 to 03:00) comes at the moment
// of the change; one that the day has twice comes at the first. A device that is
// carried to another zone keeps its times on the wall there.
//
// # What is missed
//
// A slot is missed when it lies in the past and no good run, and not the choice
// of the schedule itself, lies behind it. Of several missed slots the newest
// counts for all: one backup catches up with them. A record that lies more than an
// hour in the future was written under a wrong clock and counts for nothing: believed,
// it would keep backups from being made until then, and a backup too many costs little.
package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxTimes is how many times of the day a schedule may have: one each hour.
const MaxTimes = 24

// maxText bounds what Parse reads, in bytes: far more than 24 times take.
const maxText = 1024

// believable is how far in the future a record may lie and still count: clocks are
// put right by seconds, and by an hour where daylight saving is set by hand.
const believable = time.Hour

// Time is a time of the day, in minutes since midnight: 0 to 1439.
type Time int

// String gives the time as people write it: "03:30".
func (t Time) String() string { return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60) }

// MarshalText is String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what MarshalText wrote, and nothing else.
func (t *Time) UnmarshalText(text []byte) error {
	got, err := parseTime(string(text))
	if err != nil || got.String() != string(text) {
		return fmt.Errorf("schedule: %.20q is not a time of the day", text)
	}
	*t = got
	return nil
}

// Times are times of the day, ascending and each once. The zero value is no
// schedule: it has no slot.
type Times []Time

// Parse reads times of the day as people write them, with commas between:
// "03:30", "3:30, 12:00".
func Parse(text string) (Times, error) {
	if len(text) > maxText {
		return nil, errors.New("schedule: too long")
	}
	var list Times
	for word := range strings.SplitSeq(text, ",") {
		t, err := parseTime(strings.TrimSpace(word))
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return list, list.Check()
}

func parseTime(text string) (Time, error) {
	bad := fmt.Errorf("schedule: %.40q is not a time of the day, such as 03:30", text)
	hour, minute, found := strings.Cut(text, ":")
	if !found || len(minute) != 2 || len(hour) < 1 || len(hour) > 2 {
		return 0, bad
	}
	h, err := strconv.ParseUint(hour, 10, 8)
	m, err2 := strconv.ParseUint(minute, 10, 8)
	if err != nil || err2 != nil || h > 23 || m > 59 {
		return 0, bad
	}
	return Time(h*60 + m), nil
}

// Check reports what no value of Parse is: no time, too many, out of order or out
// of the day.
func (t Times) Check() error {
	if len(t) == 0 || len(t) > MaxTimes {
		return fmt.Errorf("schedule: %d times of the day, not 1 to %d", len(t), MaxTimes)
	}
	for i, at := range t {
		if at < 0 || at >= 24*60 || i > 0 && at <= t[i-1] {
			return errors.New("schedule: times of the day are not in order")
		}
	}
	return nil
}

// String lists the times as Parse reads them: "03:30, 12:00".
func (t Times) String() string {
	words := make([]string, len(t))
	for i, at := range t {
		words[i] = at.String()
	}
	return strings.Join(words, ", ")
}

// Next is the first slot after now, in the zone of now.
func (t Times) Next(now time.Time) time.Time {
	for _, slot := range t.around(now) {
		if slot.After(now) {
			return slot
		}
	}
	return time.Time{} // no times
}

// Last is the newest slot at or before now, in the zone of now.
func (t Times) Last(now time.Time) time.Time {
	for _, slot := range slices.Backward(t.around(now)) {
		if !slot.After(now) {
			return slot
		}
	}
	return time.Time{} // no times
}

// Missed says whether a backup is due at now, and since which slot. done are the
// times after which nothing is missed: of the last good run, of the choice of the
// schedule.
func (t Times) Missed(now time.Time, done ...time.Time) (slot time.Time, missed bool) {
	slot = t.Last(now)
	if slot.IsZero() {
		return slot, false
	}
	for _, d := range done {
		if !d.Before(slot) && d.Sub(now) <= believable {
			return slot, false
		}
	}
	return slot, true
}

// around gives the slots of the days about now. Two days to each side: a zone may
// have left out a whole day (Samoa, 2011-12-30).
func (t Times) around(now time.Time) []time.Time {
	year, month, day := now.Date()
	slots := make([]time.Time, 0, 5*len(t))
	for d := day - 2; d <= day+2; d++ {
		for _, at := range t {
			slots = append(slots, at.on(year, month, d, now.Location()))
		}
	}
	slices.SortStableFunc(slots, time.Time.Compare)
	return slots
}

// on is when t comes on a day.
func (t Time) on(year int, month time.Month, day int, zone *time.Location) time.Time {
	at := time.Date(year, month, day, 0, int(t), 0, 0, zone)
	wanted := time.Date(year, month, day, 0, int(t), 0, 0, time.UTC)
	start, end := at.ZoneBounds()
	// The day leaves the time out. time.Date then counts it by the offset before the
	// change or by the one behind it, and says that it may be either.
	switch shown := onWall(at); {
	case shown.After(wanted):
		return start
	case shown.Before(wanted):
		return end
	}
	if start.IsZero() {
		return at
	}
	_, offset := at.Zone()
	_, before := start.Add(-1).Zone()
	first := at.Add(time.Duration(offset-before) * time.Second)
	if first.Before(start) && onWall(first).Equal(wanted) {
		return first
	}
	return at
}

// onWall is what the wall clock shows at t, as a time that can be compared with
// others on the wall.
func onWall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}
