package cli

import (
	"fmt"
	"io"
)

// Exit is one way a command can end.
type Exit struct {
	Code    int
	Name    string // for machines: "wrong-key"
	Meaning string // for people
}

// The ways to end. Scripts rely on the numbers: they never change their meaning.
var (
	Done        = Exit{0, "done", "done"}
	Failed      = Exit{1, "failed", "another failure"}
	Usage       = Exit{2, "usage", "the command line is wrong, or a confirmation is missing"}
	WrongKey    = Exit{3, "wrong-key", "the key is wrong, was replaced, or is missing"}
	NotFound    = Exit{4, "not-found", "no such profile, backup, snapshot or file"}
	Damaged     = Exit{5, "damaged", "damaged data"}
	RolledBack  = Exit{6, "rolled-back", "the cloud shows an older state than this device has seen"}
	Busy        = Exit{7, "busy", "another command holds the profile or the backup"}
	Unreachable = Exit{8, "unreachable", "the cloud cannot be reached"}
	Partial     = Exit{9, "partial", "done, but some files could not be read or written"}
	NoRoom      = Exit{10, "no-room", "no room or no permission, on this device or in the cloud"}
	// Of the password path: each is told apart from the others by scripts too.
	WrongPassword = Exit{11, "wrong-password", "wrong password"}
	Wait          = Exit{12, "wait", "the vault takes no attempt yet; nothing was counted"}
	Destroyed     = Exit{13, "destroyed", "the key behind the password was destroyed for good"}
	NotCounted    = Exit{14, "not-counted", "the vault's server cannot be reached; nothing is counted twice"}
	Dishonest     = Exit{15, "dishonest", "the vault or its server is not honest; nothing is tried again"}
	Login         = Exit{16, "login", "not logged in at the server, or refused by it"}

	Internal    = Exit{70, "internal", "a fault of this program, with a line to report"} // EX_SOFTWARE of sysexits.h
	Interrupted = Exit{130, "interrupted", "interrupted"}
)

// Exits lists all of them by number.
func Exits() []Exit {
	return []Exit{Done, Failed, Usage, WrongKey, NotFound, Damaged, RolledBack, Busy, Unreachable, Partial, NoRoom,
		WrongPassword, Wait, Destroyed, NotCounted, Dishonest, Login, Internal, Interrupted}
}

// WriteExits prints the table of exit codes as help shows it.
func WriteExits(w io.Writer) error {
	for _, e := range Exits() {
		if _, err := fmt.Fprintf(w, "  %3d  %s\n", e.Code, e.Meaning); err != nil {
			return err
		}
	}
	return nil
}
