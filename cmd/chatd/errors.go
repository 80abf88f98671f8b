package main

import (
	"io/fs"
	"syscall"

	"keepsake.example/chatd/audit"
	"keepsake.example/chatd/issuer"
	"keepsake.example/internal/command"
)

var (
	exitDamaged     = command.Exit{Code: 5, Name: "damaged", Meaning: "the audit log is damaged"}
	exitUnreachable = command.Exit{Code: 8, Name: "unreachable", Meaning: "chatd does not answer"}
)

var exits = []command.Exit{command.Done, command.Failed, command.Misused, command.Config, command.NotFound, exitDamaged, exitUnreachable, command.NoRoom, command.Exists}

// explanations are tried in this order.
var explanations = []command.Explanation{
	{Is: fs.ErrExist, Exit: command.Exists, Hint: "nothing was changed; choose another folder"},
	{Is: fs.ErrNotExist, Exit: command.NotFound, Hint: "paths in chatd.toml are relative to that file"},
	{Is: fs.ErrPermission, Exit: command.NoRoom, Hint: "check the permissions of that file or folder"},
	{Is: syscall.ENOSPC, Exit: command.NoRoom, Hint: "make room on the disk"},
	{Is: syscall.EROFS, Exit: command.NoRoom, Hint: "the file system takes no changes: mount it writable"},
	{Is: syscall.EISDIR, Exit: command.NotFound, Hint: "that is a folder, and a file is wanted"},
	{Is: command.ErrTooLong, Exit: command.Config, Hint: "is it the right file?"},
	{Is: issuer.ErrSettings, Exit: command.Config, Hint: "each setting is explained in the chatd.toml that chatd init makes"},
	{Is: audit.ErrDamaged, Exit: exitDamaged, Hint: "keep it, it is evidence: chatd check-audit says where. Moved away, with the full files beside it, a new log begins"},
	{Is: audit.ErrInUse, Exit: command.Failed, Hint: "is chatd running already? Each has an audit log of its own"},
	{Is: issuer.ErrStore, Exit: command.Failed, Hint: "keep it, and what lies beside it: in it are the accounts. A newer chatd may have made it; else put back a backup of it, with its issuer.secret"},
	{Is: syscall.EADDRINUSE, Exit: command.Failed, Hint: "is chatd running already, or another server at that address?"},
}

func explain(err error) *command.Failure { return command.Explain(err, explanations) }
