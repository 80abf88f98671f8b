package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Output is where one run of a program writes. It is not for concurrent use.
type Output struct {
	Out, Err io.Writer
	JSON     bool // --json was given
	program  string
}

// Emit prints a result: as JSON, or as human does it.
func (o *Output) Emit(result any, human func(w io.Writer)) error {
	if o.JSON {
		return o.print(result)
	}
	human(o.Out)
	return nil
}

// Warn writes a line to standard error.
func (o *Output) Warn(text string) {
	fmt.Fprintf(o.Err, "%s: warning: %s\n", o.program, OneLine(text))
}

func (o *Output) fail(f *Failure) {
	fmt.Fprintf(o.Err, "%s: error: %s\n", o.program, OneLine(f.Message))
	if f.Hint != "" {
		fmt.Fprintf(o.Err, "%s: hint: %s\n", o.program, OneLine(f.Hint))
	}
	if o.JSON {
		o.print(map[string]any{"error": map[string]any{"code": f.Exit.Name, "exit": f.Exit.Code, "message": f.Message, "hint": f.Hint}})
	}
}

func (o *Output) print(v any) error {
	e := json.NewEncoder(o.Out)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// OneLine keeps what a terminal would obey out of a message, marks that turn the order of what is
// read included: errors of the system hold names of files unquoted.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '?'
		}
		return r
	}, s)
}
