package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
	"keepsake.example/anchor/pkcs11"
	"keepsake.example/anchor/pkcs11/softhsm"
	"keepsake.example/anchor/tpm/swtpm"
	"keepsake.example/internal/command"
	"keepsake.example/vaultd"
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

// The settings of what a machine counts on fit each other, or are refused.
func TestAnchorSettings(t *testing.T) {
	good := map[string]func(*config){
		"software":        func(c *config) { c.InsecureSoftwareAnchor = true },
		"software-device": func(c *config) { c.InsecureSoftwareAnchor = true },
		"tpm":             func(*config) {},
		"pkcs11":          func(c *config) { c.PKCS11 = slot{Module: "m", Token: "t", PINFile: "p"} },
	}
	for kind, set := range good {
		c := defaults()
		c.Anchor = kind
		set(&c)
		if err := c.checkAnchor(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		c.InsecureSoftwareAnchor = !c.InsecureSoftwareAnchor
		if err := c.checkAnchor(); err == nil {
			t.Errorf("%s: accepted with insecure_software_anchor = %v", kind, c.InsecureSoftwareAnchor)
		}
	}
	for name, spoil := range map[string]func(*config){
		"another kind":      func(c *config) { c.Anchor = "hardware" },
		"no kind":           func(c *config) { c.Anchor = "" },
		"a TPM nowhere":     func(c *config) { c.Anchor, c.TPM.Path = kindTPM, "" },
		"a TPM without dir": func(c *config) { c.Anchor, c.TPM.Dir = kindTPM, "" },
		"no module":         func(c *config) { c.Anchor, c.PKCS11 = kindPKCS11, slot{Token: "t", PINFile: "p"} },
		"no token":          func(c *config) { c.Anchor, c.PKCS11 = kindPKCS11, slot{Module: "m", PINFile: "p"} },
		"no PIN file":       func(c *config) { c.Anchor, c.PKCS11 = kindPKCS11, slot{Module: "m", Token: "t"} },
	} {
		c := defaults()
		spoil(&c)
		if err := c.checkAnchor(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// What a device says ends in an exit code of its own, however deep it is wrapped.
func TestDeviceExits(t *testing.T) {
	for err, want := range map[error]command.Exit{
		anchor.ErrAbsent: exitAbsent, anchor.ErrLocked: exitLocked, pkcs11.ErrPIN: exitLocked, anchor.ErrForeign: exitForeign, anchor.ErrCustodian: exitCustodian,
		vaultd.ErrFleetKey: exitFleetKey, anchor.ErrNoFleetKey: exitFleetKey, anchor.ErrHasFleetKey: command.Exists, anchor.ErrInUse: exitBusy,
		ledger.ErrRolledBack: exitRolledBack, ledger.ErrMissing: command.NotFound, anchor.ErrFounded: command.Exists,
	} {
		f := explain(fmt.Errorf("opening the device: %w", fmt.Errorf("adapter: %w", err)))
		if f.Exit != want || f.Hint == "" {
			t.Errorf("%v: exit %v, hint %q", err, f.Exit, f.Hint)
		}
	}
}
