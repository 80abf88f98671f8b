package main

import (
	"context"
	"flag"

	"keepsake.example/internal/command"
)

// app is one run of the command.
type app struct{ command.Output }

// options are the flags of all commands; each command defines those it has.
type options struct {
	config  string
	admin   string
	json    bool
	args    []string
	setting setting
}

const rootHelp = `chatd is the server in front of a Backup Key Vault. Clients connect to it; it
checks whose they are and relays sealed blocks to vaultd that it cannot read. For
operators who have no issuer of access tokens it makes accounts as well: a person
proves an address with a one-time code.

To begin:
  chatd init DIR ...                        keys, and DIR/chatd.toml, explained
  chatd check-config --config DIR/chatd.toml
  chatd serve --config DIR/chatd.toml       run it
  chatd status --config DIR/chatd.toml      see how it stands`

var program = command.Program[app, options]{
	Name: "chatd", Help: rootHelp, Exits: exits, Explain: explain, Flags: command.Lines,
	Commands:  []command.Command[app, options]{initCommand, serveCommand, statusCommand, checkConfigCommand, checkAuditCommand, versionCommand},
	Arguments: func(o *options, args []string) { o.args = args },
}

// run runs one command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	return program.Run(ctx, &a.Output, a, args)
}

func configFlag(f *flag.FlagSet, o *options) {
	f.StringVar(&o.config, "config", "chatd.toml", "`FILE` with the configuration, made by chatd init")
}
