package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/internal/cli"
	"keepsake.example/key"
)

// failure is how a command ends when it does not end well.
type failure struct {
	exit    cli.Exit
	message string
	hint    string
}

func (f *failure) Error() string { return f.message }

func exitCode(err error) int {
	if err == nil {
		return cli.Done.Code
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f.exit.Code
	}
	if e, ok := errors.AsType[*exited](err); ok {
		return e.code
	}
	return cli.Failed.Code
}

func usage(message, hint string) error { return &failure{cli.Usage, message, hint} }

var (
	errDeclined = &failure{cli.Usage, "not confirmed, nothing was changed", ""}

	digitsOnCommandLine = &failure{
		cli.Usage,
		"the command line seems to hold the 64 digits, which other programs can see and the shell may have kept in its history",
		"run it without them: you are asked, or use --key-file FILE. If they are the digits of a backup, remove the line from the history and change them with: keepsake key rotate",
	}
)

// An explanation says for one kind of error how the command ends and what the
// person can do. text replaces the error's own words when it is not empty.
type explanation struct {
	is   error
	exit cli.Exit
	text string
	hint string
}

// explanations are tried in this order: of two errors joined, the first row found
// speaks.
var explanations = []explanation{
	{errInterrupted, cli.Interrupted, "interrupted", "earlier snapshots are intact; the next run continues where this one stopped"},
	{context.Canceled, cli.Interrupted, "interrupted", "earlier snapshots are intact; the next run continues where this one stopped"},
	{cli.ErrInterrupted, cli.Interrupted, "interrupted, nothing was changed", ""},
	{cli.ErrNoTerminal, cli.Usage, "there is no terminal to ask at", "run this at a terminal, or see -h for a flag that answers the question"},

	{client.ErrNotEnabled, cli.NotFound, "", "set it up with: keepsake enable DIR --cloud DEST --key"},
	{client.ErrEnabled, cli.Failed, "", "see: keepsake status. For a second chat folder use another --profile; to turn this one off: keepsake disable"},
	{client.ErrLeft, cli.Failed, "", "delete it with: keepsake move --delete-old; or leave it there: keepsake move --keep-old"},
	{client.ErrNothingLeft, cli.NotFound, "", "move to another cloud with: keepsake move --to DEST"},
	{client.ErrOverlap, cli.Usage, "", "choose a folder outside"},
	{backup.ErrSamePlace, cli.Usage, "", "nothing was changed; choose a place that is another one"},
	{client.ErrProfileDamaged, cli.Damaged, "", "move the profile folder away, then: keepsake enable DIR --cloud DEST --join"},
	{client.ErrKeyMissing, cli.WrongKey, "", "type it in with: keepsake key check --store"},
	{client.ErrKeyring, cli.WrongKey, "", "unlock the keyring, or keep the key in a file: keepsake key check --store --key-store file"},
	{client.ErrBusy, cli.Busy, "", "wait until it has ended; nothing was changed"},

	{backup.ErrRolledBack, cli.RolledBack, "the cloud shows an older state of the backup than this device has seen: snapshots were taken away", "ask yourself who could have put back an old copy. If it was you, go on with what is there: keepsake backup --older-state. To restore it: keepsake restore TARGET --older-state"},
	{backup.ErrWrongKey, cli.WrongKey, "these are not the digits of this backup", "check them with: keepsake key check"},
	{backup.ErrOtherRepository, cli.NotFound, "the cloud folder holds another backup than the one this device makes", "put the right folder back in its place. To go on with the one that is there: keepsake disable --keep-backups, then: keepsake enable DIR --cloud DEST --join"},
	{backup.ErrLocked, cli.Busy, "", "wait until that device has finished; a lock that a crash left behind is taken over after half an hour"},
	{backup.ErrNoRepository, cli.NotFound, "there is no backup in the cloud folder", "check --cloud; a new backup is made with: keepsake enable DIR --cloud DEST --key"},
	{backup.ErrRepositoryExists, cli.Failed, "there is a backup at that place already", "to get it back: keepsake restore TARGET --cloud DEST. To go on with it from this device: keepsake enable DIR --cloud DEST --join"},
	{backup.ErrNoSnapshot, cli.NotFound, "", "no backup was ever finished here: run keepsake backup on the device that has the chats, or check the place"},
	{backup.ErrLastSnapshot, cli.Usage, "that would leave no snapshot", "to give up the whole backup: keepsake disable --delete-backups"},
	{backup.ErrNotFound, cli.NotFound, "", "list them with: keepsake snapshots"},
	{backup.ErrTargetNotEmpty, cli.Failed, "", "choose an empty folder or a new name; or allow it with --into-non-empty"},
	{backup.ErrSourceEmpty, cli.Failed, "", "is a disk not mounted? If the chats are really gone: keepsake backup --allow-empty"},
	{backup.ErrUnsupported, cli.Failed, "", "install a newer version of keepsake"},
	{backup.ErrRingUnclear, cli.Damaged, "", "what is there can be restored. To go on writing, replace the key rings: keepsake key rotate"},
	{client.ErrRingGone, cli.Damaged, "", "nothing was changed. Put its folder ring back: from another copy, the cloud's trash or its older versions. A new backup needs an empty place"},
	{client.ErrNewestState, cli.Damaged, "", "the state before it is there: to restore it, or to go on with it, add --older-state. keepsake backup --older-state removes what is damaged and puts a new state in its place"},
	{backup.ErrDamaged, cli.Damaged, "", "see what is affected with: keepsake verify"},

	{cloud.ErrUnreachable, cli.Unreachable, "", "is the disk mounted, the network up? Try again then; nothing is lost"},
	{cloud.ErrThrottled, cli.Unreachable, "", "try again later; the next run continues"},
	{cloud.ErrFull, cli.NoRoom, "", "make room in the cloud: keepsake prune frees what old snapshots hold"},
	{cloud.ErrDenied, cli.NoRoom, "", "check who may write to the cloud folder"},
	{syscall.ENOSPC, cli.NoRoom, "", "make room on this device; the next run continues"},
	{syscall.EDQUOT, cli.NoRoom, "", "make room on this device; the next run continues"},
	{syscall.EROFS, cli.NoRoom, "", ""},
	{fs.ErrPermission, cli.NoRoom, "", "check the permissions of that file or folder"},
	{backup.ErrLocal, cli.Failed, "", "look at the file or folder named; earlier snapshots are intact"},
	{client.ErrNotFolder, cli.NotFound, "", "give the folder that holds the chats"},
	{fs.ErrNotExist, cli.NotFound, "", ""},
	{cloud.ErrNotExist, cli.NotFound, "", ""},
}

// explain turns any error into a failure.
func explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if f := explainInput(err); f != nil {
		return f
	}
	if f := explainVault(err, time.Now()); f != nil {
		return f
	}
	if f := explainProgram(err); f != nil {
		return f
	}
	for _, e := range slices.Concat(vaultExplanations, explanations) {
		if errors.Is(err, e.is) {
			e = helpFar(e, err)
			f := &failure{e.exit, e.text, e.hint}
			if f.message == "" {
				f.message = plain(err)
			}
			return f
		}
	}
	return &failure{exit: cli.Failed, message: plain(err)}
}

// explainInput speaks about digits that cannot be, or no longer are, the key, about
// patterns, and about faults of our own.
func explainInput(err error) *failure {
	if e, ok := errors.AsType[*backup.WrongKeyError](err); ok && !e.ReplacedAt.IsZero() {
		return &failure{
			cli.WrongKey,
			"these digits were replaced by newer ones on " + cli.Time(e.ReplacedAt),
			"use the digits that key rotate showed then; if they were changed from another device: keepsake key check --store",
		}
	}
	if e, ok := errors.AsType[*backup.InternalError](err); ok {
		return &failure{
			cli.Internal,
			plain(e),
			"this is a fault of keepsake. Please report the line above, which holds no secrets, with what `keepsake version` says. Earlier snapshots are intact",
		}
	}
	if e, ok := errors.AsType[*backup.LostSnapshotError](err); ok {
		hint := "what is left, and what the damage affects: keepsake verify"
		if e.Before != nil {
			hint = fmt.Sprintf("to restore the one before it, of %s: add --snapshot %.8s; what the damage affects: keepsake verify", cli.Time(e.Before.Time), e.Before.ID)
		}
		return &failure{cli.Damaged, plain(e), hint}
	}
	if e, ok := errors.AsType[*backup.DamageError](err); ok && strings.HasPrefix(e.Object, "ring/") && e.Layer != "version" && !errors.Is(err, backup.ErrRingUnclear) {
		return &failure{
			cli.Damaged,
			"no key ring can be read, and without one nothing opens: " + plain(e),
			"it lies in the folder ring, and a spare of it, of 1 kB each: put an older copy of that folder back, from the trash or the versions that the cloud keeps; or restore from a second cloud that keepsake copy wrote: --cloud DEST",
		}
	}
	if e, ok := errors.AsType[*key.DigitError](err); ok {
		return &failure{cli.WrongKey, plain(e), "the key has the digits 0 to 9 and the letters a to f"}
	}
	if e, ok := errors.AsType[*key.LengthError](err); ok {
		return &failure{cli.WrongKey, plain(e), "the key has 16 groups of four digits"}
	}
	if e, ok := errors.AsType[*backup.PatternError](err); ok {
		return &failure{cli.Usage, plain(e), "how patterns are written: keepsake help patterns"}
	}
	return nil
}

// plain gives the words of an error without the names of packages before them,
// which mean nothing to the person who reads.
func plain(err error) string {
	return plainText(err.Error())
}

func plainText(text string) string {
	for _, p := range []string{"backup: ", "client: ", "cloud/dir: ", "cloud/process: ", "cloud/rclone: ", "account: ", "cloud: ", "key: ", "password: ", "fleet: ", "durable: ", "schedule: ", "timer: ", "watch: ", "this device's own files: "} {
		text = removeAll(text, p)
	}
	return text
}

// removeAll removes part at the start of a text, a line, or the next link of
// a chain of errors: "wrong key: replaced" stays whole.
func removeAll(text, part string) string {
	text = strings.TrimPrefix(text, part)
	text = strings.ReplaceAll(text, ": "+part, ": ")
	return strings.ReplaceAll(text, "\n"+part, "\n")
}

// pathExists says whether there is anything at path, a broken link included.
func pathExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
