package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"keepsake.example/internal/cli"
	"keepsake.example/internal/durable"
	"keepsake.example/key"
)

// delivery is how a new key reaches the person.
type delivery struct {
	show bool   // --key: on the terminal, typed back
	out  string // --key-out: a file, or - for standard output
}

// shows reports whether the key is shown and typed back: where a file has it too, only if there is a terminal.
func (d delivery) shows(a *app) bool { return d.show && (d.out == "" || a.asks()) }

func (d delivery) check(a *app) error {
	switch {
	case d.out == "-" && a.json:
		return usage("--key-out - and --json both want standard output", "write the digits to a file: --key-out FILE")
	case d.out != "" && d.out != "-" && pathExists(d.out):
		return existingFile(d.out)
	case d.show && d.out == "" && !a.asks():
		return usage("--key shows the digits on a terminal, and there is none", "in a script: --key-out FILE")
	}
	return nil
}

func existingFile(path string) error {
	return usage(fmt.Sprintf("%s is there already, and a key is never written over a file", cli.Name(path)), "give --key-out a new name")
}

// deliver returns when the person has the key for good: in a file that is on the
// disk, on paper and typed back, or both.
func (a *app) deliver(ctx context.Context, k *key.Key, d delivery) error {
	if d.out != "" {
		if err := a.writeKey(k, d.out); err != nil {
			return err
		}
	}
	if !d.shows(a) {
		return nil
	}
	t, err := a.terminal()
	if err != nil {
		return err
	}
	defer t.Close()
	return teach(ctx, t, k)
}

func (a *app) writeKey(k *key.Key, path string) error {
	text := []byte(k.Digits() + "\n")
	defer clear(text)
	if path == "-" {
		_, err := a.out.Write(text)
		return err
	}
	err := durable.CreateExclusive(path, text, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return existingFile(path)
	}
	if err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	a.msg.Note("the 64 digits are in %s: keep that file apart from this device", cli.Name(path))
	return nil
}

const warningText = `
Write these digits on paper now, and keep the paper apart from this device.

Whoever has them and the cloud folder can read your backup. When this device and the
digits are lost, and there is no password or it is forgotten, the backup is lost:
nobody can help, not the cloud and not the makers of Keepsake.

`

// teach shows the key until it is written down, erases it, and asks for it, so
// that what is on the paper is known to be right.
func teach(ctx context.Context, t *cli.Terminal, k *key.Key) error {
	if err := showKey(ctx, t, k, "Your 64 digits\n", warningText, "Press Enter when they are on paper. They are erased then, and asked for. "); err != nil {
		return err
	}
	for {
		ok, err := typedBack(ctx, t, k)
		if ok || err != nil {
			return err
		}
		t.Print("Look at your paper, and correct it if it is wrong.\n")
		answer, err := t.Ask(ctx, "Press Enter to type them again, or s and Enter to see them once more: ")
		if err != nil {
			return err
		}
		if strings.EqualFold(answer, "s") {
			if err := showKey(ctx, t, k, "Your 64 digits, once more\n", "\n", "Press Enter when your paper is right. "); err != nil {
				return err
			}
		}
	}
}

// typedBack asks for the digits and says what is wrong with the answer.
func typedBack(ctx context.Context, t *cli.Terminal, k *key.Key) (bool, error) {
	text, err := t.Digits(ctx, "Now type them from the paper. Tab shows what you type.")
	if err != nil {
		return false, err
	}
	defer clear(text)
	d, err := key.ParseDigits(text)
	if err != nil {
		t.Print("%s.\n", plain(err))
		return false, nil
	}
	defer d.Wipe()
	typed, err := d.Key()
	if err == nil && typed.Equal(k) {
		typed.Wipe()
		t.Print("The digits are right.\n")
		return true, nil
	}
	same := func(candidate *[key.Size]byte) bool {
		other := key.FromBytes(*candidate)
		defer other.Wipe()
		return other.Equal(k)
	}
	if slip, ok := key.FindSlip(ctx, d, same); ok {
		defer slip.Key.Wipe()
		t.Print("Not quite: %s.\n", slip)
	} else if err != nil {
		t.Print("%s.\n", plain(err))
	} else {
		t.Print("These are other digits; more than two are wrong.\n")
	}
	return false, nil
}

// showKey shows the digits on a screen of their own, and erases them after Enter.
func showKey(ctx context.Context, t *cli.Terminal, k *key.Key, before, after, question string) error {
	var b strings.Builder
	io.WriteString(&b, before+"\n")
	groups := strings.Fields(k.Digits())
	for row := range 4 {
		fmt.Fprintf(&b, "%s  %s\n", cli.RowLabel(row), strings.Join(groups[4*row:4*row+4], " "))
	}
	b.WriteString(after)
	return t.Show(ctx, b.String(), question)
}
