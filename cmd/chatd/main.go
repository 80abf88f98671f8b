// Command chatd is the server in front of the vault: it relays sealed blocks
// between clients and vaultd that it cannot read, and, for operators without an
// issuer of their own, makes accounts.
//
// Results go to standard output; all else goes to standard error, in serve as
// JSON lines.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"keepsake.example/internal/command"
)

func main() {
	// Go prints the arguments of functions with a stack trace, and an argument
	// can be a piece of a token.
	debug.SetTraceback("none")
	// The second signal ends the process: NotifyContext gives the signals back
	// after the first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	a := &app{command.Output{Out: os.Stdout, Err: os.Stderr}}
	os.Exit(a.run(ctx, os.Args[1:]))
}
