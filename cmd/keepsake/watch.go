package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/client/watch"
	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
	"keepsake.example/internal/cli"
	"keepsake.example/internal/desktop"
)

const (
	mainsPower = "mains power"
	unmetered  = "an unmetered network"
)

// toldEvery is how often the desktop is told the same thing at most.
const toldEvery = 20 * time.Hour

// outside is what a watch has of the world: the folder where Linux shows power supplies, the file of the zone,
// the clock, and how time passes. Tests have others.
var outside = struct {
	supplies string
	zone     string
	now      func() time.Time
	pause    func(context.Context, time.Duration) error
}{"/sys/class/power_supply", "/etc/localtime", time.Now, pauseFor}

// watcher runs the schedule of a profile and tells of it.
type watcher struct {
	*app
	c       *client.Client // for looks at the profile
	desktop desktop.Desktop
	flags   scheduleFlags
	plan    *client.Schedule // as last looked at
	network bool
	limit   string // of --limit-upload, over that of the schedule
	told    told
	cut     bool // a signal ended a run
	unread  int  // files that the last run could not read
}

// watch stays and runs the schedule until a signal comes or the schedule is turned off.
func (a *app) watch(ctx context.Context, f scheduleFlags) error {
	return a.hold(f, "keepsake backup --watch", func(w *watcher) error {
		err := watch.New(w.config()).Watch(ctx)
		switch {
		case errors.Is(err, client.ErrNoSchedule), errors.Is(err, client.ErrNotEnabled):
			w.msg.Note("%s the schedule was turned off, and with it this watch", shown(w.wall()))
			return nil
		case errors.Is(err, errInterrupted) && !w.cut:
			w.msg.Note("%s stopped", shown(w.wall()))
			return nil
		}
		return err
	})
}

// unattended serves the slot that is due, if one is, as a timer of the system runs it.
func (a *app) unattended(ctx context.Context, f scheduleFlags) error {
	missed := 0
	err := a.hold(f, "keepsake backup --unattended", func(w *watcher) error {
		defer func() { missed = w.unread }()
		return watch.New(w.config()).Once(ctx)
	})
	if err == nil {
		return unread(missed, "backed up")
	}
	if hindered, ok := errors.AsType[*watch.HinderedError](err); ok {
		return &failure{cli.Failed, hinderedText(hindered), "the next slot tries again; by hand: keepsake backup"}
	}
	return err
}

func hinderedText(e *watch.HinderedError) string {
	return fmt.Sprintf("waited %s for %s; no backup was made", cli.Duration(e.Waited), strings.Join(e.For, " and "))
}

// hold runs f while no other watch of the profile does.
func (a *app) hold(f scheduleFlags, what string, run func(*watcher) error) error {
	c := a.client()
	if _, err := chosen(c); err != nil {
		return err
	}
	release, err := c.HoldWatch(what)
	if err != nil {
		return err
	}
	defer release()
	return run(&watcher{app: a, c: c, desktop: a.surroundings(), flags: f, limit: a.limitUpload})
}

func (w *watcher) config() watch.Config {
	return watch.Config{Plan: w.look, Run: w.run, Hindered: w.hindered, Judge: judge, Tell: w.tell, Now: w.wall, Pause: outside.pause}
}

func pauseFor(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

func (w *watcher) look() (watch.Plan, error) {
	s, err := w.c.Schedule()
	if err != nil {
		return watch.Plan{}, err
	}
	cfg, err := w.c.Config()
	if err != nil {
		return watch.Plan{}, err
	}
	good, _, err := w.c.LastRuns()
	if err != nil {
		return watch.Plan{}, err
	}
	w.plan, w.network = s, reachedByNetwork(cfg.Cloud)
	return watch.Plan{Times: s.Times, Done: done(s, good)}, nil
}

// run makes one backup. A fault of the program ends this run, not the watch.
func (w *watcher) run(ctx context.Context) error {
	defer w.progress.Clear()
	return backup.Guard(func() error {
		w.limitUpload = cmp.Or(w.limit, w.plan.LimitUpload)
		r, err := w.client().Backup(ctx, client.BackupOptions{})
		w.progress.Clear()
		if err != nil {
			w.cut = ctx.Err() != nil
			return err
		}
		w.report(r)
		return nil
	})
}

type runJSON struct {
	Event  string      `json:"event"`
	Time   time.Time   `json:"time"`
	Slot   *time.Time  `json:"slot,omitempty"`
	At     *time.Time  `json:"at,omitempty"`
	For    []string    `json:"waits_for,omitempty"`
	Tries  int         `json:"tries,omitempty"`
	Error  *errorJSON  `json:"error,omitempty"`
	Result *backupJSON `json:"result,omitempty"`
}

// line prints a line about a run on standard output: for machines one JSON object, for people with the time.
func (w *watcher) line(j runJSON, format string, args ...any) {
	if w.json {
		w.emitted = true
		j.Time = w.wall()
		w.printLine(j)
		return
	}
	fmt.Fprintln(w.out, shown(w.wall())+"  "+fmt.Sprintf(format, args...))
}

func (w *watcher) report(r *backup.BackupResult) {
	j := resultJSON(r, false)
	s := r.Snapshot
	w.unread = s.Unread
	w.line(runJSON{Event: "snapshot", Result: &j}, "snapshot %.8s: %s, %s new, %s changed; %s uploaded in %s",
		s.ID, cli.Plural(s.Files, "file", "files"), cli.Count(s.New), cli.Count(s.Changed), cli.Size(r.BytesUploaded), cli.Duration(r.Duration))
	w.list(r.Problems)
}

func (w *watcher) hindered(ctx context.Context) (list []string) {
	if !w.flags.onBattery && !w.plan.OnBattery && w.desktop.OnBattery() == desktop.Yes {
		list = append(list, mainsPower)
	}
	if w.network && !w.flags.onMetered && !w.plan.OnMetered && w.desktop.Metered(ctx) == desktop.Yes {
		list = append(list, unmetered)
	}
	return list
}

// lasting are failures that do not pass without somebody's doing. A keyring that does not open
// is none: nobody may have logged in yet.
var lasting = []error{
	client.ErrNotEnabled, client.ErrProfileDamaged, client.ErrKeyMissing, client.ErrOverlap,
	backup.ErrRolledBack, backup.ErrWrongKey, backup.ErrOtherRepository, backup.ErrNoRepository, backup.ErrUnsupported, backup.ErrRingUnclear, backup.ErrDamaged,
	cloud.ErrDenied, process.ErrProgram, process.ErrProtocol,
}

func judge(err error) watch.Verdict {
	if busy, ok := errors.AsType[*client.BusyError](err); ok {
		if busy.What == "" {
			return watch.Verdict{For: "another command to end"}
		}
		return watch.Verdict{For: fmt.Sprintf("keepsake %s (process %d) to end", cli.Name(busy.What), busy.PID)}
	}
	v := watch.Verdict{Passes: !isFault(err)}
	for _, e := range lasting {
		v.Passes = v.Passes && !errors.Is(err, e)
	}
	if delay, ok := errors.AsType[*cloud.DelayError](err); ok {
		v.After = delay.After
	}
	return v
}

func isFault(err error) bool {
	_, fault := errors.AsType[*backup.InternalError](err)
	return fault
}

// surroundings is where this system tells of power and network, and takes messages.
func (a *app) surroundings() desktop.Desktop {
	var d desktop.Desktop
	if runtime.GOOS != "linux" {
		return d
	}
	if info, err := os.Stat(outside.supplies); err == nil && info.IsDir() {
		d.Supplies = os.DirFS(outside.supplies)
	}
	d.SystemBus = a.env("DBUS_SYSTEM_BUS_ADDRESS")
	if d.SystemBus == "" {
		d.SystemBus = "unix:path=/run/dbus/system_bus_socket"
	}
	d.SessionBus = a.env("DBUS_SESSION_BUS_ADDRESS")
	if run := a.env("XDG_RUNTIME_DIR"); d.SessionBus == "" && filepath.IsAbs(run) && pathExists(filepath.Join(run, "bus")) {
		d.SessionBus = "unix:path=" + filepath.Join(run, "bus")
	}
	return d
}

// wall is the time on the wall, in the zone that the device is in now: the process may be
// older than the journey.
func (a *app) wall() time.Time {
	now := outside.now()
	if a.env("TZ") != "" || runtime.GOOS == "windows" {
		return now
	}
	data, err := os.ReadFile(outside.zone)
	if errors.Is(err, fs.ErrNotExist) {
		return now.UTC()
	}
	zone, err2 := time.LoadLocationFromTZData("Local", data)
	if err != nil || err2 != nil {
		return now
	}
	return now.In(zone)
}
