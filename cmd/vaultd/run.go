package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// app is one run of the command.
type app struct {
	out, err io.Writer
	hardened error // why the memory is not kept from other processes
	json     bool
}

// command is one of vaultd's commands.
type command struct {
	name, args, short string
	long              string
	example           string
	flags             func(*flag.FlagSet, *options)
	run               func(*app, context.Context, *options) error
}

// options are the flags of all commands; each command defines those it has.
type options struct {
	config   string
	inspect  string
	fleet    string
	out      string
	admin    string
	args     []string
	founding founding
	accept   bool
}

func commands() []command {
	return []command{initCommand, serveCommand, statusCommand, bundleCommand, checkpointCommand}
}

const rootHelp = `vaultd is one replica of a Backup Key Vault. It keeps, sealed, what turns a
person's password into a backup key; it never sees the password or the key. It
answers at most ten wrong passwords, then destroys the record for good.

To begin:
  vaultd init DIR ...                     found a fleet, write DIR/vaultd.toml
  vaultd serve --config DIR/vaultd.toml   run it
  vaultd status --config DIR/vaultd.toml  see how it stands`

// run runs one command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	err := a.dispatch(ctx, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitDone.code
	}
	f := explain(err)
	fmt.Fprintf(a.err, "vaultd: error: %s\n", oneLine(f.message))
	if f.hint != "" {
		fmt.Fprintf(a.err, "vaultd: hint: %s\n", oneLine(f.hint))
	}
	if a.json {
		a.print(map[string]any{"error": map[string]any{"code": f.exit.name, "exit": f.exit.code, "message": f.message, "hint": f.hint}})
	}
	return f.exit.code
}

func (a *app) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" && len(args) == 1 {
		a.help(a.out)
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
	return usage(fmt.Sprintf("unknown command %q", name), "see: vaultd help")
}

// runCommand parses the flags, before and after the arguments, and runs.
func (a *app) runCommand(ctx context.Context, c command, args []string) error {
	var o options
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&a.json, "json", false, "print the result as one JSON object")
	c.flags(set, &o)
	for {
		if err := set.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				a.commandHelp(a.out, c, set)
				return err
			}
			return usage(err.Error(), "see: vaultd help "+c.name)
		}
		if set.NArg() == 0 {
			break
		}
		o.args = append(o.args, set.Arg(0))
		args = set.Args()[1:]
	}
	if want := len(strings.Fields(c.args)); len(o.args) != want {
		return usage(fmt.Sprintf("%s takes %d arguments, not %d", c.name, want, len(o.args)), "see: vaultd help "+c.name)
	}
	return c.run(a, ctx, &o)
}

func (a *app) help(w io.Writer) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  vaultd COMMAND\n\nCommands:\n", rootHelp)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.short)
	}
	fmt.Fprintln(w, "\nMore about a command: vaultd help COMMAND")
	writeExits(w)
}

func (a *app) commandHelp(w io.Writer, c command, set *flag.FlagSet) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  vaultd %s", c.long, c.name)
	if c.args != "" {
		fmt.Fprint(w, " ", c.args)
	}
	fmt.Fprintf(w, " [flags]\n\nExamples:\n%s\n\nFlags:\n", c.example)
	set.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + value)
		if f.DefValue != "" && f.DefValue != "false" {
			text += " (" + f.DefValue + ")"
		}
		for i, line := range wrap(text, 76-30) {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "  %-28s  %s\n", name, line)
		}
	})
	writeExits(w)
}

// wrap breaks a text into lines of at most width bytes where it has blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}

// emit prints a result: as JSON, or as human does it.
func (a *app) emit(result any, human func(w io.Writer)) error {
	if a.json {
		return a.print(result)
	}
	human(a.out)
	return nil
}

func (a *app) print(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// oneLine keeps what a terminal would obey out of a message: errors of the
// system hold names of files unquoted.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return ' '
		}
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
