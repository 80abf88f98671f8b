// Command keepsake makes end-to-end encrypted backups of a chat history, and
// gets them back with the 64 digits.
//
// Results go to standard output, one JSON object with --json; all else goes to
// standard error; the key and questions about it go to the terminal. No line of
// either stream ever holds the key, unless --key-out - asks for it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"keepsake.example/internal/cli"
)

func main() {
	cli.Harden()
	cli.LaunchNoBus()
	// Go prints the arguments of functions with a stack trace, and an argument
	// can be a piece of a key.
	debug.SetTraceback("none")
	// The promise is 200 MiB in all, for any input. The limit leaves room for
	// what the collector does not count: the program itself and its stacks.
	debug.SetMemoryLimit(150 << 20)
	debug.SetGCPercent(50)
	std := stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	os.Exit(exitCode(run(interruptible(), os.Args[1:], std)))
}

// interruptible gives a context that the first signal ends, so that the work
// stops cleanly. The second signal ends the process.
func interruptible() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		cancel(errInterrupted)
		<-signals
		cli.RestoreTerminal()
		fmt.Fprintln(os.Stderr, "\nkeepsake: stopped at once; earlier snapshots are intact")
		os.Exit(cli.Interrupted.Code)
	}()
	return ctx
}
