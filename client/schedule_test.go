package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/client/schedule"
)

var goodSchedule = []byte(`{
  "version": 1,
  "chosen": "2026-11-22T12:12:29Z",
  "times": [
    "03:30",
    "12:00"
  ],
  "on_battery": true
}
`)

func TestDecodeScheduleRefuses(t *testing.T) {
	s, err := client.DecodeSchedule(goodSchedule)
	if err != nil || s.Times.String() != "03:30, 12:00" || !s.OnBattery || s.OnMetered {
		t.Fatalf("%+v, %v", s, err)
	}
	change := func(old, new string) []byte { return bytes.Replace(goodSchedule, []byte(old), []byte(new), 1) }
	for name, bad := range map[string][]byte{
		"empty":         nil,
		"newer version": change(`"version": 1`, `"version": 2`),
		"unknown field": change(`on_battery`, `on_solar`),
		"no such time":  change(`03:30`, `24:30`),
		"out of order":  change(`03:30`, `12:30`),
		"twice":         change(`03:30`, `12:00`),
		"other form":    change(`03:30`, `3:30`),
		"no times":      change("\n    \"03:30\",\n    \"12:00\"\n  ", ""),
		"two lines":     change(`"on_battery": true`, `"limit_upload": "1M\n2M"`),
		"a long line":   change(`"on_battery": true`, `"limit_upload": "`+strings.Repeat("1", 501)+`"`),
		"text behind":   append(bytes.Clone(goodSchedule), "{}"...),
		"too long":      append(bytes.Clone(goodSchedule), bytes.Repeat([]byte(" "), 256<<10)...),
	} {
		if _, err := client.DecodeSchedule(bad); !errors.Is(err, client.ErrProfileDamaged) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What is cut off is refused; a byte that was changed makes another schedule that is one, or none.
func TestMangledSchedule(t *testing.T) {
	for n := range len(goodSchedule) - 2 { // without its last line end it is whole
		if _, err := client.DecodeSchedule(goodSchedule[:n]); err == nil {
			t.Errorf("the first %d bytes were accepted", n)
		}
	}
	for n := range goodSchedule {
		for b := range 256 {
			bad := bytes.Clone(goodSchedule)
			bad[n] = byte(b)
			if s, err := client.DecodeSchedule(bad); err == nil && (s.Times.Check() != nil || s.Version != 1) {
				t.Errorf("byte %d changed to %d: %+v", n, b, s)
			}
		}
	}
}

func FuzzDecodeSchedule(f *testing.F) {
	f.Add(goodSchedule)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := client.DecodeSchedule(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.DecodeSchedule(again); err != nil {
			t.Errorf("accepted, and refused when written again: %v", err)
		}
	})
}

func TestSchedule(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	if _, err := c.Schedule(); !errors.Is(err, client.ErrNotEnabled) {
		t.Errorf("before enable: %v", err)
	}
	if err := c.SetSchedule(client.Schedule{Times: schedule.Times{210}}); !errors.Is(err, client.ErrNotEnabled) {
		t.Errorf("chosen before enable: %v", err)
	}
	w.mustEnable()
	if _, err := c.Schedule(); !errors.Is(err, client.ErrNoSchedule) {
		t.Errorf("before it was chosen: %v", err)
	}
	if err := c.SetSchedule(client.Schedule{Times: schedule.Times{1440}}); err == nil {
		t.Error("24:00 was chosen")
	}
	before := time.Now().Truncate(time.Second)
	if err := c.SetSchedule(client.Schedule{Times: schedule.Times{210}, OnMetered: true}); err != nil {
		t.Fatal(err)
	}
	s, err := c.Schedule()
	if err != nil || s.Times.String() != "03:30" || !s.OnMetered || s.OnBattery || s.Chosen.Before(before) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, want := range []bool{true, false} {
		if had, err := c.RemoveSchedule(); had != want || err != nil {
			t.Errorf("turned off: %v, %v", had, err)
		}
	}
	if _, err := c.Schedule(); !errors.Is(err, client.ErrNoSchedule) {
		t.Errorf("after it was turned off: %v", err)
	}
}

// A schedule goes with the profile it is of.
func TestDisableForgetsTheSchedule(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	if err := w.client().SetSchedule(client.Schedule{Times: schedule.Times{210}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client().Disable(context.Background(), client.DisableOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(w.profile, "schedule.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("schedule.json: %v", err)
	}
}

func TestNoteFailure(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	at := time.Date(2026, 11, 20, 3, 31, 0, 0, time.UTC)
	if err := c.NoteFailure(client.LastFailure{Time: at}); !errors.Is(err, client.ErrNotEnabled) {
		t.Errorf("before enable: %v", err)
	}
	w.mustEnable()
	if good, failed, err := c.LastRuns(); good != nil || failed != nil || err != nil {
		t.Errorf("before any run: %v, %v, %v", good, failed, err)
	}
	if err := c.NoteFailure(client.LastFailure{Time: at, Code: "full", Reason: "two\nlines " + strings.Repeat("ä", 300), Told: at}); err != nil {
		t.Fatal(err)
	}
	if err := c.NoteFailure(client.LastFailure{Time: at.Add(time.Hour), Code: "unreachable", Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backup(); err != nil {
		t.Fatal(err)
	}
	good, failed, err := c.LastRuns()
	want := client.LastFailure{Time: at.Add(time.Hour), Code: "unreachable", Reason: "x", Told: at}
	if err != nil || good == nil || failed == nil || *failed != want {
		t.Errorf("%v, %+v, %v", good, failed, err)
	}
	if err := c.NoteFailure(client.LastFailure{Time: at, Reason: "two\nlines " + strings.Repeat("ä", 300)}); err != nil {
		t.Fatal(err)
	}
	if _, failed, _ := c.LastRuns(); failed.Reason != "two lines "+strings.Repeat("ä", 245) {
		t.Errorf("kept %d bytes: %q", len(failed.Reason), failed.Reason)
	}
	if len(w.warnings) > 0 {
		t.Errorf("warned %q", w.warnings)
	}
}

// One watch a profile; it keeps no command out, and status finds who it is.
func TestHoldWatch(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	c := w.client()
	see := func(when, want string) {
		t.Helper()
		busy, err := c.Watching()
		if got := busy != nil && busy.PID == os.Getpid() && busy.What == want; err != nil || got != (want != "") {
			t.Errorf("%s: %v, %v", when, busy, err)
		}
	}
	see("before", "")
	release, err := c.HoldWatch("keepsake backup --watch")
	if err != nil {
		t.Fatal(err)
	}
	see("held", "keepsake backup --watch")
	if _, err := c.HoldWatch("another"); !errors.Is(err, client.ErrBusy) {
		t.Errorf("twice: %v", err)
	}
	if _, err := w.backup(); err != nil {
		t.Errorf("a backup beside it: %v", err)
	}
	release()
	see("released", "")
	// One that crashed leaves its name in the file.
	if err := os.WriteFile(filepath.Join(w.profile, "watch.lock"), []byte(`{"what":"x","pid":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	see("crashed", "")
	if release, err = c.HoldWatch("next"); err != nil {
		t.Fatal(err)
	}
	release()
}
