package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/anchor/tpm/swtpm"
	"keepsake.example/internal/mounttest"
	"keepsake.example/roster"
)

// TestScripts runs the scripts in testdata/script: whole fleets of processes, as an operator
// makes and changes them.
func TestScripts(t *testing.T) {
	keys := jwks(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("JWKS", keys)
			for i := 1; i <= 4; i++ {
				listen := freePorts(t)
				e.Setenv(fmt.Sprintf("LISTEN%d", i), listen)
				e.Setenv(fmt.Sprintf("ADMIN%d", i), must(nextPort(listen)))
				e.Setenv(fmt.Sprintf("PEER%d", i), freePort(t))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit":  cmdExit,
			"json":  cmdJSON,
			"keep":  cmdKeep,
			"await": cmdAwait,
			"lead":  cmdLead,
			"edit":  cmdEdit,
			"post":  cmdPost,
			"chip":  (&chips{byDir: map[string]*swtpm.Chip{}}).run,
			"token": cmdToken,
			"back":  cmdBack,
		},
		RequireUniqueNames: true,
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", mounttest.Port(t, 0))
}

// cmdExit runs a command that has to end with the code given: "exit 14 vaultd ...".
func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE command...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("ended with code %d, not %s", code, args[0])
	}
}

// cmdJSON checks values of the JSON on standard output, a list by its length: "json
// members=[2] members.0.name=a".
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	object := object(ts, ts.ReadFile("stdout"))
	for _, arg := range args {
		path, want, _ := strings.Cut(arg, "=")
		if got := lookup(object, path); got != want {
			ts.Fatalf("%s is %s, not %s", path, got, want)
		}
	}
}

// cmdKeep sets a variable to a value of the JSON on standard output: "keep FLEET fleet".
func cmdKeep(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], lookup(object(ts, ts.ReadFile("stdout")), args[1]))
}

func object(ts *testscript.TestScript, text string) (v any) {
	ts.Check(json.Unmarshal([]byte(text), &v))
	return v
}

func lookup(v any, path string) string {
	for _, name := range strings.Split(path, ".") {
		switch in := v.(type) {
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n >= len(in) {
				return "absent"
			}
			v = in[n]
		case map[string]any:
			v = in[name]
		default:
			return "absent"
		}
	}
	if list, ok := v.([]any); ok {
		return fmt.Sprintf("[%d]", len(list))
	}
	return fmt.Sprint(v)
}

// cmdAwait asks a vaultd how it stands until all is as given: "await a ready=true
// members=[3]". The folder is that of its configuration.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	c, err := readConfig(filepath.Join(ts.MkAbs(args[0]), "vaultd.toml"))
	ts.Check(err)
	var last string
	for range 2400 { // two minutes: the machine may be busy
		text, err := get(context.Background(), "GET", c.Admin, "/status")
		last = fmt.Sprint(string(text), err)
		if err == nil && holds(object(ts, string(text)), args[1:]) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("never %v: %s", args[1:], last)
}

// cmdLead has the first of some vaultds lead while all are up and know it, whatever elections there were: "lead a b c".
func cmdLead(ts *testscript.TestScript, neg bool, args []string) {
	var last []string
	for range 2400 { // two minutes, as above
		last = last[:0]
		var number string
		for i, name := range args {
			c, err := readConfig(filepath.Join(ts.MkAbs(name), "vaultd.toml"))
			ts.Check(err)
			text, err := get(context.Background(), "GET", c.Admin, "/status")
			if err != nil {
				last = append(last, err.Error())
				continue
			}
			st := object(ts, string(text))
			if i == 0 {
				number = lookup(st, "member")
			}
			if lookup(st, "ready") != "true" || lookup(st, "replica.leader") != number || lookup(st, "members") != fmt.Sprintf("[%d]", len(args)) || bytes.Contains(text, []byte(`"link":"down"`)) || i == 0 && bytes.Contains(text, []byte(`"active":false`)) {
				last = append(last, string(text))
			}
			if number != "" && lookup(st, "replica.role") == "leader" && i > 0 {
				_, _ = get(context.Background(), "POST", c.Admin, "/transfer?to="+number) // there is a next time
			}
		}
		if len(last) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s never leads all of %v: %v", args[0], args, last)
}

func holds(v any, wanted []string) bool {
	for _, arg := range wanted {
		path, want, _ := strings.Cut(arg, "=")
		if lookup(v, path) != want {
			return false
		}
	}
	return true
}

// cmdEdit changes a word in a file: "edit change.txt 'member 3' 'member 2'".
func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("no %q in %s", args[1], args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

// cmdPost hands a file of a change to a vaultd as it is, without a look at it, as somebody
// would who has no vaultd command: "post a change.txt 409".
func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	c, err := readConfig(filepath.Join(ts.MkAbs(args[0]), "vaultd.toml"))
	ts.Check(err)
	text, rest, _ := strings.Cut(ts.ReadFile(args[1]), "\n\n")
	s := &roster.Signed{Text: text + "\n"}
	for line := range strings.Lines(rest) {
		var g roster.Signature
		key, signature, _ := bytes.Cut([]byte(strings.TrimSpace(strings.TrimPrefix(line, signedLine))), []byte(" "))
		if !decodeHex(g.Key[:], string(key)) || !decodeHex(g.Signature[:], string(signature)) {
			ts.Fatalf("no signature: %q", line)
		}
		s.Signatures = append(s.Signatures, g)
	}
	answer, err := ask(context.Background(), "POST", c.Admin, "/change", s.Encode())
	ts.Check(err)
	if got := strconv.Itoa(answer.status); got != args[2] {
		ts.Fatalf("answered %s: %s", got, answer.text())
	}
	ts.Logf("%s", answer.text())
}
