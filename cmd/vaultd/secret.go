package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

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
			return nil, command.Fail(command.Failed, "the two are not the same; nothing was done", "begin again")
		}
	}
	return newSecret(what, text)
}

func newSecret(what string, text []byte) (*anchor.Secret, error) {
	s, err := anchor.NewSecret(text)
	if err != nil {
		return nil, command.Usage(what+": "+err.Error(), "nothing was done; begin again")
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
func (a *app) unseen(what string) (text []byte, err error) {
	defer fmt.Fprintln(a.Err) // when the terminal is as it was
	if f, ok := a.in.(*os.File); ok {
		// Before it asks: who answers at once is not shown either.
		shows, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return nil, fmt.Errorf("hiding %s: %w", what, err)
		}
		defer term.Restore(int(f.Fd()), shows)
	}
	fmt.Fprintf(a.Err, "%s: ", what)
	if text, err = typed(a.in); err != nil {
		clear(text)
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return text, nil
}

const (
	keyInterrupt = 'C' & 0x1f
	keyEnd       = 'D' & 0x1f
	keyKill      = 'U' & 0x1f
	keyBackspace = 'H' & 0x1f
	keyDelete    = 0x7f
)

// typed reads a line as a terminal gives it that does nothing itself, with the keys that
// correct or end it. The caller wipes it; it is never moved, so that this wipes all of it.
func typed(in io.Reader) ([]byte, error) {
	line := make([]byte, 0, maxTyped)
	var b [1]byte
	defer clear(b[:])
	for {
		switch n, err := in.Read(b[:]); {
		case n == 0 && errors.Is(err, io.EOF):
			return line, nil
		case n == 0 && err != nil:
			return line, err
		case n == 0:
			continue
		}
		switch b[0] {
		case '\r', '\n', keyEnd:
			return line, nil
		case keyInterrupt:
			return line, errInterrupted
		case keyKill:
			clear(line)
			line = line[:0]
		case keyBackspace, keyDelete:
			_, last := utf8.DecodeLastRune(line)
			clear(line[len(line)-last:])
			line = line[:len(line)-last]
		default:
			if len(line) == maxTyped {
				return line, errors.New("it is too long")
			}
			line = append(line, b[0])
		}
	}
}
