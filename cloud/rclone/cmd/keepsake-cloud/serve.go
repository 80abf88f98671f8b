package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
	"keepsake.example/cloud/rclone"
	"keepsake.example/internal/command"
)

// serve serves one store to the process that started this one.
func serve(a *app, ctx context.Context, _ *options) error {
	// keepsake may be gone before its last answer: that is an error of a write
	// then, and not the end of this process before its store is closed.
	signal.Ignore(syscall.SIGPIPE)
	idle, err := idleTime()
	if err != nil {
		return err
	}
	return process.Serve(ctx, a.in, a.Out, func(ctx context.Context, r process.Request) (cloud.Store, error) {
		c, err := a.accounts.Config(ctx, r.Destination)
		if err != nil {
			return nil, err
		}
		c.Create, c.Network.LimitUpload, c.Network.Idle = r.Create, r.LimitUpload, idle
		s, err := rclone.Open(ctx, c)
		if err != nil {
			return nil, err
		}
		return s, nil
	})
}

// idleTime is after how long without a byte a connection counts as dead, where the
// person says so: for a server that takes minutes over an answer.
func idleTime() (time.Duration, error) {
	text := os.Getenv("KEEPSAKE_CLOUD_IDLE")
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, command.Usage(fmt.Sprintf("KEEPSAKE_CLOUD_IDLE=%q is not a time such as 90s", text), "")
	}
	return d, nil
}
