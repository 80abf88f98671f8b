package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/internal/cli"
)

// shownPaths is how many paths are listed for one snapshot.
const shownPaths = 10

func (a *app) verifyCommand() *cobra.Command {
	var p placeFlags
	var read part
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "check that the backup is whole",
		Long: `Checks the backup. Without a flag the structure: that every object every snapshot
needs is there, has its size, and opens. With --read-data also every byte of the
data, or of a part of it, another one each day: --read-data=5% every day reads all
in three weeks. The part of a day that is left out comes again in a later round.

Damage is named, with the files that cannot be restored because of it, and the
command ends with code 5.`,
		Example: `  keepsake verify
  keepsake verify --read-data
  keepsake verify --read-data=5%`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verify(cmd.Context(), p, float64(read)) },
	}
	p.add(cmd)
	flag(cmd, "read-data", &read)
	flag(cmd, "older-state", &a.olderState)
	a.transferFlags(cmd, false)
	return cmd
}

type verifyJSON struct {
	OK          bool                  `json:"ok"`
	Snapshots   int                   `json:"snapshots"`
	Objects     int                   `json:"objects"`
	Packs       int                   `json:"packs"`
	PacksRead   int                   `json:"packs_read"`
	BytesRead   int64                 `json:"bytes_read"`
	Orphans     int                   `json:"orphans"`
	OrphanBytes int64                 `json:"orphan_bytes"`
	Damage      []*backup.DamageError `json:"damage"`
	Affected    map[string][]string   `json:"affected"`
	NoSpare     bool                  `json:"no_spare"`
}

func (a *app) verify(ctx context.Context, p placeFlags, read float64) error {
	c := a.client()
	at, err := a.place(ctx, c, p)
	if err != nil {
		return err
	}
	defer wipe(at)
	r, err := c.Verify(ctx, at, read)
	if err != nil {
		return err
	}
	result := verifyJSON{
		len(r.Damage) == 0, r.Snapshots, r.Objects, r.Packs, r.PacksRead, r.BytesRead, r.Orphans, r.OrphanBytes, r.Damage, r.Affected, r.NoSpare,
	}
	if result.Damage == nil {
		result.Damage = []*backup.DamageError{}
	}
	if result.Affected == nil {
		result.Affected = map[string][]string{}
	}
	if err := a.emit(result, func(w io.Writer) { a.writeVerify(w, r) }); err != nil || len(r.Damage) == 0 {
		return err
	}
	return &failure{
		cli.Damaged,
		cli.Plural(len(r.Damage), "damaged or missing object", "damaged or missing objects"),
		"keepsake backup stores again what is still on this device. What is not affected can be restored",
	}
}

func (a *app) writeVerify(w io.Writer, r *backup.VerifyResult) {
	whole := "No damage found."
	if a.olderState {
		whole = "No damage found in this state; a newer one, if there is one, is not looked at."
	}
	fmt.Fprintf(w, "Checked %s: %s, %s.\n", cli.Plural(r.Snapshots, "snapshot", "snapshots"),
		cli.Plural(r.Objects, "object", "objects"), cli.Plural(r.Packs, "pack", "packs"))
	if r.PacksRead > 0 {
		fmt.Fprintf(w, "Read every byte of %s, %s.\n", cli.Plural(r.PacksRead, "pack", "packs"), cli.Size(r.BytesRead))
	}
	if r.Orphans > 0 {
		fmt.Fprintf(w, "%s, %s: left-overs, which prune removes.\n",
			cli.Plural(r.Orphans, "object that nothing needs", "objects that nothing needs"), cli.Size(r.OrphanBytes))
	}
	if r.NoSpare {
		fmt.Fprintln(w, "There is one key ring, and everything is lost with it: keepsake key rotate makes two.")
	}
	if len(r.Damage) == 0 {
		fmt.Fprintln(w, whole)
		return
	}
	fmt.Fprintln(w, "Damage:")
	for _, d := range r.Damage {
		fmt.Fprintf(w, "  %s: %s (%s)\n", cli.Name(d.Object), d.What, d.Layer)
	}
	for _, id := range slices.Sorted(maps.Keys(r.Affected)) {
		writeAffected(w, id, r.Affected[id])
	}
}

func writeAffected(w io.Writer, id string, paths []string) {
	fmt.Fprintf(w, "Of snapshot %.8s these cannot be restored whole:\n", id)
	for _, path := range paths[:min(len(paths), shownPaths)] {
		fmt.Fprintf(w, "  %s\n", cli.Name(path))
	}
	if more := len(paths) - shownPaths; more > 0 {
		fmt.Fprintf(w, "  and at least %s more; --json lists them\n", cli.Count(more))
	}
}
