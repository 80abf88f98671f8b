package main

import (
	"context"
	"errors"
	"io/fs"
	"syscall"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/internal/command"
	"keepsake.example/replica"
	"keepsake.example/vaultd"
)

// The exits that are vaultd's own.
var (
	exitDamaged     = command.Exit{Code: 5, Name: "damaged", Meaning: "the replica's own files are damaged"}
	exitRolledBack  = command.Exit{Code: 6, Name: "rolled-back", Meaning: "disk and anchor are of different times; this replica must not run"}
	exitBusy        = command.Exit{Code: 7, Name: "busy", Meaning: "another vaultd runs here"}
	exitUnreachable = command.Exit{Code: 8, Name: "unreachable", Meaning: "vaultd does not answer at its admin address"}
	exitNewer       = command.Exit{Code: 9, Name: "newer", Meaning: "the files were written by a newer version"}
	exitHalted      = command.Exit{Code: 11, Name: "halted", Meaning: "the replica halted while it ran"}
	exitClock       = command.Exit{Code: 12, Name: "clock", Meaning: "the host's date cannot be right"}
	exitRefused     = command.Exit{Code: 14, Name: "refused", Meaning: "the fleet refuses it: rules, signatures, or a member that could not lead"}
	exitNoQuorum    = command.Exit{Code: 15, Name: "no-quorum", Meaning: "too few members of the fleet can be reached to decide"}
	exitRemoved     = command.Exit{Code: 16, Name: "removed", Meaning: "the operators have removed this machine from the fleet"}
	exitAbsent      = command.Exit{Code: 17, Name: "device-absent", Meaning: "the TPM or token is not there"}
	exitLocked      = command.Exit{Code: 18, Name: "device-locked", Meaning: "the TPM or token takes no secrets now, after wrong ones"}
	exitForeign     = command.Exit{Code: 19, Name: "device-foreign", Meaning: "the TPM or token is not the one that this machine was made on, or was cleared"}
	exitCustodian   = command.Exit{Code: 20, Name: "custodian", Meaning: "wrong secret of the device's custodian"}
	exitFleetKey    = command.Exit{Code: 21, Name: "fleet-key", Meaning: "the device does not hold the fleet's key"}
	exitFile        = command.Exit{Code: 22, Name: "file", Meaning: "a file or an answer is not what it should be: edited, of another kind, or another fleet's"}
	exitInterrupted = command.Exit{Code: 130, Name: "interrupted", Meaning: "stopped at once, by a second signal"}
)

var exits = []command.Exit{
	command.Done, command.Failed, command.Misused, command.Config, command.NotFound, exitDamaged, exitRolledBack, exitBusy, exitUnreachable,
	exitNewer, command.NoRoom, exitHalted, exitClock, command.Exists, exitRefused, exitNoQuorum, exitRemoved, exitAbsent, exitLocked, exitForeign, exitCustodian, exitFleetKey, exitFile, exitInterrupted,
}

var errInterrupted = errors.New("interrupted")

const rejoin = "do not delete or replace anything: the replica would give again what it gave already. Find out who put the old state back. If the newest state is truly lost, this member is lost: the others replace it (vaultd help replace); with a single replica its records are lost, and people register anew at a new fleet. doc/vaultd.md, \"Rolled back\""

const removed = "erase its anchor, then its disk; the machine can join again as a new member, from an empty folder: vaultd init --join"

const foreign = "what this machine sealed cannot be opened any more: the device was cleared or replaced, or this disk is another machine's. Do not clear or prepare anything: put the right device back. If it is lost, this member is lost: the others replace it (vaultd help replace)"

const notHere = "neither the replica's files nor its anchor are there: mount their folders, or set state and anchor_dir to where they are. On a new machine: vaultd init; after vaultd init --join: vaultd join"

// explanations are tried in this order.
var explanations = []command.Explanation{
	{Is: vaultd.ErrInsecure, Exit: command.Config, Hint: "accept it by name in vaultd.toml (insecure_software_anchor, insecure_waits), for development only"},
	{Is: replica.ErrInUse, Exit: exitBusy, Hint: "is vaultd running already? see: vaultd status"},
	{Is: anchor.ErrInUse, Exit: exitBusy, Hint: "is vaultd running already? see: vaultd status"},
	{Is: replica.ErrNewer, Exit: exitNewer, Hint: "run the newer version; it cannot be taken back"},
	{Is: ledger.ErrRolledBack, Exit: exitRolledBack, Hint: rejoin},
	{Is: ledger.ErrMissing, Exit: command.NotFound, Hint: "mount the folder of the ledger, or set anchor_dir to where it is. The device has counted: nothing replaces the file that belongs to it"},
	{Is: anchor.ErrAbsent, Exit: exitAbsent, Hint: "is it plugged in, is its driver loaded, may this user open it, and are [tpm] or [pkcs11] right? On a new machine: vaultd init prepares it"},
	{Is: pkcs11.ErrPIN, Exit: exitLocked, Hint: "put the right PIN into pin_file. The wrong one was tried once and is not tried again: tokens lock after a few"},
	{Is: pkcs11.ErrNoCgo, Exit: command.Config, Hint: "make build makes one with PKCS#11 where there is a C compiler"},
	{Is: anchor.ErrLocked, Exit: exitLocked, Hint: "somebody tried wrong secrets. Wait as long as the vendor says, or have the custodian unlock it; nothing is lost"},
	{Is: anchor.ErrForeign, Exit: exitForeign, Hint: foreign},
	{Is: anchor.ErrCustodian, Exit: exitCustodian, Hint: "it was tried once. Most devices lock after a few: look before you try again"},
	{Is: vaultd.ErrFleetKey, Exit: exitFleetKey, Hint: "vaultd device request on this machine, vaultd device wrap on one that has the key, vaultd device install here"},
	{Is: anchor.ErrNoFleetKey, Exit: exitFleetKey, Hint: "vaultd device request on this machine, vaultd device wrap on one that has the key, vaultd device install here"},
	{Is: anchor.ErrHasFleetKey, Exit: command.Exists, Hint: "a device has one fleet key, for good; see: vaultd device status"},
	{Is: replica.ErrForgot, Exit: exitRolledBack, Hint: rejoin},
	{Is: replica.ErrMissing, Exit: command.NotFound, Hint: notHere},
	{Is: anchor.ErrEmpty, Exit: command.NotFound, Hint: notHere},
	{Is: replica.ErrExists, Exit: command.Exists, Hint: "choose a new folder; an existing fleet is never founded anew"},
	{Is: anchor.ErrFounded, Exit: command.Exists, Hint: "choose a new folder; an existing fleet is never founded anew"},
	{Is: vaultd.ErrWelcomed, Exit: exitRefused, Hint: "a number gets the fleet's secret once: a machine that has lost what it had under it could help to take back what it promised. Have operators remove it, and join anew under a new number, from an empty folder: vaultd help replace"},
	{Is: vaultd.ErrAlone, Exit: command.Config, Hint: "set peers in vaultd.toml to where the other members connect. No setting has a member of several serve alone: doc/disaster.md"},
	{Is: vaultd.ErrJoined, Exit: command.Exists, Hint: "nothing was changed: start it, vaultd serve, and see vaultd status"},
	{Is: vaultd.ErrUnlisted, Exit: command.Failed, Hint: "have operators take in its card, vaultd operator propose add, and take the roster after that: --from, or vaultd operator show --out"},
	{Is: vaultd.ErrRemoved, Exit: exitRemoved, Hint: removed},
	{Is: replica.ErrRemoved, Exit: exitRemoved, Hint: removed},
	{Is: vaultd.ErrHalted, Exit: exitHalted, Hint: "most often a disk or an anchor failed: the message says which. Nothing that was acknowledged is lost: start vaultd again; if it cannot, it says what to mend"},
	{Is: pkcs11.ErrNoKey, Exit: command.NotFound, Hint: "does the URI name the right token and object? vaultd operator keygen --pkcs11 makes a key"},
	{Is: pkcs11.ErrKeyExists, Exit: command.Exists, Hint: "choose another object in the URI; an operator's key is never made anew in place of another"},
	{Is: syscall.ECONNREFUSED, Exit: exitUnreachable, Hint: "is vaultd running, and is the admin address right?"},
	{Is: context.DeadlineExceeded, Exit: exitUnreachable, Hint: "is vaultd running, and is the admin address right?"},
	{Is: syscall.EADDRINUSE, Exit: exitBusy, Hint: "is vaultd running already? else change listen, admin or peers in vaultd.toml"},
	{Is: syscall.ENOSPC, Exit: command.NoRoom, Hint: "make room on the disk"},
	{Is: syscall.EDQUOT, Exit: command.NoRoom, Hint: "make room on the disk: its quota is used up"},
	{Is: syscall.EROFS, Exit: command.NoRoom, Hint: "the file system takes no changes: mount it writable"},
	{Is: syscall.EISDIR, Exit: exitFile, Hint: "that is a folder, and a file is wanted"},
	{Is: syscall.ENOTDIR, Exit: command.NotFound, Hint: "a part of that path is a file, and no folder"},
	{Is: command.ErrTooLong, Exit: exitFile, Hint: "is it the right file?"},
	{Is: fs.ErrPermission, Exit: command.NoRoom, Hint: "check the permissions of that file or folder"},
	{Is: fs.ErrExist, Exit: command.Exists, Hint: "nothing was overwritten; choose another name"},
	{Is: fs.ErrNotExist, Exit: command.NotFound, Hint: "look at the path; those in vaultd.toml are relative to that file"},
}

// explain turns any error into a failure.
func explain(err error) *command.Failure {
	if e, ok := errors.AsType[*replica.RollbackError](err); ok {
		return &command.Failure{Exit: exitRolledBack, Message: e.Error(), Hint: rejoin}
	}
	if e, ok := errors.AsType[*replica.DamagedError](err); ok {
		return &command.Failure{Exit: exitDamaged, Message: e.Error(), Hint: "look at the disk itself. Nothing was repaired and nothing changed: a vault that guesses at its counts would grant guesses"}
	}
	if e, ok := errors.AsType[*vaultd.ClockError](err); ok {
		return &command.Failure{Exit: exitClock, Message: e.Error(), Hint: "set the host's clock right. If the vault really rested that long: vaultd serve --accept-clock, once"}
	}
	if e, ok := errors.AsType[*vaultd.VersionError](err); ok {
		return &command.Failure{Exit: exitNewer, Message: e.Error(), Hint: "the operators have raised the minimum version; it does not go down"}
	}
	return command.Explain(err, explanations)
}
