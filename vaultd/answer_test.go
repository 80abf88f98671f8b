package vaultd_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// between stands between the server and its replica.
type between struct {
	vaultd.Committer
	before func() error           // before a proposal reaches the replica
	after  func(effect any) error // after it was committed
}

func (b *between) Propose(ctx context.Context, entry []byte) (any, error) {
	if b.before != nil {
		if err := b.before(); err != nil {
			return nil, err
		}
	}
	effect, err := b.Committer.Propose(ctx, entry)
	if err == nil && b.after != nil {
		err = b.after(effect)
	}
	return effect, err
}

func (w *world) wrap(b *between) {
	w.server.Wrap(func(c vaultd.Committer) vaultd.Committer {
		b.Committer = c
		return b
	})
}

// spec/vault-protocol.md §2.5, §12: success, every refusal and "no such record"
// have one size, one set of headers and a time that is a multiple of the quantum.
func TestAnswersHaveOneShape(t *testing.T) {
	w := newWorld(t)
	fault := &between{}
	w.wrap(fault)
	p, gone := w.registered("alice", "right"), w.registered("bob", "right")
	gone.exhaust("wrong")
	w.clock.advance(2 * time.Hour)
	spent := newGuess("wrong")
	wants(t, p.ask(spent.body), vaultapi.OK)
	reused := &vaultapi.AttemptBody{Attempt: spent.body.Attempt, Blinded: newGuess("other").body.Blinded}
	waiting := w.registered("carol", "right")
	for range 4 {
		wants(t, waiting.ask(newGuess("wrong").body), vaultapi.OK)
	}
	message := must(p.request(&vaultapi.StatusBody{}).Encode())
	unknown := slices.Clone(message)
	unknown[1] = 99
	other := w.person("alice")
	cases := []struct {
		name string
		code vaultapi.Code
		ask  func() question
	}{
		{"evaluated", vaultapi.OK, func() question { return p.question(newGuess("wrong").body) }},
		{"evaluated again", vaultapi.OK, func() question { return p.question(spent.body) }},
		{"status", vaultapi.OK, func() question { return p.question(&vaultapi.StatusBody{}) }},
		{"waiting", vaultapi.Wait, func() question { return waiting.question(newGuess("wrong").body) }},
		{"destroyed", vaultapi.Destroyed, func() question { return gone.question(newGuess("right").body) }},
		{"no record", vaultapi.None, func() question { return w.person("nobody").question(newGuess("x").body) }},
		{"conflict", vaultapi.Conflict, func() question { return p.question(reused) }},
		{"bad proof", vaultapi.Unauthorised, func() question { return p.question(&vaultapi.ProveBody{Attempt: spent.body.Attempt}) }},
		{"bad binding", vaultapi.Unauthorised, func() question {
			r := p.request(&vaultapi.StatusBody{})
			r.Bind(w.fleet, other.device)
			return w.seal(must(r.Encode()), vaultapi.Status)
		}},
		{"unknown type", vaultapi.Unsupported, func() question { return w.seal(unknown, vaultapi.Status) }},
		{"unknown version", vaultapi.Unsupported, func() question { return w.seal([]byte{9, 9, 9}, vaultapi.Status) }},
		{"empty", vaultapi.Unsupported, func() question { return w.seal(nil, vaultapi.Status) }},
		{"busy", vaultapi.Busy, func() question {
			fault.before = func() error { return errors.New("the disk fails") }
			return p.question(newGuess("wrong").body)
		}},
	}
	var shape http.Header
	for _, c := range cases {
		q := c.ask()
		arrived := w.clock.Elapsed()
		status, body, header := w.post(q.bytes)
		took := w.clock.Elapsed() - arrived
		if status != http.StatusOK || len(body) != sealed.AnswerSize {
			t.Fatalf("%s: HTTP %d, %d bytes", c.name, status, len(body))
		}
		if took <= 0 || took%quantum != 0 {
			t.Errorf("%s: answered after %v, not a multiple of %v", c.name, took, quantum)
		}
		header.Del("Date")
		if shape == nil {
			shape = header
		}
		if !sameHeader(header, shape) {
			t.Errorf("%s: headers %v, others have %v", c.name, header, shape)
		}
		a, err := q.open(body)
		if err != nil || a.Code != c.code {
			t.Errorf("%s: answered %+v, %v, want %v", c.name, a, err, c.code)
		}
	}
}

func sameHeader(a, b http.Header) bool {
	var x, y bytes.Buffer
	a.Write(&x)
	b.Write(&y)
	return x.String() == y.String()
}

// An answer leaves at the next multiple of the quantum, whatever the commit took.
func TestTimeIsQuantised(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	b := &between{}
	w.wrap(b)
	for _, c := range []struct{ commit, want time.Duration }{
		{0, quantum}, {7 * time.Millisecond, quantum}, {quantum, quantum}, {quantum + 1, 2 * quantum}, {33 * time.Millisecond, 2 * quantum}, {101 * time.Millisecond, 6 * quantum},
	} {
		b.after = func(any) error { w.clock.advance(c.commit); return nil }
		g := newGuess("right")
		q := p.question(g.body)
		arrived := w.clock.Elapsed()
		a := wants(t, w.deliver(q), vaultapi.OK)
		if took := w.clock.Elapsed() - arrived; took != c.want {
			t.Errorf("a commit of %v: answered after %v, want %v", c.commit, took, c.want)
		}
		if err := p.finish(g, a); err != nil {
			t.Error(err)
		}
		b.after = nil
		wants(t, p.ask(p.prove(g)), vaultapi.OK)
	}
}

// Rule 3: no evaluation without a commit. A replica that fails gives busy, and
// one that has not answered yet gives nothing.
func TestNoEvaluationBeforeTheCommit(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	b := &between{before: func() error { return errors.New("the disk fails") }}
	w.wrap(b)
	g := newGuess("right")
	if a := wants(t, p.ask(g.body), vaultapi.Busy); a.Body != nil || a.Left != 0 || a.Limit != 0 {
		t.Errorf("busy says %+v", a)
	}
	reached, release := make(chan bool), make(chan error)
	b.before = func() error { reached <- true; return <-release }
	q := p.question(g.body)
	answers := make(chan *vaultapi.Answer, 1)
	go func() { answers <- w.deliver(q) }()
	<-reached
	select {
	case a := <-answers:
		t.Fatalf("answered %v before the commit", a.Code)
	default:
	}
	release <- nil
	a := wants(t, <-answers, vaultapi.OK)
	if err := p.finish(g, a); err != nil || a.Left != 9 {
		t.Errorf("%d left, %v", a.Left, err)
	}
}

// An answer that was lost after the commit costs nothing: the same bytes are answered again.
func TestLostAnswerCostsNothing(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	b := &between{after: func(any) error { return errors.New("killed") }}
	w.wrap(b)
	g := newGuess("right")
	q := p.question(g.body)
	wants(t, w.deliver(q), vaultapi.Busy)
	b.after = nil
	for range 3 {
		a := wants(t, w.deliver(q), vaultapi.OK)
		if err := p.finish(g, a); err != nil || a.Left != 9 {
			t.Errorf("%d left, %v", a.Left, err)
		}
	}
}

// The machine dies between the commit and the answer: what is on its disk at that
// moment answers the same bytes, and has counted them once.
func TestCrashBetweenCommitAndAnswer(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	image := t.TempDir()
	b := &between{after: func(any) error { copyFolder(t, w.dir, image); return errors.New("killed") }}
	w.wrap(b)
	g := newGuess("right")
	q := p.question(g.body)
	wants(t, w.deliver(q), vaultapi.Busy)
	w.stop()
	w.dir, w.config.Dir = image, image+"/state"
	w.openAnchor()
	w.config.Anchor = w.anchor
	w.start()
	a := wants(t, w.deliver(q), vaultapi.OK)
	if err := p.finish(g, a); err != nil || a.Left != 9 {
		t.Errorf("%d left, %v", a.Left, err)
	}
}

// A client that goes away after its proposal has spent the attempt, and gets the answer when it comes back.
func TestContextEndsAfterPropose(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	ctx, cancel := context.WithCancel(t.Context())
	w.wrap(&between{after: func(any) error { cancel(); return ctx.Err() }})
	g := newGuess("right")
	q := p.question(g.body)
	answer, err := w.server.Answer(ctx, q.bytes)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, must(q.open(answer)), vaultapi.Busy)
	w.restart()
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 9 {
		t.Errorf("%d left after the client went away, want 9", st.Left)
	}
	if err := p.finish(g, wants(t, w.deliver(q), vaultapi.OK)); err != nil {
		t.Error(err)
	}
}

// Many people at once: nobody's answer is another's, and every count is right.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all.Add(1)
		go func() {
			defer all.Done()
			p := w.person(name)
			p.register(name)
			for left := 9; left >= 7; left-- {
				g := newGuess(name)
				a := p.ask(g.body)
				if err := p.finish(g, a); err != nil || int(a.Left) != left {
					t.Errorf("%s: %d left, %v", name, a.Left, err)
				}
			}
		}()
	}
	all.Wait()
}
