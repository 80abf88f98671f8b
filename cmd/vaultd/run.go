package main

import (
	"context"
	"io"
	"slices"

	"keepsake.example/internal/command"
)

// app is one run of the command.
type app struct {
	command.Output
	hardened error     // why the memory is not kept from other processes
	in       io.Reader // where a person types; nil when nobody does
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
	roster   string
	changes  bool
	key      string
	token    string
	card     string
	yes      bool
	proposal proposal
	to       uint
	group    uint
	ceremony staging
}

const rootHelp = `vaultd is one replica of a Backup Key Vault. It keeps, sealed, what turns a
person's password into a backup key; it never sees the password or the key. It
answers at most ten wrong passwords, then destroys the record for good.

To begin:
  vaultd init DIR ...                     found a fleet, write DIR/vaultd.toml
  vaultd serve --config DIR/vaultd.toml   run it
  vaultd status --config DIR/vaultd.toml  see how it stands
  vaultd help operator                    make several machines one fleet`

var program = command.Program[app, options]{
	Name: "vaultd", Help: rootHelp, Exits: exits, Explain: explain, JSON: true, Flags: command.Columns,
	Commands: slices.Concat([]command.Command[app, options]{
		initCommand, ceremonyCommand, joinCommand, serveCommand, statusCommand, transferCommand, drainCommand, replaceCommand, bundleCommand, checkpointCommand,
		keygenCommand, showCommand,
	}, proposeCommands(), []command.Command[app, options]{signCommand, submitCommand, rekeyCommand}, deviceCommands(),
		[]command.Command[app, options]{transcriptSignCommand, transcriptVerifyCommand}),
	Groups:    map[string]string{"operator": operatorGroup, "operator propose": proposeGroup, "transcript": transcriptGroup, "device": deviceGroup},
	Arguments: func(o *options, args []string) { o.args = args },
}

// run runs one command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	return program.Run(ctx, &a.Output, a, args)
}
