package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Messages prints notes, warnings, errors and hints, each line begun by the
// name of the program, so that a reader of a log knows who speaks. The zero
// value is not usable; set both fields.
type Messages struct {
	Name string
	W    io.Writer
	// Quiet drops notes. Warnings, errors and hints are always printed.
	Quiet bool
}

// Note tells what happens now; it is dropped when Quiet.
func (m Messages) Note(format string, args ...any) {
	if !m.Quiet {
		m.print("", format, args)
	}
}

// Warning tells of something the person should know though the work goes on.
func (m Messages) Warning(format string, args ...any) { m.print("warning: ", format, args) }

// Error tells why the command failed.
func (m Messages) Error(format string, args ...any) { m.print("error: ", format, args) }

// Hint tells what to do next, a command where one helps.
func (m Messages) Hint(format string, args ...any) { m.print("hint: ", format, args) }

// print writes every line of a message with the same prefix, so that a text of
// two lines cannot pass its second one off as another program's output.
func (m Messages) print(kind, format string, args []any) {
	text := printable(fmt.Sprintf(format, args...))
	for line := range strings.Lines(text) {
		fmt.Fprintf(m.W, "%s: %s%s\n", m.Name, kind, strings.TrimRight(line, "\n"))
	}
}

// printable replaces what a terminal would obey, marks that turn the order of
// what is read included. Texts hold errors of the system, with names of files
// unquoted, and what a cloud or a server says.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return '?'
		}
		return r
	}, s)
}
