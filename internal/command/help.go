package command

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

func (p *Program[A, O]) help(w io.Writer) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s COMMAND\n\nCommands:\n", p.Help, p.Name)
	list(w, p.Commands)
	fmt.Fprintf(w, "\nMore about a command: %s help COMMAND\n", p.Name)
	p.exits(w)
}

func list[A, O any](w io.Writer, commands []Command[A, O]) {
	width := 0
	for _, c := range commands {
		width = max(width, len(c.Name))
	}
	for _, c := range commands {
		fmt.Fprintf(w, "  %-*s  %s\n", width, c.Name, c.Short)
	}
}

func (p *Program[A, O]) commandHelp(w io.Writer, c Command[A, O], set *flag.FlagSet) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s", c.Long, strings.TrimSpace(p.Name+" "+c.Name+" "+c.Args))
	if p.JSON {
		fmt.Fprint(w, " [flags]")
	}
	fmt.Fprintln(w)
	if c.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", c.Example)
	}
	any := false
	set.VisitAll(func(*flag.Flag) { any = true })
	if any {
		fmt.Fprintln(w, "\nFlags:")
		p.Flags(w, set)
	}
	p.exits(w)
}

func (p *Program[A, O]) exits(w io.Writer) {
	fmt.Fprintln(w, "\nExit codes:")
	for _, e := range p.Exits {
		fmt.Fprintf(w, "  %3d  %s\n", e.Code, e.Meaning)
	}
}

// describe is a flag's name with its value, and its text with the default.
func describe(f *flag.Flag) (name, text string) {
	value, text := flag.UnquoteUsage(f)
	if f.DefValue != "" && f.DefValue != "false" {
		text += " (" + f.DefValue + ")"
	}
	return strings.TrimSpace("--" + f.Name + " " + value), text
}

// Columns prints flags with their texts beside them, as many lines as a text needs.
func Columns(w io.Writer, set *flag.FlagSet) {
	set.VisitAll(func(f *flag.Flag) {
		name, text := describe(f)
		for i, line := range wrap(text, 76-30) {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(w, "  %-28s  %s\n", name, line)
		}
	})
}

// Lines prints flags with their texts below them, one line each.
func Lines(w io.Writer, set *flag.FlagSet) {
	set.VisitAll(func(f *flag.Flag) {
		name, text := describe(f)
		fmt.Fprintf(w, "  %s\n      %s\n", name, text)
	})
}

// wrap breaks a text into lines of at most width bytes where it has blanks.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
