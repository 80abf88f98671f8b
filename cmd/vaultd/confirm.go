package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"keepsake.example/internal/command"
)

// maxTyped is how much of an answer is read, in bytes.
const maxTyped = 256

// confirm has a person type want, after having read what stands above. With yes nothing is
// asked; without a person to ask it is refused.
func (a *app) confirm(yes bool, question, want string) error {
	return a.confirmWith(yes, question, want, want)
}

// confirmWith is confirm with a description of what is to be typed, where that is to
// be read elsewhere.
func (a *app) confirmWith(yes bool, question, description, want string) error {
	if yes {
		return nil
	}
	nobody := command.Usage("nobody to ask: this is no terminal", "read what is shown above, then add --yes")
	if a.in == nil {
		return nobody
	}
	fmt.Fprintf(a.Err, "%s\ntype %s to go on: ", question, description)
	line, err := readLine(a.in)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if line == "" {
		fmt.Fprintln(a.Err)
		return nobody
	}
	if strings.TrimSpace(line) != want {
		return command.Fail(command.Failed, "not confirmed; nothing was done", "read what is shown above, and begin again")
	}
	return nil
}

// readLine reads no further than the line's end: what is typed ahead is for the next question.
func readLine(in io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < maxTyped {
		n, err := in.Read(b[:])
		if n == 1 {
			if line = append(line, b[0]); b[0] == '\n' {
				break
			}
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return "", err
		}
	}
	return string(line), nil
}
