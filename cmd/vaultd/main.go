// Command vaultd is one replica of a Backup Key Vault: it keeps, for each
// account, what turns a password into a backup key, and answers at most ten
// wrong passwords before it destroys it for good.
//
// Results go to standard output, one JSON object with --json; all else goes to
// standard error.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
)

func main() {
	// Go prints the arguments of functions with a stack trace, and an argument
	// can be a piece of a key.
	debug.SetTraceback("none")
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		fmt.Fprintln(os.Stderr, "vaultd: stopped at once; what was acknowledged is on the disk")
		os.Exit(exitInterrupted.Code)
	}()
	a := &app{Output: command.Output{Out: os.Stdout, Err: os.Stderr}, hardened: vaultd.Harden()}
	if info, err := os.Stdin.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		a.in = os.Stdin
	}
	os.Exit(a.run(ctx, os.Args[1:]))
}
