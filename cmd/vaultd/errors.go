package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"keepsake.example/anchor"
	"keepsake.example/replica"
	"keepsake.example/vaultd"
)

// exit is one way a command can end. Scripts rely on the numbers: they never
// change their meaning; where keepsake has the same meaning it has the same number.
type exit struct {
	code          int
	name, meaning string
}

var (
	exitDone        = exit{0, "done", "done"}
	exitFailed      = exit{1, "failed", "another failure"}
	exitUsage       = exit{2, "usage", "the command line is wrong"}
	exitConfig      = exit{3, "config", "the configuration is wrong, or an insecure choice is not accepted in it"}
	exitNotFound    = exit{4, "not-found", "no such file or folder"}
	exitDamaged     = exit{5, "damaged", "the replica's files are damaged"}
	exitRolledBack  = exit{6, "rolled-back", "disk and anchor are of different times; this replica must not run"}
	exitBusy        = exit{7, "busy", "another vaultd runs here"}
	exitUnreachable = exit{8, "unreachable", "vaultd does not answer at its admin address"}
	exitNewer       = exit{9, "newer", "the files were written by a newer version"}
	exitNoRoom      = exit{10, "no-room", "no room or no permission"}
	exitHalted      = exit{11, "halted", "the replica halted while it ran"}
	exitClock       = exit{12, "clock", "the host's date cannot be right"}
	exitExists      = exit{13, "exists", "something is there already"}
	exitInterrupted = exit{130, "interrupted", "stopped at once, by a second signal"}
)

func exits() []exit {
	return []exit{
		exitDone, exitFailed, exitUsage, exitConfig, exitNotFound, exitDamaged, exitRolledBack, exitBusy, exitUnreachable,
		exitNewer, exitNoRoom, exitHalted, exitClock, exitExists, exitInterrupted,
	}
}

func writeExits(w io.Writer) {
	fmt.Fprintln(w, "\nExit codes:")
	for _, e := range exits() {
		fmt.Fprintf(w, "  %3d  %s\n", e.code, e.meaning)
	}
}

// failure is how a command ends when it does not end well.
type failure struct {
	exit    exit
	message string
	hint    string
}

func (f *failure) Error() string { return f.message }

func usage(message, hint string) error { return &failure{exitUsage, message, hint} }

func configError(message, hint string) error { return &failure{exitConfig, message, hint} }

var errInterrupted = errors.New("interrupted")

const rejoin = "do not delete or replace anything: the replica would give again what it gave already. Find out who put the old state back. If the newest state is truly lost, the records of this single replica are lost with it: found a new fleet (vaultd init) and let people register anew. doc/vaultd.md, \"Rolled back\""

// explanations are tried in this order.
var explanations = []struct {
	is   error
	exit exit
	hint string
}{
	{vaultd.ErrInsecure, exitConfig, "accept it by name in vaultd.toml (insecure_software_anchor, insecure_waits), for development only"},
	{replica.ErrInUse, exitBusy, "is vaultd running already? see: vaultd status"},
	{anchor.ErrInUse, exitBusy, "is vaultd running already? see: vaultd status"},
	{replica.ErrNewer, exitNewer, "run the newer version; it cannot be taken back"},
	{replica.ErrMissing, exitNotFound, "found a fleet first: vaultd init DIR"},
	{anchor.ErrEmpty, exitNotFound, "found a fleet first: vaultd init DIR"},
	{replica.ErrExists, exitExists, "choose a new folder; an existing fleet is never founded anew"},
	{anchor.ErrFounded, exitExists, "choose a new folder; an existing fleet is never founded anew"},
	{vaultd.ErrHalted, exitHalted, "look into the log for the reason"},
	{syscall.ECONNREFUSED, exitUnreachable, "is vaultd running, and is the admin address right?"},
	{context.DeadlineExceeded, exitUnreachable, "is vaultd running, and is the admin address right?"},
	{syscall.EADDRINUSE, exitBusy, "is vaultd running already? else change listen or admin in vaultd.toml"},
	{syscall.ENOSPC, exitNoRoom, "make room on the disk"},
	{fs.ErrPermission, exitNoRoom, "check the permissions of that file or folder"},
	{fs.ErrExist, exitExists, "choose a new folder"},
	{fs.ErrNotExist, exitNotFound, ""},
}

// explain turns any error into a failure.
func explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if e, ok := errors.AsType[*replica.RollbackError](err); ok {
		return &failure{exitRolledBack, e.Error(), rejoin}
	}
	if e, ok := errors.AsType[*replica.DamagedError](err); ok {
		return &failure{exitDamaged, e.Error(), "look at the disk itself. Nothing was repaired and nothing changed: a vault that guesses at its counts would grant guesses"}
	}
	if e, ok := errors.AsType[*vaultd.ClockError](err); ok {
		return &failure{exitClock, e.Error(), "set the host's clock right. If the vault really rested that long: vaultd serve --accept-clock, once"}
	}
	for _, e := range explanations {
		if errors.Is(err, e.is) {
			return &failure{e.exit, err.Error(), e.hint}
		}
	}
	return &failure{exit: exitFailed, message: err.Error()}
}
