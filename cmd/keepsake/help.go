package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"keepsake.example/internal/cli"
)

// version is the version of the program. The format of the backup has its own.
const version = "0.1.0"

const rootHelp = `Keepsake makes end-to-end encrypted backups of a chat history: messages, photos
and videos are encrypted on this device, under a key that only you have, before
they go to the cloud. The key is 64 digits that you write down, or lies behind a
password in a vault that destroys it after ten wrong ones. Nobody else can read the
backup, and nobody can help you when device, digits and password are all lost.

Set up, with digits or with a password, then back up every day. The backup can lie on
another disk, or in a cloud that you have (keepsake help destinations):

  keepsake enable ~/Chats --cloud /media/disk/chats-backup --key
  keepsake enable ~/Chats --cloud /media/disk/chats-backup --password \
      --server card.json
  keepsake backup

On a new phone, with nothing but the 64 digits, or nothing but the password:

  keepsake restore ~/Chats --cloud /media/disk/chats-backup --enable
  keepsake restore ~/Chats --cloud /media/disk/chats-backup --enable --password \
      --server card.json`

var topics = []struct{ name, short, long string }{
	{"destinations", "how --cloud names a folder or a cloud", destinationHelp},
	{"exit-codes", "what the exit codes mean", ""},
	{"patterns", "how --include and --exclude choose files", patternHelp},
	{"times", "how --at names a point in time", timeHelp},
}

const patternHelp = `A pattern is compared with the path of a file below the chat folder, with / between
the parts.

  Media/Videos      this folder and everything in it
  *.mp4             a name without / matches at any depth
  /Backups          with / in front at the top only
  Media/*/2026      * stands for anything but /
  Media/**/Sent     ** stands for any number of folders
  IMG-??.jpg        ? stands for one character
  [ab]*             one of these characters

--exclude wins over --include. Put patterns in quotes, or the shell replaces them.`

const timeHelp = `--at takes the newest snapshot at or before a time, in the zone of this device:

  2026-11-20              the end of that day
  "2026-11-20 18:00"      that minute; with seconds too
  2026-11-20T18:00:00Z    RFC 3339, with a zone
  yesterday, today, now
  "36h ago", "3d ago"     h hours, d days, w weeks, m months, y years`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "keepsake",
		Short:             "end-to-end encrypted backup of a chat history",
		Long:              rootHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: a.prepare,
		Args:              cobra.ArbitraryArgs,
		RunE:              runParent,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	addFlag(root.PersistentFlags(), "profile", &a.profile)
	addFlag(root.PersistentFlags(), "json", &a.json)
	addFlag(root.PersistentFlags(), "quiet", &a.quiet)
	root.AddCommand(
		a.enableCommand(), a.backupCommand(), a.restoreCommand(), a.snapshotsCommand(), a.verifyCommand(),
		a.pruneCommand(), a.copyCommand(), a.moveCommand(), a.scheduleCommand(), a.statusCommand(), a.inspectCommand(), a.keyCommand(), a.passwordCommand(), a.vaultCommand(),
		a.cloudCommand(), a.loginCommand(), a.logoutCommand(), a.disableCommand(), a.versionCommand(),
	)
	for _, t := range topics {
		root.AddCommand(&cobra.Command{Use: t.name, Short: t.short, Long: t.long})
	}
	root.SetHelpFunc(help)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(err.Error(), "see: "+cmd.CommandPath()+" -h")
	})
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Short = "help about a command or a topic"
		}
	}
	return root
}

// runParent runs a command that has only sub-commands.
func runParent(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	hint := "see: " + cmd.CommandPath() + " -h"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean: " + cmd.CommandPath() + " " + near[0]
	}
	return usage(fmt.Sprintf("unknown command %q", args[0]), hint)
}

// exactly gives usage errors that name the missing argument.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		hint := "see: " + cmd.CommandPath() + " -h"
		if len(args) < len(names) {
			return usage(names[len(args)]+" is missing", hint)
		}
		if len(args) > len(names) {
			return usage(fmt.Sprintf("unexpected argument %q", args[len(names)]), hint)
		}
		return nil
	}
}

func isTopic(cmd *cobra.Command) bool { return !cmd.Runnable() && !cmd.HasSubCommands() }

func help(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	if isTopic(cmd) {
		if cmd.Name() == "exit-codes" {
			fmt.Fprintln(w, "Every command ends with one of these:")
			fmt.Fprintln(w)
			cli.WriteExits(w)
			return
		}
		fmt.Fprintln(w, cmd.Long)
		return
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", cmd.Long, useLine(cmd))
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", cmd.Example)
	}
	helpCommands(w, cmd)
	helpFlags(w, "Flags", cmd.NonInheritedFlags())
	helpFlags(w, "Flags of every command", cmd.InheritedFlags())
	fmt.Fprintln(w, "\nExit codes:")
	cli.WriteExits(w)
}

func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.CommandPath() + strings.TrimPrefix(cmd.Use, cmd.Name()) + " [flags]"
}

func helpCommands(w io.Writer, cmd *cobra.Command) {
	commands, others := cli.NewTable("", "", ""), cli.NewTable("", "", "")
	for _, c := range cmd.Commands() {
		switch {
		case c.Hidden || !c.IsAvailableCommand() && !isTopic(c):
		case isTopic(c):
			others.Row("", c.Name(), c.Short)
		default:
			commands.Row("", c.Name(), c.Short)
		}
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintln(w, "\nCommands:")
		commands.Write(w)
	}
	if !cmd.HasParent() {
		fmt.Fprintln(w, "\nTopics (keepsake help TOPIC):")
		others.Write(w)
	}
}

func helpFlags(w io.Writer, title string, flags *pflag.FlagSet) {
	var specs []flagSpec
	longest := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "help" {
			specs = append(specs, specOf(f.Name))
			longest = max(longest, len(flagNames(specOf(f.Name))))
		}
	})
	if len(specs) == 0 {
		return
	}
	t := cli.NewTable("", "", "")
	for _, s := range specs {
		name := flagNames(s)
		for _, line := range wrap(flagText(s), helpWidth-longest) {
			t.Row("", name, line)
			name = ""
		}
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	t.Write(w)
}

// helpWidth is the width of a flag's name and of what is said about it, so that
// both with the blanks between fit 80 columns.
const helpWidth = 76

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

func flagNames(s flagSpec) string {
	names := "    --" + s.name
	if s.short != "" {
		names = "-" + s.short + ", --" + s.name
	}
	switch {
	case s.bare != "":
		return names + "[=" + s.value + "]"
	case s.value != "":
		return names + " " + s.value
	}
	return names
}

func flagText(s flagSpec) string {
	if s.env != "" {
		return s.help + " [" + s.env + "]"
	}
	return s.help
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		Long:  "Prints the version of the program.",
		Args:  exactly(),
		RunE: func(*cobra.Command, []string) error {
			return a.emit(map[string]string{"version": version}, func(w io.Writer) { fmt.Fprintln(w, "keepsake", version) })
		},
	}
}
