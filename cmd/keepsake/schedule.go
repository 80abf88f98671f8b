package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"keepsake.example/client"
	"keepsake.example/client/schedule"
	"keepsake.example/client/timer"
	"keepsake.example/client/watch"
	"keepsake.example/internal/cli"
)

// scheduleFlags are those of keepsake backup that are about runs at chosen times.
type scheduleFlags struct {
	times                string // "" when not given; "off" turns it off
	watch, unattended    bool
	onBattery, onMetered bool
}

func (f *scheduleFlags) given() bool {
	return f.times != "" || f.watch || f.unattended || f.onBattery || f.onMetered
}

// scheduled does what is asked about runs at chosen times; by hand says that flags of a run by
// hand were given.
func (a *app) scheduled(ctx context.Context, f scheduleFlags, byHand bool) error {
	const hint = "see: keepsake backup -h"
	switch {
	case byHand:
		return usage("--dry-run, --reread, --allow-empty, --older-state and --exclude are for a run by hand", "what is always to be left out is said once: keepsake enable --exclude")
	case f.watch && f.unattended:
		return usage("--watch and --unattended exclude each other", hint)
	case f.times == "" && !f.watch && !f.unattended:
		return usage("--on-battery and --on-metered are for scheduled runs; one by hand waits for nothing", "give them with --schedule, --watch or --unattended")
	case f.times == "off" && (f.watch || f.unattended || f.onBattery || f.onMetered):
		return usage("--schedule off goes with no other flag", hint)
	}
	if f.times != "" {
		if err := a.setSchedule(f); err != nil {
			return err
		}
	}
	switch {
	case f.watch:
		return a.watch(ctx, f)
	case f.unattended:
		return a.unattended(ctx, f)
	}
	return nil
}

func (a *app) setSchedule(f scheduleFlags) error {
	c := a.client()
	if f.times == "off" {
		return a.scheduleOff(c)
	}
	times, err := schedule.Parse(f.times)
	if err != nil {
		return usage(plain(err), "times are written 03:30, or 03:30,12:00 for several a day; off turns the schedule off")
	}
	if err := c.SetSchedule(client.Schedule{Times: times, OnBattery: f.onBattery, OnMetered: f.onMetered, LimitUpload: a.limitUpload}); err != nil {
		return err
	}
	if f.watch || f.unattended {
		return nil // what comes now is told as it comes
	}
	st := a.standing(c)
	if err := a.emit(st.json(), func(w io.Writer) { writeSchedule(w, st) }); err != nil {
		return err
	}
	if worry := st.worry(); worry != "" {
		a.msg.Warning("%s", worry)
	}
	return nil
}

func (a *app) scheduleOff(c *client.Client) error {
	if _, err := c.Config(); err != nil {
		return err
	}
	had, err := c.RemoveSchedule()
	if err != nil {
		return err
	}
	err = a.emit(map[string]bool{"had_schedule": had}, func(w io.Writer) {
		fmt.Fprintln(w, map[bool]string{true: "The schedule is off. Backups are made by hand only: keepsake backup", false: "There was no schedule."}[had])
	})
	if err != nil {
		return err
	}
	a.tellTimerLeft(c)
	return nil
}

// chosen reads the schedule, for commands that need one.
func chosen(c *client.Client) (*client.Schedule, error) {
	s, err := c.Schedule()
	switch _, broken := c.Config(); {
	case errors.Is(err, client.ErrNoSchedule):
		return nil, &failure{cli.NotFound, "no time was chosen for backups", "choose one with: keepsake backup --schedule 03:30"}
	case errors.Is(err, client.ErrProfileDamaged) && broken == nil:
		return nil, &failure{cli.Damaged, plain(err), "the backup is not touched by it; choose the times again: keepsake backup --schedule 03:30"}
	}
	return s, err
}

// standing is how the schedule of a profile stands.
type standing struct {
	schedule *client.Schedule // nil: there is none
	damaged  bool             // schedule.json cannot be read
	good     *client.LastBackup
	failed   *client.LastFailure
	now      time.Time
	network  bool // the destination is reached over one
	watching *client.BusyError
	job      timer.Job
	timer    timer.Standing
	enabled  bool // the timer starts by itself
}

// standing looks at the profile and at the system's folders; what cannot be read counts as absent, and is
// told by the command that needs it.
func (a *app) standing(c *client.Client) standing {
	st := standing{now: a.wall()}
	if cfg, err := c.Config(); err == nil {
		st.network = reachedByNetwork(cfg.Cloud)
	}
	var err error
	st.schedule, err = c.Schedule()
	st.damaged = errors.Is(err, client.ErrProfileDamaged)
	st.good, st.failed, _ = c.LastRuns()
	st.watching, _ = c.Watching()
	st.lookForTimer(a.profile)
	return st
}

// reachedByNetwork says whether a destination is more than a folder of this device.
func reachedByNetwork(cloud string) bool { return !filepath.IsAbs(cloud) }

// next is when the next run is due, and since when one is missed, each zero when it is not so.
func (st standing) next() (next, missed time.Time) {
	if st.schedule == nil {
		return next, missed
	}
	if slot, due := st.schedule.Times.Missed(st.now, done(st.schedule, st.good)...); due {
		missed = slot
	}
	return st.schedule.Times.Next(st.now), missed
}

// done are the times after which nothing is missed.
func done(s *client.Schedule, good *client.LastBackup) []time.Time {
	list := []time.Time{s.Chosen}
	if good != nil {
		list = append(list, good.Time)
	}
	return list
}

// runner names what runs the schedule; "" when nothing does.
func (st standing) runner() string {
	switch {
	case st.watching != nil:
		return fmt.Sprintf("%s (process %d)", cli.Name(st.watching.What), st.watching.PID)
	case st.enabled:
		return st.timerName()
	}
	return ""
}

// worry is what stands against the schedule being kept; "" when nothing does.
func (st standing) worry() string {
	switch {
	case st.damaged:
		return "the schedule cannot be read, so no backup is made by it; choose the times again: keepsake backup --schedule 03:30"
	case st.schedule == nil:
		return ""
	case st.timer == timer.Other:
		return "the timer that is installed has other times, or runs another program: " + install
	case st.timer != timer.Absent && !st.enabled:
		return "the timer is written and not enabled: " + install
	case st.runner() == "":
		return "nothing runs the schedule yet. Let the system do it: " + install + "; or leave this running: keepsake backup --watch"
	}
	return ""
}

type scheduleJSON struct {
	Times     schedule.Times `json:"times"`
	Chosen    time.Time      `json:"chosen"`
	OnBattery bool           `json:"on_battery"`
	OnMetered bool           `json:"on_metered"`
	Limit     string         `json:"limit_upload,omitempty"`
	Next      time.Time      `json:"next_run"`
	Missed    *time.Time     `json:"missed_since"`
	Runner    string         `json:"runner"` // "" when nothing runs it
	Timer     string         `json:"timer"`  // the name of the system's timer that is installed
}

// json is nil without a schedule.
func (st standing) json() *scheduleJSON {
	if st.schedule == nil {
		return nil
	}
	next, missed := st.next()
	s := st.schedule
	j := &scheduleJSON{Times: s.Times, Chosen: s.Chosen, OnBattery: s.OnBattery, OnMetered: s.OnMetered, Limit: s.LimitUpload, Next: next, Runner: st.runner()}
	if !missed.IsZero() {
		j.Missed = &missed
	}
	if st.enabled {
		j.Timer = st.timerName()
	}
	return j
}

func writeSchedule(w io.Writer, st standing) {
	next, _ := st.next()
	fmt.Fprintf(w, "Backups are due each day at %s. The next is due on %s.\n", st.schedule.Times, shown(next))
	if waits := st.terms(); waits != "" {
		fmt.Fprintf(w, "A run waits for %s, for %s at most.\n", waits, cli.Duration(watch.Patience))
	}
}

// terms names what a run waits for; "" when for nothing.
func (st standing) terms() string {
	switch battery, metered := st.schedule.OnBattery, st.schedule.OnMetered || !st.network; {
	case !battery && !metered:
		return mainsPower + " and " + unmetered
	case !battery:
		return mainsPower
	case !metered:
		return unmetered
	}
	return ""
}

// shown is the time on the wall, in the zone that t has.
func shown(t time.Time) string { return t.Format("2006-01-02 15:04") }

// scheduleRows are what status says about the schedule.
func (st standing) rows(row func(cells ...string)) {
	if st.failed != nil {
		text := fmt.Sprintf("%s (%s): %s", shown(st.failed.Time.In(st.now.Location())), cli.Age(st.now, st.failed.Time), cli.Name(st.failed.Reason))
		if st.good != nil && st.good.Time.After(st.failed.Time) {
			text += "; a backup was made since"
		}
		row("last failure", text)
	}
	if st.schedule == nil {
		row("schedule", "none: backups are made by hand (each day: keepsake backup --schedule 03:30)")
		return
	}
	text := "each day at " + st.schedule.Times.String()
	if terms := st.terms(); terms != "" {
		text += ", with " + terms
	}
	if limit := st.schedule.LimitUpload; limit != "" && st.network {
		text += ", uploading " + cli.Name(limit) + " at most"
	}
	row("schedule", text)
	next, missed := st.next()
	text = shown(next)
	if !missed.IsZero() {
		text = "overdue since " + shown(missed) + ", then " + text
	}
	row("next run", text)
	runner := st.runner()
	if runner == "" {
		runner = "nothing"
	}
	row("run by", runner)
}

// noteFailure keeps why a run failed, unless it was a person who stopped it or it never began.
func (a *app) noteFailure(c *client.Client, err error, told time.Time) {
	f := explain(err)
	if f.exit == cli.Interrupted || f.exit == cli.Usage || f.exit == cli.Partial || errors.Is(err, client.ErrBusy) {
		return
	}
	noted := c.NoteFailure(client.LastFailure{Time: a.wall(), Code: f.exit.Name, Reason: f.message, Told: told})
	if noted != nil && !errors.Is(noted, client.ErrNotEnabled) {
		a.msg.Warning("%s", plain(noted))
	}
}
