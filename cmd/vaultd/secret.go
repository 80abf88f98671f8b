package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"

	"keepsake.example/anchor"
	"keepsake.example/internal/command"
)

// secret reads a device's secret: from a file that only its owner reads, or, if none is
// named, from the terminal without showing it; twice, where it is a new one. The caller
// wipes it. It is never an argument of a command: those are for all to see.
func (a *app) secret(what, file string, fresh bool) (*anchor.Secret, error) {
	if file != "" {
		return secretFile(what, file)
	}
	if a.in == nil {
		return nil, command.Usage("nobody to ask for "+what+": this is no terminal", "name a file with it: --custodian FILE")
	}
	text, err := a.unseen(what)
	defer clear(text)
	if err != nil {
		return nil, err
	}
	if fresh {
		again, err := a.unseen(what + ", again")
		defer clear(again)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(again, text) {
			return nil, command.Fail(command.Failed, "the two are not the same; nothing was done", "")
		}
	}
	return newSecret(what, text)
}

func newSecret(what string, text []byte) (*anchor.Secret, error) {
	s, err := anchor.NewSecret(text)
	if err != nil {
		return nil, command.Usage(what+": "+err.Error(), "")
	}
	return s, nil
}

// secretFile reads a secret from the one line of a file.
func secretFile(what, file string) (*anchor.Secret, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, command.Fail(command.NoRoom, fmt.Sprintf("%s can be read by others than its owner: mode %o", file, info.Mode().Perm()), "chmod 600 "+file)
	}
	text, err := command.ReadFile(file, 2*anchor.MaxSecret)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	defer clear(text)
	return newSecret(what, bytes.TrimSuffix(text, []byte("\n")))
}

// unseen asks for a line that is not shown while it is typed.
func (a *app) unseen(what string) ([]byte, error) {
	fmt.Fprintf(a.Err, "%s: ", what)
	defer fmt.Fprintln(a.Err)
	if f, ok := a.in.(*os.File); ok {
		text, err := term.ReadPassword(int(f.Fd()))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		return text, nil
	}
	line, err := readLine(a.in)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return bytes.TrimSuffix([]byte(line), []byte("\n")), nil
}
