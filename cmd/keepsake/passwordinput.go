package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/password"
)

// readSmall reads a file, or standard input for -, that holds one line.
func (a *app) readSmall(path, what string) ([]byte, error) {
	var r io.Reader = a.in
	if path != "-" {
		if err := client.CheckPrivate(path); err != nil {
			return nil, &failure{cli.Usage, "the file with " + what + ": " + plain(err), ""}
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", what, err)
		}
		defer f.Close()
		r = f
	}
	// The buffer never grows, so that no copy is left behind.
	text := make([]byte, password.MaxTyped+2)
	n, err := io.ReadFull(r, text)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		clear(text)
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	return text[:n], nil
}

// passwordFrom reads a password from a file: all of it but one line end.
func (a *app) passwordFrom(path string) (*password.Password, error) {
	text, err := a.readSmall(path, "the password")
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return password.Prepare(bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")))
}

const needsTerminal = "the password is needed, and there is no terminal to ask at"

// enterPassword asks for the password that is set. It is not judged: it is what it is.
func (a *app) enterPassword(ctx context.Context, file string) (*password.Password, error) {
	if file != "" {
		return a.passwordFrom(file)
	}
	if !a.asks() {
		return nil, usage(needsTerminal, "give it in a file that only you can read: --password-file FILE; - is standard input")
	}
	t, err := a.terminal()
	if err != nil {
		return nil, err
	}
	defer t.Close()
	return typePassword(ctx, t, "The password of the backup: ")
}

func typePassword(ctx context.Context, t *cli.Terminal, question string) (*password.Password, error) {
	typed, err := t.Password(ctx, question)
	if err != nil {
		return nil, err
	}
	defer clear(typed)
	return password.Prepare(typed)
}

// newPassword gets a password that is to be set, and judges it.
func (a *app) newPassword(ctx context.Context, file string, about ...string) (*password.Password, error) {
	if file != "" {
		p, err := a.passwordFrom(file)
		if err != nil {
			return nil, err
		}
		if v := password.Judge(p, about...); !v.OK {
			p.Wipe()
			return nil, weak(v)
		}
		return p, nil
	}
	if !a.asks() {
		return nil, usage(needsTerminal, "give it in a file that only you can read: --password-file FILE; - is standard input")
	}
	t, err := a.terminal()
	if err != nil {
		return nil, err
	}
	defer t.Close()
	t.Print("%s", choosingText)
	for {
		p, err := a.choosePassword(ctx, t, about)
		if p != nil || err != nil {
			return p, err
		}
	}
}

func weak(v password.Verdict) error {
	return &failure{cli.Usage, "this password is too easy to guess: " + v.Reason, v.Hint}
}

const choosingText = `
Choose a password for the backup. Ten wrong ones destroy the key for good, so that
nobody can try them all; what you choose must not be among the first ten that
somebody who knows you would try. Nothing is shown while you type.

`

// choosePassword asks once, and once more; nil without an error means again.
func (a *app) choosePassword(ctx context.Context, t *cli.Terminal, about []string) (*password.Password, error) {
	p, err := typePassword(ctx, t, "New password: ")
	if errors.Is(err, password.ErrUnusable) {
		t.Print("%s.\n", plain(err))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := password.Judge(p, about...)
	if !v.OK {
		t.Print("Too easy to guess: %s; %s.\n", v.Reason, v.Hint)
		p.Wipe()
		return nil, nil
	}
	t.Print("%s\n", strength(v))
	again, err := typePassword(ctx, t, "The same once more: ")
	if err != nil && !errors.Is(err, password.ErrUnusable) {
		p.Wipe()
		return nil, err
	}
	defer again.Wipe()
	if !p.Equal(again) {
		t.Print("The two are not the same. Once more from the start.\n")
		p.Wipe()
		return nil, nil
	}
	return p, nil
}

// strength says how good a password is that may be set.
func strength(v password.Verdict) string {
	switch {
	case v.Score >= 4:
		return "Strong."
	case v.Score == 3:
		return "Good."
	case v.Reason == "":
		return "Fair."
	}
	return "Fair: " + v.Reason + "; " + v.Hint + "."
}
