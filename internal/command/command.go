// Package command is what the servers' programs have in common: commands with flags, help that
// teaches, errors with a hint, exit codes that scripts can rely on, and settings in a commented
// file. It prints and reads what it is told to; it links nothing of the programs.
//
// Results go to standard output, one JSON object with --json where a program has that; all else
// goes to standard error, behind the program's name. No message can make a terminal do anything.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// A Program is a set of commands. A is one run of it, O the flags of all commands.
type Program[A, O any] struct {
	Name     string
	Help     string // what it is, and how to begin
	Commands []Command[A, O]
	// Groups say what the commands of a group are for, by the words they begin with;
	// lists show a group as one line.
	Groups  map[string]string
	Exits   []Exit                   // in the order in which help lists them
	Explain func(err error) *Failure // how a run ends that ended with err, which is no Failure
	JSON    bool                     // each command has --json
	Flags   func(io.Writer, *flag.FlagSet)
	// Arguments gives a command what is left when its flags are taken away.
	Arguments func(o *O, args []string)
}

// A Command is one of a program's commands. Its name can be of several words; then the words
// before the last name a group.
type Command[A, O any] struct {
	Name  string
	Args  string // names of its arguments; "FILE..." is one or more
	Short string // for the list of commands
	Long  string
	// Example is whole lines, indented by two blanks; "" for none.
	Example string
	Flags   func(*flag.FlagSet, *O)
	Run     func(*A, context.Context, *O) error
}

// Run runs the command that args name and returns the exit code of the process.
func (p *Program[A, O]) Run(ctx context.Context, out *Output, a *A, args []string) int {
	out.program = p.Name
	err := p.dispatch(ctx, out, a, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return Done.Code
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		f = p.Explain(err)
	}
	out.fail(f)
	return f.Exit.Code
}

func (p *Program[A, O]) dispatch(ctx context.Context, out *Output, a *A, args []string) error {
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" && len(args) == 1 {
		p.help(out.Out)
		return nil
	}
	if args[0] == "help" {
		args = append(append([]string{}, args[1:]...), "-h")
	}
	for n := min(len(args), 3); n > 0; n-- {
		for _, c := range p.Commands {
			if c.Name == strings.Join(args[:n], " ") {
				return p.run(ctx, out, a, c, args[n:])
			}
		}
	}
	return p.group(out.Out, args)
}

// group lists the commands of a group, or says that there is none of the name.
func (p *Program[A, O]) group(w io.Writer, args []string) error {
	var words []string
	for _, word := range args {
		if strings.HasPrefix(word, "-") {
			break
		}
		words = append(words, word)
	}
	name := strings.Join(words, " ")
	var in []Command[A, O]
	for _, c := range p.Commands {
		if strings.HasPrefix(c.Name, name+" ") {
			in = append(in, c)
		}
	}
	if name == "" {
		return Usage(fmt.Sprintf("%q is a flag, and no command", args[0]), "the command comes first; see: "+p.Name+" help")
	}
	if len(in) == 0 {
		return Usage(fmt.Sprintf("unknown command %q", name), "see: "+p.Name+" help")
	}
	if text := p.Groups[name]; text != "" {
		fmt.Fprintf(w, "%s\n\n", text)
	}
	fmt.Fprintln(w, "Commands:")
	p.list(w, in, len(words)+1)
	fmt.Fprintf(w, "\nMore about a command: %s help COMMAND\n", p.Name)
	return nil
}

// run parses the flags, before and after the arguments, and runs.
func (p *Program[A, O]) run(ctx context.Context, out *Output, a *A, c Command[A, O], args []string) error {
	o := new(O)
	set := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if p.JSON {
		set.BoolVar(&out.JSON, "json", false, "print the result as one JSON object")
	}
	if c.Flags != nil {
		c.Flags(set, o)
	}
	see := "see: " + p.Name + " help " + c.Name
	var plain []string
	for {
		if err := set.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				p.commandHelp(out.Out, c, set)
				return err
			}
			return Usage(err.Error(), see)
		}
		if set.NArg() == 0 {
			break
		}
		plain = append(plain, set.Arg(0))
		args = set.Args()[1:]
	}
	want := len(strings.Fields(c.Args))
	if more := strings.HasSuffix(c.Args, "..."); len(plain) < want || len(plain) > want && !more {
		return Usage(fmt.Sprintf("%s takes %d arguments, not %d", c.Name, want, len(plain)), see)
	}
	p.Arguments(o, plain)
	return c.Run(a, ctx, o)
}
