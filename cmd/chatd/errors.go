package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
)

// exit is one way a command can end. Scripts rely on the numbers: they never
// change their meaning, and agree with keepsake's and vaultd's where they mean
// the same.
type exit struct {
	code    int
	meaning string
}

var (
	exitDone     = exit{0, "done"}
	exitFailed   = exit{1, "another failure"}
	exitUsage    = exit{2, "the command line is wrong"}
	exitConfig   = exit{3, "the configuration is wrong, or an insecure choice is not accepted in it"}
	exitNotFound = exit{4, "no such file or folder"}
	exitDamaged  = exit{5, "the audit log is damaged"}
	exitNoRoom   = exit{10, "no room or no permission"}
	exitExists   = exit{13, "something is there already"}
)

func writeExits(w io.Writer) {
	fmt.Fprintln(w, "\nExit codes:")
	for _, e := range []exit{exitDone, exitFailed, exitUsage, exitConfig, exitNotFound, exitDamaged, exitNoRoom, exitExists} {
		fmt.Fprintf(w, "  %3d  %s\n", e.code, e.meaning)
	}
}

// failure is how a command ends when it does not end well.
type failure struct {
	exit    exit
	message string
	hint    string
}

// Error gives the message.
func (f *failure) Error() string { return f.message }

func usage(message, hint string) error { return &failure{exitUsage, message, hint} }

func configError(message, hint string) error { return &failure{exitConfig, message, hint} }

// explain says how to end after err.
func explain(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	f := &failure{exitFailed, err.Error(), ""}
	switch {
	case errors.Is(err, fs.ErrExist):
		f.exit, f.hint = exitExists, "nothing was changed; choose another folder"
	case errors.Is(err, fs.ErrNotExist):
		f.exit, f.hint = exitNotFound, "paths in chatd.toml are relative to that file"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS):
		f.exit = exitNoRoom
	case errors.Is(err, syscall.EADDRINUSE):
		f.hint = "is chatd running already, or another server at that address?"
	}
	return f
}

// oneLine keeps what a terminal would obey out of a message.
func oneLine(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r == '\n' {
			out[i] = ' '
		} else if r < 0x20 || r >= 0x7f && r < 0xa0 {
			out[i] = '?'
		}
	}
	return string(out)
}
