package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/internal/command"
)

// The configuration of a chatd that runs can be checked: before a restart is when one wants to.
func TestCheckConfigBesideARunningChatd(t *testing.T) {
	file := edit(t, newDir(t), `listen = "127.0.0.1:8443"`, `listen = "127.0.0.1:0"`, `admin = "127.0.0.1:8444"`, `admin = "127.0.0.1:0"`, `drain_delay   = "5s"`, `drain_delay = "-1s"`)
	ctx, stop := context.WithCancel(context.Background())
	var out, errs buffer
	code := make(chan int)
	go func() {
		code <- (&app{command.Output{Out: &out, Err: &errs}}).run(ctx, []string{"serve", "--config", file})
	}()
	served(&errs)
	if out, _ := chatd_(t, 0, "check-config", "--config", file); out != "ok\n" {
		t.Error(out)
	}
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit %d: %s", c, errs.String())
	}
}

// What the first serve makes, a check does not make: no log, no store, and none of its pieces.
func TestCheckConfigMakesNothing(t *testing.T) {
	dir := newDir(t)
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	chatd_(t, 0, "check-config", "--config", filepath.Join(dir, "chatd.toml"))
	after, err := os.ReadDir(dir)
	if err != nil || len(after) != len(before) {
		t.Errorf("there was %v, and there is %v, %v", before, after, err)
	}
}

// A store that is none is found, kept, and not taken for a wrong setting.
func TestCheckConfigFindsADamagedStore(t *testing.T) {
	dir := newDir(t)
	if err := os.WriteFile(filepath.Join(dir, "issuer.db"), []byte(strings.Repeat("hello", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"check-config", "serve"} {
		if _, errs := chatd_(t, 1, name, "--config", filepath.Join(dir, "chatd.toml")); !strings.Contains(errs, "hint: keep it") {
			t.Error(errs)
		}
	}
}

func TestCheckConfigFindsADamagedAuditLog(t *testing.T) {
	dir := newDir(t)
	file := filepath.Join(dir, "chatd.toml")
	chatd_(t, 0, "check-config", "--config", file)
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errs := chatd_(t, 5, "check-config", "--config", file); !strings.Contains(errs, "audit.jsonl") || !strings.Contains(errs, "evidence") {
		t.Error(errs)
	}
}
