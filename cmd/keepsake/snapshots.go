package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
)

func (a *app) snapshotsCommand() *cobra.Command {
	var p placeFlags
	cmd := &cobra.Command{
		Use:   "snapshots",
		Short: "list what can be restored",
		Long: `Lists the snapshots, oldest first: when each was taken, how much it holds, what
was new in it, and how much was uploaded for it. Where they are not all of one
folder and device it says which one each is of, in place of that.`,
		Example: `  keepsake snapshots
  keepsake snapshots --cloud /media/disk/chats-backup --key-file chats.key`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.snapshots(cmd.Context(), p) },
	}
	p.add(cmd)
	flag(cmd, "older-state", &a.olderState)
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
	return a.emit(map[string]any{"snapshots": list}, func(w io.Writer) { a.writeSnapshots(w, list, deviceOf(c)) })
}

// deviceOf is the name of this device in snapshots, "" without a profile.
func deviceOf(c *client.Client) string {
	cfg, err := c.Config()
	if err != nil {
		return ""
	}
	return cfg.Device
}

// origin says of which folder a snapshot is, and whose.
func origin(s backup.Snapshot, mine string) string {
	device := fmt.Sprintf("device %.8s", s.Device)
	if s.Device == mine {
		device = "this device"
	}
	return cli.Name(s.Source) + " (" + device + ")"
}

// severalOrigins says whether snapshots are of more than one folder or device.
func severalOrigins(list []backup.Snapshot) bool {
	return slices.ContainsFunc(list, func(s backup.Snapshot) bool {
		return s.Source != list[0].Source || s.Device != list[0].Device
	})
}

func (a *app) writeOrigins(w io.Writer, list []backup.Snapshot, mine string) {
	t := cli.NewTable("id", "time", "", ">files", ">size", "source")
	for _, s := range list {
		t.Row(s.ID[:min(8, len(s.ID))], cli.Time(s.Time), cli.Age(a.now(), s.Time), cli.Count(s.Files), cli.Size(s.Bytes), origin(s, mine))
	}
	t.Write(w)
}

func (a *app) writeSnapshots(w io.Writer, list []backup.Snapshot, mine string) {
	if len(list) == 0 {
		fmt.Fprintln(w, "There is no snapshot yet. Take one with: keepsake backup")
		return
	}
	if severalOrigins(list) {
		a.writeOrigins(w, list, mine)
		return
	}
	t := cli.NewTable("id", "time", "", ">files", ">size", ">new", ">changed", ">removed", ">uploaded")
	for _, s := range list {
		t.Row(s.ID[:min(8, len(s.ID))], cli.Time(s.Time), cli.Age(a.now(), s.Time), cli.Count(s.Files), cli.Size(s.Bytes),
			cli.Count(s.New), cli.Count(s.Changed), cli.Count(s.Removed), cli.Size(s.Uploaded))
	}
	t.Write(w)
}
