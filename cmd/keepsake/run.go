package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/internal/cli"
	"keepsake.example/password"
)

// errInterrupted is why a context ended: a signal came.
var errInterrupted = errors.New("interrupted")

// stdio is the outside of the process.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
}

// app is one run of the command.
type app struct {
	stdio
	profile     string
	json, quiet bool
	msg         cli.Messages
	limitUpload string   // of --limit-upload
	retryFor    patience // of --retry-for
	cloudWait   time.Duration
	olderState  bool // of --older-state
	progress    *cli.Progress
	emitted     bool // the one JSON object was printed
}

// run runs the command and tells the person how it ended. The error is nil, a
// *failure, or an *exited.
func run(ctx context.Context, args []string, std stdio) error {
	a := &app{stdio: std, msg: cli.Messages{Name: "keepsake", W: std.err}}
	return a.finish(backup.Guard(func() error { return a.execute(ctx, args) }))
}

func (a *app) execute(ctx context.Context, args []string) error {
	if err := refuseDigits(args); err != nil {
		a.json = wantsJSON(args)
		return err
	}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if err != nil {
		a.json = a.json || wantsJSON(args) // flags may not have been parsed
	}
	return err
}

// wantsJSON looks for --json without parsing, for errors of parsing itself.
func wantsJSON(args []string) bool {
	for _, arg := range args {
		if arg == "--json" || arg == "--json=true" {
			return true
		}
		if arg == "--" {
			return false
		}
	}
	return false
}

// finish tells how the command ended.
func (a *app) finish(err error) error {
	a.progress.Clear()
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*exited](err); ok {
		return e
	}
	f := explain(err)
	a.msg.Error("%s", f.message)
	if f.hint != "" {
		a.msg.Hint("%s", f.hint)
	}
	if a.json && !a.emitted {
		j := jsonError(f)
		j.Attempts = attemptsOf(err, a.now())
		a.printJSON(map[string]errorJSON{"error": j})
	}
	return f
}

// emit prints the result of a command: as JSON, or as human does it.
func (a *app) emit(result any, human func(w io.Writer)) error {
	a.progress.Clear()
	if a.json {
		a.emitted = true
		return a.printJSON(result)
	}
	human(a.out)
	return nil
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// pace is what a guess costs the device, and how long it waits between two tries to reach
// the server: what is right, unless a test is in a hurry.
var pace struct {
	kdf   password.Params
	pause func(context.Context, time.Duration) error
}

// client makes the client of the profile. It is made late: --help needs no
// profile.
func (a *app) client() *client.Client {
	if f, ok := a.err.(*os.File); ok && !a.quiet && !a.json && cli.IsTerminal(f) {
		a.progress = cli.NewProgress(f, func() int { return cli.WidthOf(f) }, nil)
	}
	return client.New(client.Settings{
		Profile:  a.profile,
		Keyring:  client.SystemKeyring(),
		Progress: a.showProgress,
		Warn:     func(text string) { a.progress.Clear(); a.msg.Warning("%s", text) },
		Waiting:  a.waiting,

		LimitUpload: a.limitUpload,
		OlderState:  a.olderState,
		Patience:    a.cloudWait,

		KDF:   pace.kdf,
		Pause: pace.pause,
	})
}

// waiting tells that the servers do not answer, and a person how to stop.
func (a *app) waiting(text string) {
	a.progress.Clear()
	text = plainText(text)
	if a.asks() {
		text += "; Ctrl-C stops, and nothing is lost"
	}
	a.msg.Note("%s", text)
}

func (a *app) showProgress(p backup.Progress) {
	s := cli.State{
		Phase:     p.Phase,
		FilesDone: p.FilesDone, FilesTotal: p.FilesTotal,
		BytesDone: p.BytesDone, BytesTotal: p.BytesTotal,
		BytesNew:      p.BytesNew,
		BytesUploaded: p.BytesUploaded, BytesSending: p.BytesSending,
	}
	if p.BytesUploaded+p.BytesSending == 0 {
		s.BytesNew = 0 // in a restore it counts what was written
	}
	a.progress.Update(s)
}

// asks says whether there is a person to ask: standard input is a terminal and
// no machine reads the answer.
func (a *app) asks() bool { return !a.json && cli.IsTerminal(a.in) }

// terminal opens the terminal for questions.
func (a *app) terminal() (*cli.Terminal, error) {
	t, err := cli.OpenTerminal()
	if err != nil {
		return nil, err
	}
	a.progress.Clear()
	name := a.env("TERM")
	t.Erases = name != "" && name != "dumb"
	return t, nil
}

// defaultProfile is the place the system has for a program's configuration.
func defaultProfile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "keepsake", "default")
}

func (a *app) prepare(cmd *cobra.Command, _ []string) error {
	if err := a.fromEnvironment(cmd); err != nil {
		return err
	}
	if err := checkRate(a.limitUpload); err != nil {
		return err
	}
	a.msg.Quiet = a.quiet
	if a.olderState {
		a.msg.Warning("with --older-state the newest state that can be read is taken; what was backed up after it is not seen")
	}
	a.cloudWait = a.patience(cmd)
	if a.profile == "" {
		a.profile = defaultProfile()
	}
	if a.profile == "" {
		return usage("no profile folder: the home folder is unknown", "give one with --profile DIR")
	}
	if abs, err := filepath.Abs(a.profile); err == nil {
		a.profile = abs
	}
	return nil
}

func (a *app) now() time.Time { return time.Now() }

// errorJSON is an error for machines. The code and the number are fixed; the
// words are not.
type errorJSON struct {
	Code    string `json:"code"`
	Exit    int    `json:"exit"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	// Attempts is what the vault says of them, where it is about a password.
	Attempts *attemptsJSON `json:"attempts,omitempty"`
}

func jsonError(f *failure) errorJSON {
	return errorJSON{Code: f.exit.Name, Exit: f.exit.Code, Message: f.message, Hint: f.hint}
}
