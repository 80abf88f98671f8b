package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/command"
)

type app struct {
	command.Output
	did string
}

type options struct {
	loud bool
	args []string
}

var errDeep = errors.New("deep inside")

// program answers with what it was told to do.
func program() *command.Program[app, options] {
	do := func(a *app, _ context.Context, o *options) error {
		a.did = fmt.Sprint(o.args, o.loud)
		return a.Emit(map[string]any{"args": o.args}, func(w io.Writer) { fmt.Fprintln(w, "done") })
	}
	loud := func(f *flag.FlagSet, o *options) { f.BoolVar(&o.loud, "loud", false, "say it `LOUD`ly") }
	return &command.Program[app, options]{
		Name: "prog", Help: "prog does things.", Exits: []command.Exit{command.Done, command.Failed}, JSON: true, Flags: command.Columns,
		Commands: []command.Command[app, options]{
			{Name: "do", Args: "THING", Short: "do one thing", Long: "Does one thing.", Flags: loud, Run: do},
			{Name: "all", Args: "THING...", Short: "do all", Long: "Does all.", Example: "  prog all a b", Run: do},
			{Name: "key make", Args: "FILE", Short: "make a key", Long: "Makes a key.", Run: do},
			{Name: "key show", Short: "show keys", Long: "Shows keys.", Run: do},
			{Name: "fail", Short: "fail", Long: "Fails.", Run: func(*app, context.Context, *options) error {
				return fmt.Errorf("doing it\n\x1b[2J: %w", errDeep)
			}},
		},
		Groups:    map[string]string{"key": "make and show keys\nand nothing else"},
		Explain:   func(err error) *command.Failure { return command.Explain(err, explanations) },
		Arguments: func(o *options, args []string) { o.args = args },
	}
}

var explanations = []command.Explanation{{Is: errDeep, Exit: command.NoRoom, Hint: "go up"}}

func run(args ...string) (code int, did, out, errs string) {
	var o, e bytes.Buffer
	a := &app{Output: command.Output{Out: &o, Err: &e}}
	code = program().Run(context.Background(), &a.Output, a, args)
	return code, a.did, o.String(), e.String()
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		args      string
		code      int
		did, says string
	}{
		{"do x", 0, "[x] false", "done"},
		{"do x --loud", 0, "[x] true", "done"},
		{"do --loud x", 0, "[x] true", "done"},
		{"do", 2, "", "do takes 1 arguments, not 0"},
		{"do x y", 2, "", "do takes 1 arguments, not 2"},
		{"do x --fly", 2, "", "see: prog help do"},
		{"all a b c", 0, "[a b c] false", "done"},
		{"all", 2, "", "all takes 1 arguments, not 0"},
		{"key make f", 0, "[f] false", "done"},
		{"key show x", 2, "", "see: prog help key show"},
		{"key", 0, "", "make and show keys\nand nothing else\n\nCommands:\n  key make  make a key\n  key show"},
		{"help", 0, "", "\n  all   do all\n  key   make and show keys\n  fail  fail\n"},
		{"key --help", 0, "", "key show"},
		{"key lose", 2, "", `unknown command "key lose"`},
		{"help key make", 0, "", "Makes a key."},
		{"help key", 0, "", "More about a command: prog help COMMAND"},
		{"fly", 2, "", `unknown command "fly"`},
		{"--fly do x", 2, "", `"--fly" is a flag, and no command`},
		{"fail", 10, "", "prog: error: doing it ?[2J: deep inside\nprog: hint: go up\n"},
		{"", 0, "", "Exit codes:"},
		{"help", 0, "", "prog does things."},
		{"help do", 0, "", "--loud LOUD"},
		{"all -h", 0, "", "Examples:\n  prog all a b"},
		{"do x --json", 0, "[x] false", `"args"`},
	} {
		code, did, out, errs := run(strings.Fields(tt.args)...)
		if code != tt.code || did != tt.did || !strings.Contains(out+errs, tt.says) {
			t.Errorf("prog %s: %d, did %q\n%s%s", tt.args, code, did, out, errs)
		}
		if (errs != "") != (code != 0) {
			t.Errorf("prog %s: exit %d, and on standard error %q", tt.args, code, errs)
		}
	}
}

func TestFailureAsJSON(t *testing.T) {
	_, _, out, _ := run("fail", "--json")
	var got struct {
		Error struct {
			Code, Message, Hint string
			Exit                int
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Error.Code != "no-room" || got.Error.Exit != 10 || got.Error.Hint != "go up" {
		t.Errorf("%s, %v", out, err)
	}
}

// What an error says cannot make a terminal do anything.
func TestMessagesAreOneLine(t *testing.T) {
	if got := command.OneLine("a\nb\x1b[2Jc\u009b \u202e1\u2069"); got != "a b?[2Jc? ?1?" {
		t.Errorf("printed as %q", got)
	}
}

func TestDurationText(t *testing.T) {
	for in, want := range map[time.Duration]string{20 * time.Millisecond: "20ms", time.Hour: "1h", 168 * time.Hour: "168h", 90 * time.Second: "1m30s", 5 * time.Minute: "5m", 0: "0s"} {
		if got := command.Duration(in).String(); got != want {
			t.Errorf("%v is written %q, want %q", in, got, want)
		}
	}
}

type settings struct {
	Name  string           `toml:"name"`
	Names []string         `toml:"names"`
	Wait  command.Duration `toml:"wait"`
}

func parse(text []byte) (*settings, error) {
	var s settings
	return &s, command.DecodeSettings(text, &s)
}

// What a template writes is read as it was, whatever is in it; what is not known is refused.
func TestSettings(t *testing.T) {
	tmpl := command.SettingsTemplate("x.toml", "name = {{quote .Name}}\nnames = {{list .Names}}\nwait = \"{{.Wait}}\"\n")
	in := settings{"a \"b\"\n\\", []string{"x", "y'\""}, command.Duration(90 * time.Second)}
	var out *settings
	text, err := command.WriteSettings(tmpl, in, func(text []byte) (err error) { out, err = parse(text); return err })
	if err != nil || out.Name != in.Name || strings.Join(out.Names, "|") != strings.Join(in.Names, "|") || out.Wait != in.Wait {
		t.Errorf("%s: %+v, %v", text, out, err)
	}
	for _, bad := range []string{"nam = 'x'", "wait = 20", "wait = '20'", "name = 'x'\nname = 'y'", "=="} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	file := filepath.Join(t.TempDir(), "x.toml")
	write := func(text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte("nam = 'x'"))
	_, err = command.ReadSettings(file, "prog init", parse)
	if f, ok := errors.AsType[*command.Failure](err); !ok || f.Exit != command.Config || !strings.Contains(f.Hint, "prog init") {
		t.Error(err)
	}
	write(make([]byte, command.MaxSettings+1))
	if _, err := command.ReadSettings(file, "prog init", parse); err == nil || !strings.Contains(err.Error(), "over") {
		t.Error(err)
	}
}

// A file says how long it is, and a pipe or a device does not: none is read to its end that has none.
func TestReadFileIsBounded(t *testing.T) {
	endless := "/dev/zero"
	if _, err := os.Stat(endless); err != nil {
		return // there is none on this system
	}
	read := make(chan error, 1)
	go func() {
		_, err := command.ReadFile(endless, 1000)
		read <- err
	}()
	select {
	case err := <-read:
		if !errors.Is(err, command.ErrTooLong) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is still being read")
	}
	file := filepath.Join(t.TempDir(), "x")
	for _, size := range []int{0, 1, 999, 1000, 1001} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := command.ReadFile(file, 1000); (err != nil) != (size > 1000) || err == nil && len(got) != size {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
}

func TestNewFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for range 2 { // made, and then empty
		if got, err := command.NewFolder(dir, "elsewhere"); err != nil || got != dir {
			t.Fatal(got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := command.NewFolder(dir, "elsewhere")
	if f, ok := errors.AsType[*command.Failure](err); !ok || f.Exit != command.Exists || f.Hint != "elsewhere" {
		t.Error(err)
	}
}
