package cli

import "os"

// TerminalOn makes a Terminal of an open one: a test has no controlling terminal.
func TerminalOn(f *os.File) *Terminal {
	return &Terminal{in: f, out: f, Erases: true, input: make(chan []byte)}
}
