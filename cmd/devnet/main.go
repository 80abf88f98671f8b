// Command devnet runs a vault and its front end on this machine, to play with by
// hand: the real vaultd and chatd, over real TLS on loopback, in one process and on
// the software anchor. It protects nothing and says so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"keepsake.example/roster"
)

const help = `devnet runs a vault (vaultd) and its front end (chatd) on this machine, in one
process, to play with by hand. It protects nothing: the anchors are software, the
codes for logging in are printed here, the certificates are its own.

Usage:
  devnet [--replicas N] [--dir DIR] [--listen ADDRESS] [--waits PERIOD] [--keep]

It prints the commands to try, and ends with Ctrl-C. Every run is a new vault. With
several replicas there are two chatds, and "stop 3", "start 3" and "status" can be
typed: a fleet of five answers as long as any three run. (A stop is an orderly one;
demo/password kills.)

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run returns the exit code: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	o, err := parse(args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return fail(errs, 2, err, "see: devnet -h")
	}
	n, err := start(ctx, o, out)
	if err != nil {
		return fail(errs, 1, err, "is the address taken? --listen 127.0.0.1:0 takes a free one")
	}
	n.tell(ctx, out)
	if err := errors.Join(n.play(ctx, in, out), n.close()); err != nil {
		return fail(errs, 1, err, "")
	}
	return 0
}

func fail(w io.Writer, code int, err error, hint string) int {
	fmt.Fprintf(w, "devnet: error: %v\n", err)
	if hint != "" {
		fmt.Fprintf(w, "devnet: hint: %s\n", hint)
	}
	return code
}

// options are the flags.
type options struct {
	dir, listen string
	waits       time.Duration
	keep        bool
	replicas    int
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("devnet", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.dir, "dir", "", "new or empty `FOLDER` for everything; default: one in the temporary folder")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8443", "loopback `ADDRESS` of chatd; port 0 takes a free one")
	f.DurationVar(&o.waits, "waits", 2*time.Second, "`PERIOD` to wait after the fourth wrong password and each later one, in place of 30 s to 24 h")
	f.IntVar(&o.replicas, "replicas", 1, "`NUMBER` of replicas of the vault: 1, 3, 5 or 7")
	f.BoolVar(&o.keep, "keep", false, "leave the folder behind")
	err := f.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(errs, help)
		f.SetOutput(errs)
		f.PrintDefaults()
	}
	if err == nil && f.NArg() > 0 {
		err = fmt.Errorf("devnet takes no arguments, and got %q", f.Arg(0))
	}
	if err == nil && (o.waits < 0 || o.waits > 24*time.Hour) {
		err = errors.New("--waits is from 0s to 24h")
	}
	if err == nil && (o.replicas < 1 || o.replicas > roster.MaxVoters || o.replicas%2 == 0) {
		err = errors.New("--replicas is 1, 3, 5 or 7: one more than an odd number survives no more losses")
	}
	return o, err
}
