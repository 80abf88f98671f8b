package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/internal/cli"
)

func (a *app) snapshotsCommand() *cobra.Command {
	var p placeFlags
	cmd := &cobra.Command{
		Use:   "snapshots",
		Short: "list what can be restored",
		Long: `Lists the snapshots, oldest first: when each was taken, how much it holds, what
was new in it, and how much was uploaded for it.`,
		Example: `  keepsake snapshots
  keepsake snapshots --cloud /media/disk/chats-backup --key-file chats.key`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.snapshots(cmd.Context(), p) },
	}
	p.add(cmd)
	return cmd
}

func (a *app) snapshots(ctx context.Context, p placeFlags) error {
	c := a.client()
	at, err := a.place(ctx, c, p)
	if err != nil {
		return err
	}
	defer wipe(at)
	list, err := c.Snapshots(ctx, at)
	if err != nil {
		return err
	}
	if list == nil {
		list = []backup.Snapshot{}
	}
	return a.emit(map[string]any{"snapshots": list}, func(w io.Writer) { a.writeSnapshots(w, list) })
}

func (a *app) writeSnapshots(w io.Writer, list []backup.Snapshot) {
	if len(list) == 0 {
		fmt.Fprintln(w, "There is no snapshot yet. Take one with: keepsake backup")
		return
	}
	t := cli.NewTable("id", "time", "", ">files", ">size", ">new", ">changed", ">removed", ">uploaded")
	for _, s := range list {
		t.Row(s.ID[:min(8, len(s.ID))], cli.Time(s.Time), cli.Age(a.now(), s.Time), cli.Count(s.Files), cli.Size(s.Bytes),
			cli.Count(s.New), cli.Count(s.Changed), cli.Count(s.Removed), cli.Size(s.Uploaded))
	}
	t.Write(w)
}
