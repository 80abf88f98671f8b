package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

// shownProblems is how many problems are listed for people; JSON has all.
const shownProblems = 20

// fewFiles may go between two snapshots without a word.
const fewFiles = 10

func (a *app) backupCommand() *cobra.Command {
	var o client.BackupOptions
	var f scheduleFlags
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "take a snapshot of the chat folder",
		Long: `Takes a snapshot of the chat folder. Only what is new is uploaded: of a database
the pages that changed, of media the files not seen before. A database that is
written to meanwhile is captured at one moment.

Interrupted at any point, earlier snapshots are intact, and the next run goes on
with what was uploaded. Files that cannot be read are listed, and the command
ends with code 9. Links are kept as links: what they lead to outside the folder
is not backed up, and the command says how many there are.

--schedule chooses times of the day for backups, instead of making one now. What runs
them is the system (keepsake schedule) or --watch, which stays and does it itself. A
scheduled run waits for mains power and, unless the destination is a folder, for an
unmetered network, where the system tells; it waits for another command to end, tries
again after failures that may pass, and gives up after 12 hours. A missed one is
caught up with. Failures are shown on the desktop, and in keepsake status.`,
		Example: `  keepsake backup
  keepsake backup --schedule 03:30
  keepsake backup --watch
  keepsake backup --dry-run
  keepsake backup --exclude "*.mp4"`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.given() {
				return a.scheduled(cmd.Context(), f, o.DryRun || o.Reread || o.AllowEmpty || a.olderState || len(o.Exclude) > 0)
			}
			return a.backup(cmd.Context(), o)
		},
	}
	flag(cmd, "dry-run", &o.DryRun)
	flag(cmd, "exclude", &o.Exclude)
	flag(cmd, "reread", &o.Reread)
	flag(cmd, "allow-empty", &o.AllowEmpty)
	flag(cmd, "older-state", &a.olderState)
	a.transferFlags(cmd, true)
	flag(cmd, "schedule", &f.times)
	flag(cmd, "watch", &f.watch)
	flag(cmd, "unattended", &f.unattended)
	flag(cmd, "on-battery", &f.onBattery)
	flag(cmd, "on-metered", &f.onMetered)
	return cmd
}

type backupJSON struct {
	DryRun     bool            `json:"dry_run"`
	NothingNew bool            `json:"nothing_new"`
	Snapshot   backup.Snapshot `json:"snapshot"`
	Unchanged  int             `json:"unchanged"`
	Read       int64           `json:"bytes_read"`
	New        int64           `json:"bytes_new"`
	Uploaded   int64           `json:"bytes_uploaded"`
	Objects    int             `json:"objects"`
	Seconds    float64         `json:"seconds"`
	Problems   []problemJSON   `json:"problems"`
}

type problemJSON struct {
	Path  string `json:"path"`
	What  string `json:"what"`
	Error string `json:"error,omitempty"`
}

func problemsJSON(problems []backup.Problem) []problemJSON {
	list := make([]problemJSON, 0, len(problems))
	for _, p := range problems {
		j := problemJSON{Path: p.Path, What: p.What}
		if p.Err != nil {
			j.Error = p.Err.Error()
		}
		list = append(list, j)
	}
	return list
}

func (a *app) backup(ctx context.Context, o client.BackupOptions) error {
	c := a.client()
	r, err := c.Backup(ctx, o)
	if err != nil {
		if !o.DryRun {
			a.noteFailure(c, err, time.Time{})
		}
		return err
	}
	if err := a.emit(resultJSON(r, o.DryRun), func(w io.Writer) { writeBackup(w, r, o.DryRun) }); err != nil {
		return err
	}
	if text := mostGone(r.Snapshot); text != "" && !o.AllowEmpty {
		a.msg.Warning("%s; if that is wrong, look at the folder. keepsake snapshots lists the older ones", text)
	}
	// What is neither file nor folder is said and left out at every run; that is no failure of the run.
	a.list(r.Problems)
	return unread(r.Snapshot.Unread, "backed up")
}

func resultJSON(r *backup.BackupResult, dryRun bool) backupJSON {
	return backupJSON{
		dryRun, r.NothingNew, r.Snapshot, r.Unchanged, r.BytesRead, r.BytesNew, r.BytesUploaded, r.Objects,
		r.Duration.Seconds(), problemsJSON(r.Problems),
	}
}

func writeBackup(w io.Writer, r *backup.BackupResult, dryRun bool) {
	s := r.Snapshot
	switch {
	case dryRun:
		fmt.Fprintln(w, "Dry run: nothing was uploaded.")
	case r.NothingNew:
		fmt.Fprintf(w, "Snapshot %.8s of %s: nothing new\n", s.ID, cli.Name(s.Source))
	default:
		fmt.Fprintf(w, "Snapshot %.8s of %s\n", s.ID, cli.Name(s.Source))
	}
	t := cli.NewTable("", "", ">", "")
	t.Row("", "files", cli.Count(s.Files), cli.Size(s.Bytes))
	t.Row("", "  new", cli.Count(s.New), "")
	t.Row("", "  changed", cli.Count(s.Changed), "")
	t.Row("", "  removed", cli.Count(s.Removed), "")
	t.Row("", "  unchanged", cli.Count(r.Unchanged), "")
	t.Row("", "read", cli.Size(r.BytesRead), "")
	t.Row("", "new data", cli.Size(r.BytesNew), "")
	t.Row("", "uploaded", cli.Size(r.BytesUploaded), objects(r.Objects))
	t.Row("", "time", cli.Duration(r.Duration), "")
	t.Write(w)
	if r.ReclaimedLock {
		fmt.Fprintln(w, "A lock that an interrupted run had left was removed.")
	}
}

// mostGone says so when most of the files that the snapshot before had are not in s; else "".
func mostGone(s backup.Snapshot) string {
	before := s.Files - s.New + s.Removed
	if s.Removed <= fewFiles || 2*s.Removed <= before {
		return ""
	}
	return fmt.Sprintf("%s of the %s files that the snapshot before it had are gone", cli.Count(s.Removed), cli.Count(before))
}

func objects(n int) string {
	if n == 0 {
		return ""
	}
	return "in " + cli.Plural(n, "object", "objects")
}

// problems lists what could not be written; nil when there is none.
func (a *app) problems(list []backup.Problem, missed string) error {
	a.list(list)
	return unread(len(list), missed)
}

func (a *app) list(list []backup.Problem) {
	for _, p := range list[:min(len(list), shownProblems)] {
		text := cli.Name(p.Path) + ": " + p.What
		if p.Err != nil {
			text += ": " + plain(p.Err)
		}
		a.msg.Warning("%s", text)
	}
	if more := len(list) - shownProblems; more > 0 {
		a.msg.Warning("and %s more; --json lists all", cli.Count(more))
	}
}

// unread is the failure of n files; nil when there is none.
func unread(n int, missed string) error {
	if n == 0 {
		return nil
	}
	return &failure{
		cli.Partial,
		fmt.Sprintf("%s could not be %s", cli.Plural(n, "file", "files"), missed),
		"all others were; the next run tries these again",
	}
}
