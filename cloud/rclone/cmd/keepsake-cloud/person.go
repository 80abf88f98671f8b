package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/skratchdot/open-golang/open"

	"keepsake.example/cloud/rclone/account"
	"keepsake.example/internal/cli"
	"keepsake.example/internal/command"
)

// person is who sits at the terminal, which is opened at the first question.
type person struct {
	terminal *cli.Terminal
	err      io.Writer
}

func (p *person) open() (*cli.Terminal, error) {
	if p.terminal == nil {
		t, err := cli.OpenTerminal()
		if err != nil {
			return nil, err
		}
		t.Erases = os.Getenv("TERM") != "dumb"
		p.terminal = t
	}
	return p.terminal, nil
}

// Close gives the terminal back.
func (p *person) Close() {
	if p.terminal != nil {
		p.terminal.Close()
	}
}

// Tell shows a text at the terminal; without one it goes to standard error, as
// what it tells may be an address to open.
func (p *person) Tell(text string) {
	if t, err := p.open(); err == nil {
		t.Print("%s", fit(text, t.Width()-1))
		return
	}
	fmt.Fprint(p.err, fit(text, 95))
}

// fit breaks the lines of a text that are too long, but for those set apart by
// blanks, which hold what is to be copied. A text can be a cloud's: no terminal
// obeys what is in it.
func fit(text string, width int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		line = command.OneLine(line)
		if ended {
			line += "\n"
		}
		if len(line) <= width || strings.HasPrefix(line, "  ") {
			b.WriteString(line)
			continue
		}
		for _, part := range command.Wrap(line, width) {
			b.WriteString(part + "\n")
		}
	}
	return b.String()
}

// Ask asks.
func (p *person) Ask(ctx context.Context, question string) (string, error) {
	t, err := p.open()
	if err != nil {
		return "", err
	}
	return t.Ask(ctx, question)
}

// AskSecret asks without showing what is typed or pasted.
func (p *person) AskSecret(ctx context.Context, question string) (account.Secret, error) {
	t, err := p.open()
	if err != nil {
		return account.Secret{}, err
	}
	text, err := t.Paste(ctx, question)
	return account.NewSecret(text), err
}

// Confirm asks a question of two answers.
func (p *person) Confirm(ctx context.Context, question string) (bool, error) {
	t, err := p.open()
	if err != nil {
		return false, err
	}
	return t.Confirm(ctx, question)
}

// Browse opens the browser the system has for it.
func (p *person) Browse(address string) error { return open.Start(address) }
