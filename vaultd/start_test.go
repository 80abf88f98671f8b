package vaultd_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/fleet"
	"keepsake.example/replica"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// The operator puts an old image of the disk back, to have guesses again: the replica refuses to run.
func TestOldDiskImageRefused(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	w.stop()
	image := t.TempDir()
	copyFolder(t, w.state(), image)
	w.restartOnly()
	for range 3 {
		wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	}
	w.stop()
	copyFolder(t, image, w.state())
	w.openAnchor()
	defer w.anchor.Close()
	w.config.Anchor = w.anchor
	_, err := vaultd.New(t.Context(), w.config)
	if _, ok := errors.AsType[*replica.RollbackError](err); !ok {
		t.Fatalf("New on an old disk: %v, want a RollbackError", err)
	}
}

// A log that was cut or edited is refused.
func TestChangedDiskRefused(t *testing.T) {
	w := newWorld(t)
	w.registered("alice", "right")
	w.stop()
	image := t.TempDir()
	copyFolder(t, w.state(), image)
	for _, name := range must(filepath.Glob(filepath.Join(image, "*"))) {
		data := must(os.ReadFile(name))
		written := len(bytes.TrimRight(data, "\x00"))
		if written == 0 {
			continue // the lock
		}
		copyFolder(t, image, w.state())
		data[written/2] ^= 1
		if err := os.WriteFile(filepath.Join(w.state(), filepath.Base(name)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		w.openAnchor()
		w.config.Anchor = w.anchor
		if s, err := vaultd.New(t.Context(), w.config); err == nil {
			t.Errorf("runs with %s changed", filepath.Base(name))
			s.Close()
		}
		w.anchor.Close()
	}
}

// Insecure choices must be accepted by name, and the fleet must tell its clients.
func TestInsecureMustBeAccepted(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.openAnchor()
	defer w.anchor.Close()
	w.config.Anchor, w.config.AcceptInsecureAnchor = w.anchor, false
	if _, err := vaultd.New(t.Context(), w.config); !errors.Is(err, vaultd.ErrInsecure) {
		t.Errorf("New on a software anchor that was not accepted: %v", err)
	}
	secure := fleet.DefaultPolicy()
	founding := vaultd.Founding{Dir: filepath.Join(t.TempDir(), "state"), Anchor: w.anchor, Policy: secure}
	if _, _, err := vaultd.Found(t.Context(), founding); !errors.Is(err, vaultd.ErrInsecure) {
		t.Errorf("a fleet on a software anchor that says it is secure: %v", err)
	}
	if _, err := os.Stat(founding.Dir); err == nil {
		t.Error("something was founded all the same")
	}
	founding.Policy.Waits[5] = 1
	if _, _, err := vaultd.Found(t.Context(), founding); err == nil {
		t.Error("a weak policy that does not say so was founded")
	}
}

// secure gives a founding what a fleet that does not say insecure must have.
func secure(f *vaultd.Founding) {
	f.Self = must(vaultd.NewKeys()).Card("one", "dc", "host:7000")
	_, f.Operators = operatorKeys(3)
	f.Quorum = 2
}

// A fleet that is not for development has people who can change it.
func TestFoundedWithOperators(t *testing.T) {
	for name, spoil := range map[string]func(*vaultd.Founding){
		"no operators":                    func(f *vaultd.Founding) { f.Operators = nil },
		"no quorum":                       func(f *vaultd.Founding) { f.Quorum = 0 },
		"a quorum of more than there are": func(f *vaultd.Founding) { f.Quorum = 4 },
		"no card":                         func(f *vaultd.Founding) { f.Self = vaultd.Card{} },
		"tolerating alone":                func(f *vaultd.Founding) { f.Tolerate = 1 },
		"three groups":                    func(f *vaultd.Founding) { f.Groups = 3 },
	} {
		w := &world{t: t, dir: t.TempDir()}
		w.openAnchor()
		f := vaultd.Founding{Dir: w.state(), Anchor: boastful{w.anchor}, Policy: fleet.DefaultPolicy(), GroupAnchor: func(uint32) (anchor.Anchor, error) { return w.anchor, nil }}
		secure(&f)
		spoil(&f)
		if _, _, err := vaultd.Found(t.Context(), f); err == nil {
			t.Errorf("founded with %s", name)
		}
		if _, err := os.Stat(f.Dir); err == nil {
			t.Errorf("%s: something was founded all the same", name)
		}
		w.anchor.Close()
	}
}

// boastful is an anchor that says more of itself than it is.
type boastful struct{ anchor.Anchor }

func (boastful) Describe() anchor.Description { return anchor.Description{Name: "hardware"} }

// A fleet that told its clients that it is secure does not run on an anchor that is not.
func TestSecureFleetOnAnInsecureAnchor(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), clock: newClock(), signer: newSigner()}
	w.openAnchor()
	defer w.anchor.Close()
	founding := vaultd.Founding{Dir: w.state(), Anchor: boastful{w.anchor}, Policy: fleet.DefaultPolicy(), Clock: w.clock}
	secure(&founding)
	if _, _, err := vaultd.Found(t.Context(), founding); err != nil {
		t.Fatal(err)
	}
	c := vaultd.Config{Dir: w.state(), Anchor: w.anchor, Tokens: verifier(t, w.signer), AcceptInsecureAnchor: true, Clock: w.clock}
	if _, err := vaultd.New(t.Context(), c); !errors.Is(err, vaultd.ErrInsecure) {
		t.Errorf("New: %v, want ErrInsecure", err)
	}
	c.Anchor = boastful{w.anchor}
	s, err := vaultd.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Warnings()) != 0 {
		t.Errorf("warnings %q", s.Warnings())
	}
}

// Short waits are a fleet's own, told in its bundle, and must be accepted at each start.
func TestShortWaitsMustBeAccepted(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), clock: newClock(), signer: newSigner()}
	w.openAnchor()
	defer w.anchor.Close()
	p := testPolicy()
	clear(p.Waits)
	_, bundle, err := vaultd.Found(t.Context(), vaultd.Founding{Dir: w.state(), Anchor: w.anchor, Policy: p, Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	c := vaultd.Config{Dir: w.state(), Anchor: w.anchor, Tokens: verifier(t, w.signer), AcceptInsecureAnchor: true, Clock: w.clock}
	if _, err := vaultd.New(t.Context(), c); !errors.Is(err, vaultd.ErrInsecure) {
		t.Errorf("New: %v, want ErrInsecure", err)
	}
	c.AcceptInsecureWaits = true
	s, err := vaultd.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Warnings()) != 2 {
		t.Errorf("warnings %q, want one for the anchor and one for the waits", s.Warnings())
	}
	if string(bundle) != string(s.Bundle()) {
		t.Error("the bundle that Found returned is not the one that is served")
	}
}

// A fleet is founded once in a place, and once on an anchor.
func TestFoundedOnce(t *testing.T) {
	w := newWorld(t)
	w.stop()
	w.openAnchor()
	defer w.anchor.Close()
	for _, dir := range []string{w.state(), filepath.Join(w.dir, "other")} {
		if _, _, err := vaultd.Found(t.Context(), vaultd.Founding{Dir: dir, Anchor: w.anchor, Policy: testPolicy()}); err == nil {
			t.Errorf("founded again in %s", dir)
		}
	}
}

func TestLimitsRefused(t *testing.T) {
	for name, change := range map[string]func(*vaultd.Limits){
		"no connections":     func(l *vaultd.Limits) { l.Connections = -1 },
		"none of an address": func(l *vaultd.Limits) { l.ConnectionsPerAddress = 1 << 20 },
		"no places":          func(l *vaultd.Limits) { l.Concurrent = -1 },
		"quantum":            func(l *vaultd.Limits) { l.Quantum = 2 * time.Second },
		"negative quantum":   func(l *vaultd.Limits) { l.Quantum = -1 },
		"nanoseconds":        func(l *vaultd.Limits) { l.Commit = 5 },
		"keys that overlap":  func(l *vaultd.Limits) { l.KeyValidity = l.KeyRotation },
		"too many keys":      func(l *vaultd.Limits) { l.KeyRotation = l.KeyValidity / 9 },
		"per account":        func(l *vaultd.Limits) { l.PerAccount = 5000 },
		"drain":              func(l *vaultd.Limits) { l.Drain = time.Hour },
		"queue":              func(l *vaultd.Limits) { l.Queue = 1 << 30 },
		"wait for the queue": func(l *vaultd.Limits) { l.QueueWait = time.Hour },
	} {
		l := vaultd.DefaultLimits()
		change(&l)
		w := &world{t: t, dir: t.TempDir(), signer: newSigner()}
		w.openAnchor()
		_, err := vaultd.New(t.Context(), vaultd.Config{Dir: w.state(), Anchor: w.anchor, Tokens: verifier(t, w.signer), Limits: l})
		if err == nil || errors.Is(err, replica.ErrMissing) {
			t.Errorf("%s: %v", name, err)
		}
		w.anchor.Close()
	}
	if _, err := vaultd.New(t.Context(), vaultd.Config{}); err == nil {
		t.Error("New without anything")
	}
}

// Overload: what finds no place is turned away unopened, what is one too many of
// an account is busy; and both are answered when there is room again.
func TestOverload(t *testing.T) {
	w := newWorld(t, func(c *vaultd.Config) {
		c.Limits.Concurrent, c.Limits.Queue, c.Limits.QueueWait = 2, 1, time.Millisecond
	})
	p := w.registered("alice", "right")
	free := w.server.Fill()
	q := p.question(&vaultapi.StatusBody{})
	status, body, header := w.post(q.bytes)
	if status != 503 || string(body) != "unavailable\n" || header.Get("Retry-After") == "" {
		t.Errorf("overloaded: HTTP %d %q", status, body)
	}
	free()
	wants(t, w.deliver(q), vaultapi.OK)
	var done []func()
	for range w.config.Limits.PerAccount {
		done = append(done, w.server.Pretend(p.account))
	}
	wants(t, w.deliver(q), vaultapi.Busy)
	wants(t, w.registered("bob", "x").ask(&vaultapi.StatusBody{}), vaultapi.OK)
	done[0]()
	wants(t, w.deliver(q), vaultapi.OK)
}

// After Close nothing is answered, and closing again is no error.
func TestClose(t *testing.T) {
	w := newWorld(t)
	q := w.registered("alice", "right").question(&vaultapi.StatusBody{})
	for range 2 {
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.server.Answer(t.Context(), q.bytes); !errors.Is(err, vaultd.ErrClosed) {
		t.Errorf("Answer after Close: %v", err)
	}
}

// A drain lets the request that is being worked finish.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	reached, release := make(chan bool), make(chan error)
	w.wrap(&between{before: func() error { reached <- true; return <-release }})
	g := newGuess("right")
	q := p.question(g.body)
	answers := make(chan *vaultapi.Answer, 1)
	go func() { answers <- w.deliver(q) }()
	<-reached
	closed := make(chan error, 1)
	go func() { closed <- w.server.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("closed with a request in work: %v", err)
	case release <- nil:
	}
	if err := p.finish(g, wants(t, <-answers, vaultapi.OK)); err != nil {
		t.Error(err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// A replica that can no longer keep its promise halts, and the server with it:
// an anchor that fails is the end of answering, not of counting.
func TestHalts(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	q := p.question(newGuess("right").body)
	w.anchor.Close()
	if status, _, _ := w.post(q.bytes); status != 503 {
		t.Errorf("with an anchor that fails: HTTP %d", status)
	}
	<-w.server.Done()
	if w.server.Err() == nil {
		t.Error("halted without a reason")
	}
	if _, err := w.server.Answer(t.Context(), q.bytes); !errors.Is(err, vaultd.ErrHalted) {
		t.Errorf("Answer after the halt: %v", err)
	}
	if st := w.server.Status(t.Context()); st.Ready || st.Halted == "" {
		t.Errorf("status after the halt: %+v", st)
	}
	w.stopped()
	if err := w.server.Close(); err != w.server.Err() {
		t.Errorf("Close says more than why it halted, or not that: %v", err)
	}
	w.stopped = nil
}

// copyFolder copies a folder of plain files, as who keeps an image of a disk does.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
