package main

import (
	"io/fs"
	"syscall"

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
	{Is: fs.ErrPermission, Exit: command.NoRoom},
	{Is: syscall.ENOSPC, Exit: command.NoRoom},
	{Is: syscall.EROFS, Exit: command.NoRoom},
	{Is: syscall.EADDRINUSE, Exit: command.Failed, Hint: "is chatd running already, or another server at that address?"},
}

func explain(err error) *command.Failure { return command.Explain(err, explanations) }
