package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagSpec is all there is to say about a flag. The one table of them makes the
// flags, the help and the reading of the environment, so that they cannot
// differ.
type flagSpec struct {
	name  string
	short string
	env   string // the environment variable that stands in for it
	value string // how help names the value; "" for a switch
	bare  string // the value when the flag is given without one
	help  string
}

var flagTable = []flagSpec{
	{name: "profile", env: "KEEPSAKE_PROFILE", value: "DIR", help: "folder of this device's settings (default keepsake/default in the user's configuration folder)"},
	{name: "json", help: "print one JSON object on standard output, for errors too"},
	{name: "quiet", short: "q", help: "no progress and no notes; warnings and errors stay"},

	{name: "cloud", value: "DEST", help: "where the backup lies: the path of a folder, or a cloud such as gdrive:Folder (help destinations)"},
	{name: "limit-upload", env: "KEEPSAKE_LIMIT_UPLOAD", value: "RATE", help: "upload to a network at most this fast: 512k, 1M (bytes a second), or by the time of day \"08:00,512k 23:00,off\""},
	{name: "retry-for", value: "TIME", help: "how long a request is tried again when the cloud does not answer: 90s, 2h, 0 for not at all (default 15m)"},
	{name: "key", help: "protect the backup by 64 digits that you write down"},
	{name: "key-out", value: "FILE", help: "write the 64 digits to a new FILE that only you can read; - is standard output"},
	{name: "password", help: "protect the backup by a password, at the vault of --server"},
	{name: "password-file", value: "FILE", help: "read the password from FILE, which only you may read (mode 600); - is standard input"},
	{name: "server", value: "CARD", help: "the server of the vault: the FILE of its card, or https://HOST#FLEET with the fleet id"},
	{name: "handle", value: "NAME", help: "who you are at the server, an address of mail usually"},
	{name: "code-file", value: "FILE", help: "read the code that the server sends from FILE; - is standard input"},
	{name: "token-file", value: "FILE", help: "take access tokens of the operator's issuer from FILE, kept fresh by his program"},
	{name: "accept-insecure-vault", help: "go on with a vault that says it protects nothing; for development only"},
	{name: "take-over", help: "replace what another device put in the vault, after the wait that this takes"},
	{name: "leave-vault", help: "give up a vault that is lost for good, for the one of --server"},
	{name: "vault", help: "ask the vault itself; a wrong password costs an attempt there"},
	{name: "key-file", value: "FILE", help: "read the 64 digits from FILE; - is standard input (default: ask at the terminal)"},
	{name: "key-store", value: "WHERE", help: "keep the key in the system keyring (keyring) or in a file (file) (default: the keyring, if there is one)"},
	{name: "join", help: "go on with the backup that is at DEST already; asks for its 64 digits"},
	{name: "store", help: "keep the digits on this device once they are found right"},

	{name: "exclude", value: "PATTERN", help: "leave out what matches (help patterns); may be repeated"},
	{name: "include", value: "PATTERN", help: "restore only what matches (help patterns); may be repeated"},
	{name: "dry-run", short: "n", help: "say what would be done, and do nothing"},
	{name: "reread", help: "read every file again, also those that look unchanged"},
	{name: "allow-empty", help: "back up a chat folder that became empty"},

	{name: "schedule", value: "TIME", help: "make backups each day at TIME, such as 03:30, or 03:30,12:00; off: by hand only"},
	{name: "watch", help: "stay, and run the schedule until a signal comes"},
	{name: "unattended", help: "make the backup that is due by the schedule, if one is: what timers run"},
	{name: "on-battery", help: "scheduled runs do not wait for mains power"},
	{name: "on-metered", help: "scheduled runs do not wait for an unmetered network"},
	{name: "install", help: "write the files into the user's folder, and start the timer"},
	{name: "uninstall", help: "stop the timer, and remove its files"},

	{name: "snapshot", value: "ID", help: "the snapshot with this id, or the start of one"},
	{name: "at", value: "TIME", help: "the newest snapshot at or before TIME (help times)"},
	{name: "older-state", help: "go on with the older state the cloud shows, when it was rolled back or its newest state is damaged"},
	{name: "into-non-empty", help: "write into a folder that is not empty; files of the same name are replaced, unless they are the same byte for byte"},
	{name: "enable", help: "afterwards set this device up to go on backing up TARGET to DEST"},

	{name: "read-data", value: "PART", bare: "100%", help: "read the data itself, all of it or a part such as 5%"},

	{name: "keep-last", value: "N", help: "keep the newest N snapshots of each folder and device"},
	{name: "keep-daily", value: "N", help: "keep the newest snapshot of each of the last N days, also by folder and device"},
	{name: "keep-weekly", value: "N", help: "keep the newest snapshot of each of the last N weeks"},
	{name: "keep-monthly", value: "N", help: "keep the newest snapshot of each of the last N months"},
	{name: "keep-within", value: "SPAN", help: "keep all snapshots up to SPAN older than the newest: 36h, 30d, 8w, 12m"},
	{name: "remove", value: "ID", help: "remove this snapshot, whatever keeps it; may be repeated"},
	{name: "max-unused", value: "PART", help: "leave packs alone while no more than PART of them is unused (default 50%)"},
	{name: "forget-damaged", help: "give up snapshots that are damaged too badly to be read"},

	{name: "to", value: "DEST", help: "the other destination (help destinations)"},
	{name: "delete-old", help: "delete the backup that the last move left behind"},
	{name: "keep-old", help: "leave the backup that the last move left behind where it is"},

	{name: "yes", short: "y", help: "do not ask for confirmation"},
	{name: "keep-backups", help: "leave the backups where they are; they open with the 64 digits"},
	{name: "delete-backups", help: "delete the backups for good; asks for confirmation"},
	{name: "keep-record", help: "leave the key in the vault: the password opens the kept backups"},
	{name: "confirm", value: "TOKEN", help: "confirm a deletion with the token the first run printed"},
}

func specOf(name string) flagSpec {
	for _, s := range flagTable {
		if s.name == name {
			return s
		}
	}
	panic("keepsake: internal error: no flag " + name + " in the table")
}

// flag adds a flag of the table to a command.
func flag(cmd *cobra.Command, name string, to any) { addFlag(cmd.Flags(), name, to) }

func addFlag(set *pflag.FlagSet, name string, to any) {
	s := specOf(name)
	switch to := to.(type) {
	case *bool:
		set.BoolVarP(to, name, s.short, *to, s.help)
	case *string:
		set.StringVarP(to, name, s.short, *to, s.help)
	case *[]string:
		set.StringArrayVarP(to, name, s.short, *to, s.help)
	case *int:
		set.VarP((*count)(to), name, s.short, s.help)
	case *patience:
		set.VarP(to, name, s.short, s.help)
	case *time.Duration:
		set.VarP((*span)(to), name, s.short, s.help)
	case *part:
		set.VarP(to, name, s.short, s.help)
	default:
		panic(fmt.Sprintf("keepsake: internal error: flag of type %T", to))
	}
	if s.bare != "" {
		set.Lookup(name).NoOptDefVal = s.bare
	}
}

// fromEnvironment sets the flags that were not given and have a variable that is.
func (a *app) fromEnvironment(cmd *cobra.Command) error {
	for _, s := range flagTable {
		f := cmd.Flags().Lookup(s.name)
		if s.env == "" || f == nil || f.Changed || a.env(s.env) == "" {
			continue
		}
		if err := f.Value.Set(a.env(s.env)); err != nil {
			return usage(fmt.Sprintf("%s: %v", s.env, err), "")
		}
	}
	return nil
}
