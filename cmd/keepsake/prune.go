package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

type pruneFlags struct {
	keep      backup.Policy
	remove    []string
	maxUnused part
	forget    bool
	dryRun    bool
	yes       bool
}

func (a *app) pruneCommand() *cobra.Command {
	f := pruneFlags{maxUnused: backup.DefaultMaxUnused}
	cmd := &cobra.Command{
		Use:   "prune --keep-... | --remove ID",
		Short: "remove old snapshots",
		Long: `Removes the snapshots that no --keep flag keeps, and the data that only they need.
A snapshot stays when any of the flags keeps it, and the newest of each folder and
device always does. --remove names one that goes all the same, such as the last of
a phone that was lost; without a --keep flag all others stay. What goes is listed
first and asked about; --yes goes ahead, --dry-run only lists. Packs that are used
in part stay until more than --max-unused of them is unused.`,
		Example: `  keepsake prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12
  keepsake prune --keep-last 3 --keep-within 30d --dry-run
  keepsake prune --remove 5f0c91aa`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.prune(cmd.Context(), f) },
	}
	a.transferFlags(cmd, true)
	flag(cmd, "keep-last", &f.keep.Last)
	flag(cmd, "keep-daily", &f.keep.Daily)
	flag(cmd, "keep-weekly", &f.keep.Weekly)
	flag(cmd, "keep-monthly", &f.keep.Monthly)
	flag(cmd, "keep-within", &f.keep.Within)
	flag(cmd, "remove", &f.remove)
	flag(cmd, "max-unused", &f.maxUnused)
	flag(cmd, "forget-damaged", &f.forget)
	flag(cmd, "older-state", &a.olderState)
	flag(cmd, "dry-run", &f.dryRun)
	flag(cmd, "yes", &f.yes)
	return cmd
}

type pruneJSON struct {
	DryRun         bool              `json:"dry_run"`
	Kept           []backup.Snapshot `json:"kept"`
	Removed        []backup.Snapshot `json:"removed"`
	ObjectsRemoved int               `json:"objects_removed"`
	BytesFreed     int64             `json:"bytes_freed"`
	Repacked       int               `json:"packs_rewritten"`
	BytesRepacked  int64             `json:"bytes_rewritten"`
	OrphansRemoved int               `json:"orphans_removed"`
}

func (a *app) prune(ctx context.Context, f pruneFlags) error {
	if f.keep.Empty() && len(f.remove) == 0 {
		return usage("nothing says which snapshots to keep", "a good start: keepsake prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run")
	}
	if !f.dryRun && !f.yes && !a.asks() {
		return usage("prune removes snapshots for good, and there is nobody to ask", "look with --dry-run, then go ahead with --yes")
	}
	o := client.PruneOptions{Keep: f.keep, Remove: f.remove, MaxUnused: float64(f.maxUnused), ForgetDamaged: f.forget, DryRun: f.dryRun}
	c := a.client()
	mine := deviceOf(c)
	if !f.yes {
		o.Confirm = func(r *backup.PruneResult) error { return a.confirmPrune(ctx, r, mine) }
	}
	r, err := c.Prune(ctx, o)
	if err != nil {
		return err
	}
	result := pruneJSON{
		f.dryRun, some(r.Kept), some(r.Removed), r.ObjectsRemoved, r.BytesFreed, r.Repacked, r.BytesRepacked, r.OrphansRemoved,
	}
	return a.emit(result, func(w io.Writer) { a.writePrune(w, r, f.dryRun, mine) })
}

// some makes an absent list an empty one: JSON tells them apart.
func some(list []backup.Snapshot) []backup.Snapshot {
	if list == nil {
		return []backup.Snapshot{}
	}
	return list
}

func (a *app) confirmPrune(ctx context.Context, r *backup.PruneResult, mine string) error {
	if len(r.Removed) == 0 {
		return nil // only what no snapshot needs goes
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	t.Print("These snapshots go for good:\n")
	var b strings.Builder
	a.listPruned(&b, r, mine)
	t.Print("%s", b.String())
	ok, err := t.Confirm(ctx, fmt.Sprintf("Remove %s and keep %s?", cli.Plural(len(r.Removed), "snapshot", "snapshots"), cli.Count(len(r.Kept))))
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

// listPruned lists what goes, and of which folder it is where there are several.
func (a *app) listPruned(w io.Writer, r *backup.PruneResult, mine string) {
	several := severalOrigins(slices.Concat(r.Kept, r.Removed))
	t := cli.NewTable("", "", "", "", "")
	for _, s := range r.Removed {
		of := ""
		if several {
			of = origin(s, mine)
		}
		t.Row("", s.ID[:min(8, len(s.ID))], cli.Time(s.Time), cli.Age(a.now(), s.Time), of)
	}
	t.Write(w)
}

func (a *app) writePrune(w io.Writer, r *backup.PruneResult, dryRun bool, mine string) {
	verb := "Removed"
	if dryRun {
		verb = "Would remove"
	}
	fmt.Fprintf(w, "%s %s, kept %s.\n", verb, cli.Plural(len(r.Removed), "snapshot", "snapshots"), cli.Count(len(r.Kept)))
	a.listPruned(w, r, mine)
	fmt.Fprintf(w, "%s %s in the cloud (%s, %s rewritten).\n", freed(dryRun), cli.Size(r.BytesFreed),
		cli.Plural(r.ObjectsRemoved, "object", "objects"), cli.Plural(r.Repacked, "pack", "packs"))
}

func freed(dryRun bool) string {
	if dryRun {
		return "Would free"
	}
	return "Freed"
}
