package schedule_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the zones, wherever the test runs

	"pgregory.net/rapid"

	"keepsake.example/client/schedule"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func times(t testing.TB, text string) schedule.Times {
	t.Helper()
	list, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"03:30": "03:30", "3:30": "03:30", " 18:00 ,6:05,06:05": "06:05, 18:00", "00:00,23:59": "00:00, 23:59",
	} {
		if got, err := schedule.Parse(text); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	var hours []string
	for m := range 25 {
		hours = append(hours, schedule.Time(m*50).String())
	}
	for _, text := range []string{
		"", ",", "24:00", "12:60", "12", "12:5", "1:1", ":30", "+1:30", "-1:30", "012:30", "12:030", "noon", "03:30,", "3.30", "0x1:30", "03:30;04:00",
		strings.Join(hours, ","), strings.Repeat("03:30,", 500) + "03:30",
	} {
		if got, err := schedule.Parse(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	if got, err := schedule.Parse(strings.Join(hours[:24], ",")); err != nil || len(got) != 24 {
		t.Errorf("24 times: %v, %v", got, err)
	}
}

// What was parsed is written so that it is read again as the same; a text that was changed is another
// time or none.
func FuzzParse(f *testing.F) {
	f.Add("03:30")
	f.Add("3:30, 12:00")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := schedule.Parse(text)
		if err != nil {
			return
		}
		if err := got.Check(); err != nil {
			t.Fatalf("%q is %v: %v", text, got, err)
		}
		again, err := schedule.Parse(got.String())
		if err != nil || again.String() != got.String() {
			t.Errorf("%q is %q, read again as %q (%v)", text, got, again, err)
		}
		data, err := json.Marshal(got)
		var back schedule.Times
		if err != nil || json.Unmarshal(data, &back) != nil || back.String() != got.String() {
			t.Errorf("%q in JSON: %s, %v", got, data, err)
		}
	})
}

func TestMangledTimesAreRefused(t *testing.T) {
	good := "03:30"
	for n := range good {
		var at schedule.Time
		if err := at.UnmarshalText([]byte(good[:n])); err == nil {
			t.Errorf("%q was read", good[:n])
		}
		for b := range 256 {
			bad := []byte(good)
			bad[n] = byte(b)
			if err := at.UnmarshalText(bad); err == nil && at.String() != string(bad) {
				t.Errorf("%q was read as %v", bad, at)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, bad := range []schedule.Times{nil, {-1}, {1440}, {5, 5}, {6, 5}} {
		if bad.Check() == nil {
			t.Errorf("%v passed", []schedule.Time(bad))
		}
	}
}

// One sentence of the package comment each.
func TestSlots(t *testing.T) {
	const form = "2006-01-02 15:04 MST"
	for _, test := range []struct{ name, zone, times, now, last, next string }{
		{"an ordinary day", "Europe/Berlin", "03:30", "2026-11-20 12:00 CET", "2026-11-20 03:30 CET", "2026-11-21 03:30 CET"},
		{"at the slot itself", "Europe/Berlin", "03:30", "2026-11-20 03:30 CET", "2026-11-20 03:30 CET", "2026-11-21 03:30 CET"},
		{"a minute before", "Europe/Berlin", "03:30", "2026-11-20 03:29 CET", "2026-11-19 03:30 CET", "2026-11-20 03:30 CET"},
		{"several", "Europe/Berlin", "03:30,12:00,18:15", "2026-11-20 12:00 CET", "2026-11-20 12:00 CET", "2026-11-20 18:15 CET"},
		{"over the year's end", "UTC", "23:59", "2026-12-31 23:59 UTC", "2026-12-31 23:59 UTC", "2027-01-01 23:59 UTC"},
		{"left out in spring", "Europe/Berlin", "02:30", "2026-03-28 12:00 CET", "2026-03-28 02:30 CET", "2026-03-29 03:00 CEST"},
		{"the day after", "Europe/Berlin", "02:30", "2026-03-29 03:00 CEST", "2026-03-29 03:00 CEST", "2026-03-30 02:30 CEST"},
		{"twice in autumn: the first", "Europe/Berlin", "02:30", "2026-10-24 12:00 CEST", "2026-10-24 02:30 CEST", "2026-10-25 02:30 CEST"},
		{"not at the second", "Europe/Berlin", "02:30", "2026-10-25 02:30 CEST", "2026-10-25 02:30 CEST", "2026-10-26 02:30 CET"},
		{"between the two", "America/New_York", "01:30", "2026-11-01 01:10 EST", "2026-11-01 01:30 EDT", "2026-11-02 01:30 EST"},
		{"left out, New York", "America/New_York", "02:30", "2026-03-08 01:59 EST", "2026-03-07 02:30 EST", "2026-03-08 03:00 EDT"},
		{"midnight left out", "America/Santiago", "00:00", "2026-09-05 12:00 -04", "2026-09-05 00:00 -04", "2026-09-06 01:00 -03"},
		{"half an hour's change", "Australia/Lord_Howe", "02:15", "2026-10-03 12:00 +1030", "2026-10-03 02:15 +1030", "2026-10-04 02:30 +11"},
		{"a day left out", "Pacific/Apia", "03:30", "2011-12-29 12:00 -10", "2011-12-29 03:30 -10", "2011-12-31 00:00 +14"},
	} {
		z := zone(t, test.zone)
		now := parseIn(t, form, test.now, z)
		list := times(t, test.times)
		if got := list.Last(now).Format(form); got != test.last {
			t.Errorf("%s: last %s, want %s", test.name, got, test.last)
		}
		if got := list.Next(now).Format(form); got != test.next {
			t.Errorf("%s: next %s, want %s", test.name, got, test.next)
		}
	}
}

// parseIn finds the moment that is shown as text in z, with the abbreviation of the zone.
func parseIn(t *testing.T, form, text string, z *time.Location) time.Time {
	t.Helper()
	wall, err := time.Parse("2006-01-02 15:04", text[:16])
	if err != nil {
		t.Fatal(err)
	}
	for m := -15 * 60; m <= 15*60; m += 30 {
		if at := wall.Add(time.Duration(m) * time.Minute).In(z); at.Format(form) == text {
			return at
		}
	}
	t.Fatalf("no moment is shown as %s", text)
	return time.Time{}
}

// The dumb alternative: minute by minute, a slot comes when the wall first shows the time of the day
// or, where that is left out, anything later.
func TestSlotsAgainstMinuteByMinute(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca", "Pacific/Apia", "Europe/Dublin"}
	rapid.Check(t, func(rt *rapid.T) {
		z := zone(t, rapid.SampledFrom(zones).Draw(rt, "zone"))
		at := schedule.Time(rapid.IntRange(0, 1439).Draw(rt, "time"))
		if rapid.Bool().Draw(rt, "at night") {
			at %= 240 // where the changes are
		}
		now := time.Unix(rapid.Int64Range(946684800, 1830297600).Draw(rt, "now")/60*60, 0).In(z)
		if change, _ := now.ZoneBounds(); !change.IsZero() && rapid.Bool().Draw(rt, "at a change") {
			now = change.Add(time.Duration(rapid.IntRange(-1500, 1500).Draw(rt, "minutes")) * time.Minute)
		}
		if got, want := (schedule.Times{at}).Next(now), plod(now, at); !got.Equal(want) {
			rt.Errorf("%v after %v: %v, want %v", at, now, got, want)
		}
	})
}

func plod(now time.Time, at schedule.Time) time.Time {
	seen := map[string]bool{}
	for m := now.Add(-72 * time.Hour); ; m = m.Add(time.Minute) {
		// Every day whose time the wall has reached by now, the one before included: a
		// day left out is reached when the next one begins.
		for back := range 2 {
			y, mo, d := m.Date()
			day := time.Date(y, mo, d-back, 0, 0, 0, 0, time.UTC)
			reached := back == 1 || m.Hour()*60+m.Minute() >= int(at)
			name := day.Format(time.DateOnly)
			if !reached || seen[name] {
				continue
			}
			seen[name] = true
			if m.After(now) {
				return m
			}
		}
	}
}

func TestMissed(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, berlin) }
	daily := times(t, "03:30")
	for _, test := range []struct {
		name      string
		now       time.Time
		good, set time.Time
		want      bool
	}{
		{"just chosen, no backup yet", at(20, 12, 0), time.Time{}, at(20, 11, 59), false},
		{"chosen yesterday, no backup yet", at(20, 3, 30), time.Time{}, at(19, 12, 0), true},
		{"backed up at the slot", at(20, 12, 0), at(20, 3, 30), at(1, 0, 0), false},
		{"backed up by hand before the slot", at(20, 3, 30), at(20, 3, 29), at(1, 0, 0), true},
		{"asleep at the slot", at(20, 8, 0), at(19, 3, 31), at(1, 0, 0), true},
		{"off for weeks", at(20, 8, 0), at(2, 3, 31), at(1, 0, 0), true},
		{"the clock went back an hour after the run", at(20, 2, 40), at(20, 3, 31), at(1, 0, 0), false},
		{"the clock went back a day after the run", at(19, 3, 40), at(20, 3, 31), at(1, 0, 0), true},
		{"the run was under a clock years ahead", at(20, 8, 0), at(20, 3, 31).AddDate(4, 0, 0), at(1, 0, 0), true},
		{"chosen under a clock years ahead", at(20, 8, 0), time.Time{}, at(1, 0, 0).AddDate(4, 0, 0), true},
		{"the clock jumped years ahead", at(20, 8, 0).AddDate(4, 0, 0), at(20, 3, 31), at(1, 0, 0), true},
	} {
		slot, got := daily.Missed(test.now, test.good, test.set)
		if got != test.want || !slot.Equal(daily.Last(test.now)) {
			t.Errorf("%s: %v of %v", test.name, got, slot)
		}
	}
	if _, missed := (schedule.Times{}).Missed(at(20, 8, 0)); missed {
		t.Error("no schedule, and something was missed")
	}
}

// A profile moved to another zone keeps its times on the wall there. What was done in the old zone counts.
func TestMovedZone(t *testing.T) {
	daily := times(t, "03:30")
	ran := time.Date(2026, 11, 20, 3, 31, 0, 0, zone(t, "Europe/Berlin"))
	for name, hours := range map[string]int{"Asia/Tokyo": 16, "America/New_York": 6, "Pacific/Kiritimati": 11} {
		now := ran.Add(time.Minute).In(zone(t, name))
		if _, missed := daily.Missed(now, ran); missed {
			t.Errorf("%s: missed at once", name)
		}
		next := daily.Next(now)
		if next.Format("15:04") != "03:30" || int(next.Sub(ran).Hours()) != hours-1 && int(next.Sub(ran).Hours()) != hours {
			t.Errorf("%s: next at %v, %v after", name, next, next.Sub(ran))
		}
	}
}
