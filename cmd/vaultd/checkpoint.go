package main

import (
	"context"
	"fmt"
	"io"
)

var checkpointCommand = command{
	name: "checkpoint", short: "write the state, begin the log anew",
	long: `Makes the running vaultd write its whole state, sealed under a new key, and begin
its log anew. It does that by itself when the log is long enough; this is for
before an upgrade, or to have what was destroyed unreadable on the disk now.`,
	example: `  vaultd checkpoint --config /var/lib/vaultd/vaultd.toml`,
	flags:   adminFlags,
	run:     (*app).checkpoint,
}

func (a *app) checkpoint(ctx context.Context, o *options) error {
	admin, err := adminAddress(o)
	if err != nil {
		return err
	}
	if _, err := get(ctx, "POST", admin, "/checkpoint"); err != nil {
		return err
	}
	return a.emit(map[string]bool{"done": true}, func(w io.Writer) { fmt.Fprintln(w, "checkpoint made") })
}
