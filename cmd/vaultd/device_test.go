package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/anchor/pkcs11/softhsm"
	"keepsake.example/anchor/tpm/swtpm"
)

// chips are the TPMs in software that scripts, which run side by side, have running.
type chips struct {
	mu    sync.Mutex
	byDir map[string]*swtpm.Chip
}

// run starts, or ends, the chip in a folder, whose socket is then in a variable: "chip
// start DIR CHIP", "chip stop DIR", "chip kill DIR". A chip that was started again has
// its new socket.
func (c *chips) run(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: chip start DIR VARIABLE, chip stop DIR, chip kill DIR")
	}
	dir := ts.MkAbs(args[1])
	c.mu.Lock()
	defer c.mu.Unlock()
	switch args[0] {
	case "start":
		ts.Check(os.MkdirAll(dir, 0o700))
		chip, err := swtpm.Start(dir)
		ts.Check(err)
		ts.Defer(func() { chip.Kill() })
		c.byDir[dir] = chip
		ts.Setenv(args[2], chip.Path())
	case "stop":
		ts.Check(c.byDir[dir].Stop())
	case "kill":
		ts.Check(c.byDir[dir].Kill())
	}
}

// cmdToken makes a token of SoftHSM: "token DIR LABEL" sets MODULE, PIN, CUSTODIAN and what
// SoftHSM needs to find its tokens.
func cmdToken(ts *testscript.TestScript, neg bool, args []string) {
	store, err := softhsm.NewForChildren(ts.MkAbs(args[0]))
	ts.Check(err)
	o, err := store.Token(context.Background(), args[1])
	ts.Check(err)
	name, value, _ := strings.Cut(store.Environment(), "=")
	ts.Setenv(name, value)
	ts.Setenv("MODULE", o.Module)
	ts.Setenv("PIN", o.PINFile)
	ts.Setenv("CUSTODIAN", store.CustodianFile())
}

// cmdBack puts a folder back to what a copy of it holds: "back COPY DIR".
func cmdBack(ts *testscript.TestScript, neg bool, args []string) {
	from, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.RemoveAll(to))
	ts.Check(os.CopyFS(to, os.DirFS(from)))
	ts.Check(filepath.Walk(to, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	}))
}
