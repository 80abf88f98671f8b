package main

import (
	"context"
	"fmt"
	"io"

	"keepsake.example/internal/command"
)

var checkpointCommand = command.Command[app, options]{
	Name: "checkpoint", Short: "write the state, begin the log anew",
	Long: `Makes the running vaultd write its whole state, sealed under a new key, and begin
its log anew. It does that by itself when the log is long enough; this is for
before an upgrade, or to have what was destroyed unreadable on the disk now.`,
	Example: `  vaultd checkpoint --config /var/lib/vaultd/vaultd.toml`,
	Flags:   adminFlags,
	Run:     (*app).checkpoint,
}

func (a *app) checkpoint(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	if _, err := get(ctx, "POST", admin, "/checkpoint"); err != nil {
		return err
	}
	return a.Emit(map[string]bool{"done": true}, func(w io.Writer) { fmt.Fprintln(w, "checkpoint made") })
}
