// Command keepsake-cloud speaks to clouds for keepsake, which starts it: the
// SDKs of a dozen clouds are not in the process that holds the key. A person
// runs it for what needs no key: signing in and out, and trying a cloud.
//
// Results go to standard output, one JSON object with --json; all else goes to
// standard error; secrets are asked for at the terminal or read from files, and
// never stand in arguments, messages or logs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/account"
	"keepsake.example/internal/cli"
	"keepsake.example/internal/command"
)

// errInterrupted is why a context ended: a signal came.
var errInterrupted = errors.New("interrupted")

// app is one run of the command.
type app struct {
	command.Output
	in       io.Reader
	accounts *account.Accounts
	login    string // what the command is about, for hints: "gdrive@work"
}

// options are the flags of all commands.
type options struct {
	args []string

	user, region, vendor           string
	keyFile, hostKey, knownHosts   string
	clientID, clientSecret, secret string // the last two are files
	store                          string
	headless, appData, environment bool
	sharedClient, allFiles         bool
	agent, yes                     bool
}

func main() {
	cli.Harden()
	cli.LaunchNoBus()
	debug.SetTraceback("none")
	// Four packs under way are 140 MiB, each once from the pipe and once for the cloud's library. Garbage of the size of packs
	// must not double that.
	debug.SetGCPercent(40)
	debug.SetMemoryLimit(200 << 20)
	a := &app{Output: command.Output{Out: os.Stdout, Err: os.Stderr}, in: os.Stdin}
	// What rclone and its SDKs print must not get between the bytes of serve.
	os.Stdout = os.Stderr
	os.Exit(run(interruptible(), a, os.Args[1:]))
}

func run(ctx context.Context, a *app, args []string) int {
	dir, err := accountsDir()
	if path, ok := os.LookupEnv("RCLONE_CONFIG"); ok && err == nil {
		err = rclone.ConfigFile(path)
	}
	if err != nil {
		fmt.Fprintln(a.Err, "keepsake-cloud: error:", err)
		return cli.Failed.Code
	}
	a.accounts = account.Open(dir, account.SystemKeyring())
	a.accounts.Warn = a.Warn
	p := program()
	p.Explain = a.explain
	return p.Run(ctx, &a.Output, a, args)
}

// accountsDir is where sign-ins are kept.
func accountsDir() (string, error) {
	if dir := os.Getenv("KEEPSAKE_CLOUDS"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "keepsake", "clouds"), err
}

// interruptible gives a context that the first signal ends; the second ends the
// process.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		cli.RestoreTerminal()
		os.Exit(cli.Interrupted.Code)
	}()
	return ctx
}
