package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"keepsake.example/client"
	"keepsake.example/client/watch"
	"keepsake.example/internal/cli"
	"keepsake.example/internal/desktop"
)

// tell logs what happened, and tells the desktop of what a person should do something about.
func (w *watcher) tell(e watch.Event) {
	j := runJSON{Event: eventNames[e.Kind], For: e.For, Tries: e.Tries}
	if !e.Slot.IsZero() {
		j.Slot = &e.Slot
	}
	if !e.At.IsZero() {
		j.At = &e.At
	}
	if e.Err != nil {
		f := explain(e.Err)
		failed := jsonError(f)
		j.Error = &failed
	}
	if w.json && e.Kind != watch.Done { // report has told of a run that was good
		w.line(j, "")
	}
	w.note(e)
	switch e.Kind {
	case watch.Waits:
		w.tellIfOld(e.For)
	case watch.Failed:
		w.noteFailure(w.c, e.Err, time.Time{})
	case watch.GaveUp:
		w.tellFailure(e.Err)
	}
}

var eventNames = map[watch.Kind]string{
	watch.Next: "next", watch.Waits: "waits", watch.Failed: "failed", watch.GaveUp: "gave-up", watch.Done: "done", watch.Superseded: "superseded",
}

// note tells a person who reads the log.
func (w *watcher) note(e watch.Event) {
	w.progress.Clear()
	at := shown(w.wall())
	switch e.Kind {
	case watch.Next:
		text := map[bool]string{true: "nothing is due; "}[w.flags.unattended]
		w.msg.Note("%s %snext run %s", at, text, shown(e.At))
	case watch.Waits:
		w.msg.Note("%s the backup of %s waits for %s, %s at most", at, shown(e.Slot), strings.Join(e.For, " and "), cli.Duration(e.Left.Round(time.Minute)))
	case watch.Superseded:
		w.msg.Note("%s another command has made the backup of %s", at, shown(e.Slot))
	case watch.Failed:
		w.msg.Warning("%s try %d failed: %s; next try %s", at, e.Tries, explain(e.Err).message, shown(e.At))
	case watch.GaveUp:
		if w.flags.unattended {
			return // the command ends with it
		}
		w.logFailure(e)
	}
}

func (w *watcher) logFailure(e watch.Event) {
	at := shown(w.wall())
	if hindered, ok := errors.AsType[*watch.HinderedError](e.Err); ok {
		w.msg.Error("%s %s", at, hinderedText(hindered))
		return
	}
	f := explain(e.Err)
	w.msg.Error("%s gave up after %s: %s", at, cli.Plural(e.Tries, "try", "tries"), f.message)
	if f.hint != "" {
		w.msg.Hint("%s", f.hint)
	}
}

func (w *watcher) printLine(v any) {
	json.NewEncoder(w.out).Encode(v) // a reader that has gone away is no reason to make no backups
}

// tellFailure keeps why a slot was given up and tells the desktop, which says no more than the kind of
// failure: it may be shown on a locked screen.
func (w *watcher) tellFailure(err error) {
	good, failed, _ := w.c.LastRuns()
	f, kind := explain(err), ""
	text := "The reason: " + f.exit.Meaning + "."
	if f.exit == cli.Failed {
		text = "It failed." // "another failure" would tell nothing
	}
	if errors.Is(err, client.ErrBusy) {
		kind = waiting
	}
	if hindered, ok := errors.AsType[*watch.HinderedError](err); ok {
		f.message, kind = hinderedText(hindered), waiting
		text = "It waited for " + strings.Join(hindered.For, " and ") + " in vain."
	}
	var at time.Time
	if failed == nil || failed.Code != f.exit.Name || !w.lately(failed.Told) {
		at = w.message(kind, text, good == nil || w.wall().Sub(good.Time) > oldBackup)
	}
	w.noteFailure(w.c, &failure{f.exit, f.message, f.hint}, at)
}

// waiting is the kind of message that is about runs that do not begin.
const waiting = "waiting"

// tellIfOld tells the desktop that there was no backup for days, while one waits.
func (w *watcher) tellIfOld(waits []string) {
	good, failed, _ := w.c.LastRuns()
	since := w.plan.Chosen
	if good != nil {
		since = good.Time
	}
	if w.wall().Sub(since) > oldBackup && (failed == nil || !w.lately(failed.Told)) {
		w.message(waiting, "It waits for "+kinds(waits)+".", true)
	}
}

// lately says whether a message is so young that it need not be repeated. One in the future was told
// under another clock.
func (w *watcher) lately(told time.Time) bool {
	ago := w.wall().Sub(told)
	return ago >= 0 && ago < toldEvery
}

// kinds names what is waited for without the names that other programs gave themselves.
func kinds(waits []string) string {
	var list []string
	for _, text := range waits {
		if text != mainsPower && text != unmetered {
			text = "another command to end"
		}
		list = append(list, text)
	}
	return strings.Join(list, " and ")
}

func (w *watcher) age() string {
	good, _, _ := w.c.LastRuns()
	if good == nil {
		return "No backup was made from this device yet."
	}
	return fmt.Sprintf("The last backup was made %s.", cli.Age(w.wall(), good.Time))
}

// message shows one on the desktop and says when the person was told, zero if nobody was: without a desktop
// the log and status say it all the same. What was told lately of a kind is not told again.
func (w *watcher) message(kind, text string, urgent bool) time.Time {
	if kind != "" && kind == w.told.kind && w.lately(w.told.at) {
		return w.told.at
	}
	err := w.desktop.Tell(context.Background(), desktop.Message{
		Title: "Keepsake: no backup was made", Text: text + " " + w.age() + " More: keepsake status", Urgent: urgent,
	})
	if err != nil {
		return time.Time{}
	}
	w.told = told{kind, w.wall().UTC()}
	return w.told.at
}

// told is what the desktop was told last by this process.
type told struct {
	kind string
	at   time.Time
}
