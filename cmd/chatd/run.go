package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// app is one run of the command.
type app struct{ out, err io.Writer }

// command is one of chatd's commands.
type command struct {
	name, args, short string
	long, example     string
	most              int // arguments
	flags             func(*flag.FlagSet, *options)
	run               func(*app, context.Context, *options) error
}

// options are the flags of all commands; each command defines those it has.
type options struct {
	config  string
	args    []string
	setting setting
}

func commands() []command {
	return []command{initCommand, serveCommand, checkConfigCommand, checkAuditCommand, versionCommand}
}

const rootHelp = `chatd is the server in front of a Backup Key Vault. Clients connect to it; it
checks whose they are and relays sealed blocks to vaultd that it cannot read. For
operators who have no issuer of access tokens it makes accounts as well: a person
proves an address with a one-time code.

To begin:
  chatd init DIR ...                        keys, and DIR/chatd.toml, explained
  chatd check-config --config DIR/chatd.toml
  chatd serve --config DIR/chatd.toml       run it`

// run runs one command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	err := a.dispatch(ctx, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitDone.code
	}
	f := explain(err)
	fmt.Fprintf(a.err, "chatd: error: %s\n", oneLine(f.message))
	if f.hint != "" {
		fmt.Fprintf(a.err, "chatd: hint: %s\n", oneLine(f.hint))
	}
	return f.exit.code
}

func (a *app) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" && len(args) == 1 {
		a.help()
		return nil
	}
	name, rest := args[0], args[1:]
	if name == "help" {
		name, rest = rest[0], []string{"-h"}
	}
	for _, c := range commands() {
		if c.name == name {
			return a.runCommand(ctx, c, rest)
		}
	}
	return usage(fmt.Sprintf("unknown command %q", name), "see: chatd help")
}

// runCommand parses the flags, before and after the arguments, and runs.
func (a *app) runCommand(ctx context.Context, c command, args []string) error {
	var o options
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if c.flags != nil {
		c.flags(set, &o)
	}
	for {
		if err := set.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				a.commandHelp(c, set)
				return err
			}
			return usage(err.Error(), "see: chatd help "+c.name)
		}
		if set.NArg() == 0 {
			break
		}
		o.args = append(o.args, set.Arg(0))
		args = set.Args()[1:]
	}
	if least := min(c.most, 1); len(o.args) < least || len(o.args) > c.most {
		return usage(fmt.Sprintf("%s takes other arguments than these %d", c.name, len(o.args)), "see: chatd help "+c.name)
	}
	return c.run(a, ctx, &o)
}

func configFlag(f *flag.FlagSet, o *options) {
	f.StringVar(&o.config, "config", "chatd.toml", "`FILE` with the configuration, made by chatd init")
}

func (a *app) help() {
	fmt.Fprintf(a.out, "%s\n\nUsage:\n  chatd COMMAND\n\nCommands:\n", rootHelp)
	for _, c := range commands() {
		fmt.Fprintf(a.out, "  %-13s %s\n", c.name, c.short)
	}
	fmt.Fprintln(a.out, "\nMore about a command: chatd help COMMAND")
	writeExits(a.out)
}

func (a *app) commandHelp(c command, set *flag.FlagSet) {
	fmt.Fprintf(a.out, "%s\n\nUsage:\n  chatd %s\n", c.long, strings.TrimSpace(c.name+" "+c.args))
	if c.example != "" {
		fmt.Fprintf(a.out, "\nExamples:\n%s\n", c.example)
	}
	first := true
	set.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(a.out, "\nFlags:")
			first = false
		}
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (" + f.DefValue + ")"
		}
		fmt.Fprintf(a.out, "  %s\n      %s\n", strings.TrimSpace("--"+f.Name+" "+value), text)
	})
	writeExits(a.out)
}
