//go:build !windows

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/cloud/process"
)

// standInMain stands in for keepsake-cloud: its clouds are folders below $WORK/far,
// and some names are of trouble.
func standInMain() {
	if os.Args[1] != "serve" {
		fmt.Printf("%q\n", os.Args[1:])
		os.Exit(16)
	}
	if os.Getenv("STAND_IN") == "other" {
		fmt.Println("this is another program")
		fmt.Fprintln(os.Stderr, "usage: other")
		os.Exit(1)
	}
	if err := process.Serve(context.Background(), os.Stdin, os.Stdout, openFar); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var farTrouble = map[string]error{
	"denied":    fmt.Errorf("%w: access was revoked", cloud.ErrDenied),
	"full":      fmt.Errorf("%w: quota", cloud.ErrFull),
	"throttled": &cloud.DelayError{After: time.Hour, Err: cloud.ErrThrottled},
	"absent":    fmt.Errorf("no folder there: %w", cloud.ErrNotExist),
}

func openFar(_ context.Context, r process.Request) (cloud.Store, error) {
	first, _, _ := strings.Cut(r.Destination.Path, "/")
	if err, ok := farTrouble[first]; ok {
		return nil, err
	}
	path := filepath.Join(os.Getenv("WORK"), "far", filepath.FromSlash(r.Destination.Path))
	if r.LimitUpload != "" {
		if err := os.WriteFile(path+".limit", []byte(r.LimitUpload+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	if r.Create {
		return dir.Create(path)
	}
	return dir.Open(path)
}
