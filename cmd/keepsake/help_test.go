package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// runHere runs the command in this process.
func runHere(ctx context.Context, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	err := run(ctx, args, stdio{in: strings.NewReader(""), out: &o, err: &e, env: func(string) string { return "" }})
	return exitCode(err), o.String(), e.String()
}

func everyCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		if c.Name() != "completion" && c.Name() != "help" {
			everyCommand(c, f)
		}
	}
}

// The help of every command and topic is in testdata/help; UPDATE=1 writes it.
func TestHelpIsGolden(t *testing.T) {
	root := (&app{}).root()
	seen := map[string]bool{}
	everyCommand(root, func(cmd *cobra.Command) {
		args := strings.Fields(cmd.CommandPath())[1:]
		code, out, errs := runHere(context.Background(), append(args, "-h")...)
		if code != 0 || errs != "" {
			t.Errorf("%s: code %d, %q", cmd.CommandPath(), code, errs)
		}
		path := filepath.Join("testdata", "help", strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".txt")
		seen[path] = true
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || out != string(want) {
			t.Errorf("help of %s is not %s (%v); run with UPDATE=1 and look at the difference:\n%s", cmd.CommandPath(), path, err, out)
		}
	})
	files, err := filepath.Glob("testdata/help/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if !seen[path] {
			t.Errorf("%s is of no command", path)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	everyCommand((&app{}).root(), func(cmd *cobra.Command) {
		_, out, _ := runHere(context.Background(), append(strings.Fields(cmd.CommandPath())[1:], "-h")...)
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q", cmd.CommandPath(), cmd.Short)
		}
		for line := range strings.Lines(out) {
			if len([]rune(line)) > 86 {
				t.Errorf("%s: a line of %d columns: %s", cmd.CommandPath(), len([]rune(line)), line)
			}
			if strings.Contains(line, "!") {
				t.Errorf("%s: exclamation: %s", cmd.CommandPath(), line)
			}
		}
		if isTopic(cmd) {
			return
		}
		for _, part := range []string{"Usage:\n", "Exit codes:\n", "  130  interrupted\n"} {
			if !strings.Contains(out, part) {
				t.Errorf("%s: no %q in its help", cmd.CommandPath(), part)
			}
		}
		if cmd.HasFlags() && !cmd.HasSubCommands() && cmd.Name() != "version" && cmd.Example == "" {
			t.Errorf("%s: no example", cmd.CommandPath())
		}
	})
}

// regressions.md "Help text names another environment variable than the code
// reads": every flag is of the table, and every row of the table is a flag.
func TestFlagsAreThoseOfTheTable(t *testing.T) {
	used := map[string]bool{}
	everyCommand((&app{}).root(), func(cmd *cobra.Command) {
		see := func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			used[f.Name] = true
			if s := specOf(f.Name); f.Usage != s.help || f.Shorthand != s.short {
				t.Errorf("%s --%s differs from the table", cmd.CommandPath(), f.Name)
			}
		}
		cmd.Flags().VisitAll(see)
		cmd.PersistentFlags().VisitAll(see)
	})
	for _, s := range flagTable {
		if !used[s.name] {
			t.Errorf("--%s of the table is a flag of no command", s.name)
		}
	}
}

// Every environment variable that help names is read, and no other is.
func TestEnvironment(t *testing.T) {
	asked := map[string]bool{}
	env := func(name string) string {
		asked[name] = true
		return ""
	}
	var o, e bytes.Buffer
	run(context.Background(), []string{"status", "--profile", ""}, stdio{in: strings.NewReader(""), out: &o, err: &e, env: env})
	run(context.Background(), []string{"status"}, stdio{in: strings.NewReader(""), out: &o, err: &e, env: env})
	run(context.Background(), []string{"prune", "--profile", t.TempDir()}, stdio{in: strings.NewReader(""), out: &o, err: &e, env: env})
	for _, s := range flagTable {
		if s.env == "" {
			continue
		}
		if !asked[s.env] {
			t.Errorf("%s is in the table and not read", s.env)
		}
		_, help, _ := runHere(context.Background(), "prune", "-h")
		if !strings.Contains(help, "["+s.env+"]") {
			t.Errorf("%s is read and not in the help", s.env)
		}
		delete(asked, s.env)
	}
	for name := range asked {
		t.Errorf("%s is read and not in the table", name)
	}
}

func makeChats(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
}
