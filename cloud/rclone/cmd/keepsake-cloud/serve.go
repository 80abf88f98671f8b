package main

import (
	"context"
	"os/signal"
	"syscall"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
	"keepsake.example/cloud/rclone"
)

// serve serves one store to the process that started this one.
func serve(a *app, ctx context.Context, _ *options) error {
	// keepsake may be gone before its last answer: that is an error of a write
	// then, and not the end of this process before its store is closed.
	signal.Ignore(syscall.SIGPIPE)
	return process.Serve(ctx, a.in, a.Out, func(ctx context.Context, r process.Request) (cloud.Store, error) {
		c, err := a.accounts.Config(ctx, r.Destination)
		if err != nil {
			return nil, err
		}
		c.Create, c.Network.LimitUpload = r.Create, r.LimitUpload
		s, err := rclone.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}
