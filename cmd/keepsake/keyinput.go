package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/key"
)

// maxTries is how often the digits are asked for at a terminal.
const maxTries = 3

// keyInput is where the digits of an existing backup come from.
type keyInput struct {
	file  string // --key-file; "" asks at the terminal
	cloud string // the backup they belong to; "" for the profile's
}

// readKey reads the key and makes sure that it is the right one, so that
// everything after can take it for granted. The caller wipes it.
func (a *app) readKey(ctx context.Context, c *client.Client, in keyInput) (*key.Key, error) {
	if in.file != "" {
		return a.keyFromFile(ctx, c, in)
	}
	if !a.asks() {
		return nil, usage("the 64 digits are needed, and there is no terminal to ask at", "give them with --key-file FILE, or --key-file - for standard input")
	}
	t, err := a.terminal()
	if err != nil {
		return nil, err
	}
	defer t.Close()
	for try := 1; ; try++ {
		k, err := a.askKey(ctx, c, in, t)
		if err == nil || !isSlip(err) || try == maxTries {
			return k, err
		}
		f := explain(err)
		t.Print("keepsake: %s\n", f.message)
	}
}

// isSlip says whether it makes sense to ask again.
func isSlip(err error) bool {
	if _, ok := errors.AsType[*key.DigitError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*key.LengthError](err); ok {
		return true
	}
	return errors.Is(err, backup.ErrWrongKey)
}

func (a *app) keyFromFile(ctx context.Context, c *client.Client, in keyInput) (*key.Key, error) {
	text, err := a.readKeyFile(in.file)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	d, err := key.ParseDigits(text)
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	k, slip, err := a.tryDigits(ctx, c, in.cloud, d)
	if slip == nil {
		return k, err
	}
	defer slip.Key.Wipe()
	// Not the digit itself: this goes to logs. Nor is the right key
	// used: a script whose file is wrong should learn it.
	return nil, &failure{
		cli.WrongKey,
		fmt.Sprintf("these are not the digits of this backup, but nearly: %s at digit %d", slip.Kind, slip.Fixes[0].Position),
		"see what to correct with: keepsake key check, at a terminal",
	}
}

func (a *app) readKeyFile(path string) ([]byte, error) {
	var r io.Reader = a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading the key file: %w", err)
		}
		defer f.Close()
		r = f
	}
	// One byte more than a key can have: ParseDigits refuses that by itself. The
	// buffer never grows, so that no copy is left behind.
	text := make([]byte, key.MaxText+1)
	n, err := io.ReadFull(r, text)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		clear(text)
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	return text[:n], nil
}

// tryDigits gives the key, or the slip that was found instead, or why the digits are
// wrong.
func (a *app) tryDigits(ctx context.Context, c *client.Client, cloud string, d key.Digits) (*key.Key, *key.Slip, error) {
	k, err := d.Key()
	if err == nil {
		if err = c.CheckKey(ctx, cloud, k); err == nil {
			return k, nil, nil
		}
		k.Wipe()
	}
	if !isSlip(err) || isReplaced(err) {
		return nil, nil, err
	}
	if slip, ok := c.FindSlip(ctx, cloud, d); ok {
		return nil, slip, nil
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return nil, nil, err
}

func isReplaced(err error) bool {
	e, ok := errors.AsType[*backup.WrongKeyError](err)
	return ok && !e.ReplacedAt.IsZero()
}

// askKey asks once. A slip is shown, and the right key used if the person says so.
func (a *app) askKey(ctx context.Context, c *client.Client, in keyInput, t *cli.Terminal) (*key.Key, error) {
	text, err := t.Digits(ctx, "Type the 64 digits of the backup. Tab shows what you type.")
	if err != nil {
		return nil, err
	}
	defer clear(text)
	d, err := key.ParseDigits(text)
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	k, slip, err := a.tryDigits(ctx, c, in.cloud, d)
	if slip == nil {
		return k, err
	}
	t.Print("Not quite: %s.\n", slip)
	ok, err := t.Confirm(ctx, "Go on with the digits corrected so?")
	if err == nil && !ok {
		err = errDeclined
	}
	if err != nil {
		slip.Key.Wipe()
		return nil, err
	}
	t.Print("Correct your paper too.\n")
	return slip.Key, nil
}
