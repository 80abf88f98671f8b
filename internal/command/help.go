package command

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

func (p *Program[A, O]) help(w io.Writer) {
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s COMMAND\n\nCommands:\n", p.Help, p.Name)
	p.list(w, p.Commands, 1)
	fmt.Fprintf(w, "\nMore about a command: %s help COMMAND\n", p.Name)
	p.exits(w)
}

// list prints commands by their first words, so many; those that begin alike are a group and
// one line, with the first sentence of what Groups says of them.
func (p *Program[A, O]) list(w io.Writer, commands []Command[A, O], words int) {
	var names, texts []string
	width := 0
	for _, c := range commands {
		name, text := c.Name, c.Short
		if parts := strings.Fields(name); len(parts) > words {
			name = strings.Join(parts[:words], " ")
			text, _, _ = strings.Cut(p.Groups[name], "\n")
		}
		if len(names) > 0 && names[len(names)-1] == name {
			continue
		}
		names, texts = append(names, name), append(texts, text)
		width = max(width, len(name))
	}
	for i, name := range names {
		fmt.Fprintf(w, "  %-*s  %s\n", width, name, texts[i])
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
		for i, line := range Wrap(text, 76-30) {
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

// Wrap breaks a text into lines of at most width bytes where it has blanks; a longer word
// has a line of its own.
func Wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
