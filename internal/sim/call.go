package sim

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"keepsake.example/replica"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// call is one request at one member, from its arrival to its answer. The door's
// code, which waits where it must, runs as a coroutine; the call is its context.
type call struct {
	host      *host
	boot      int
	request   *request
	reply     func(*vaultapi.Answer) // nil: busy
	deadline  int64
	floor     uint64 // the last place that was acknowledged when it began
	place     uint64 // the place that the outcome is from
	committed uint64 // the same, if it was committed; 0: it was read
	began     int64
	over      bool

	worker *worker
	yield  func(*wish) bool
}

// worker is a coroutine. It does one call after the other, of all runs: making one costs more
// than many calls do.
type worker struct {
	call   *call
	resume func() (*wish, bool) // nil: the call is done
	ending func()
}

// worker gives a call to a coroutine that is free.
func (p *pool) worker(c *call) *worker {
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		w.call = c
		return w
	}
	w := &worker{call: c}
	w.resume, w.ending = iter.Pull(func(yield func(*wish) bool) {
		for more := true; more; more = yield(nil) {
			w.call.yield = yield
			w.call.do()
			w.call = nil
		}
	})
	return w
}

// wish is what the door waits for.
type wish struct {
	entry  []byte // to propose; nil: not this
	read   func(*vault.State)
	pause  int64
	effect any
	err    error
	done   bool
}

// proposed is what is known of an entry that was given to a node.
type proposed struct {
	began int64
}

var errOver = errors.New("sim: the call is over")

// Deadline implements context.Context: in virtual time, which Err knows.
func (c *call) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context. Nobody waits for it: everything is one thread.
func (c *call) Done() <-chan struct{} { return nil }

// Value implements context.Context.
func (c *call) Value(any) any { return nil }

// Err implements context.Context.
func (c *call) Err() error {
	if c.over || c.host.now >= c.deadline {
		return context.DeadlineExceeded
	}
	return nil
}

// How long a member tries to decide a request.
const commitWithin = 3 * second

// serve is a request that arrives at a member.
func (h *host) serve(q *request, reply func(*vaultapi.Answer)) {
	h.note("serve", h.number, uint64(q.account), uint64(q.body.Type()))
	c := &call{host: h, boot: h.boot, request: q, reply: reply, deadline: h.now + commitWithin, floor: h.history.acked, began: h.stamp()}
	c.worker = h.pool.worker(c)
	h.calls = append(h.calls, c)
	h.after(commitWithin, c.expire)
	c.pump()
}

// do is the door's work.
func (c *call) do() {
	command := &vault.Command{Kind: vault.Request, Account: c.host.pool.accounts[c.request.account], Who: c.request.who, Body: c.request.body}
	e, err := c.host.hooks.execute(c, command)
	if err != nil || c.over {
		if !c.over {
			c.finish(nil)
		}
		return
	}
	c.conclude(e)
}

// conclude is the place where an evaluation leaves the vault.
func (c *call) conclude(e *vault.Effect) {
	h := c.host.history
	h.acknowledged(c)
	a := &e.Answer
	_, asked, isAttempt := asking(c.request.body)
	if body := evaluationIn(a); body != nil && isAttempt {
		h.left(c, asked, body, e.Evaluate != nil)
		c.check(e, asked, body)
	}
	h.answered(c, a)
	c.finish(a)
}

// evaluationIn is what an attempt of either kind is answered with; nil for none.
func evaluationIn(a *vaultapi.Answer) *vaultapi.Evaluation {
	switch b := a.Body.(type) {
	case *vaultapi.Evaluation:
		return b
	case *vaultapi.HardenedEvaluation:
		return &b.Evaluation
	}
	return nil
}

// check looks at what is evaluated: the element that was asked about, under the key of the
// record. One in eight is really evaluated.
func (c *call) check(e *vault.Effect, asked question, body *vaultapi.Evaluation) {
	p := c.host.pool
	s, known := c.host.clients.secretOf(body.Record)
	element := slices.Index(p.elements, asked.element)
	if !known || element < 0 {
		c.host.fail(honestZ, "an evaluation for a record or element that nobody made")
		return
	}
	if e.Evaluate != nil {
		e.Evaluate.Key.Use(func(k *[32]byte) { known = *k == p.secrets[s].k })
		if !known || e.Evaluate.Blinded.Bytes() != asked.element {
			c.host.fail(honestZ, "an evaluation with another key or element than asked for")
		}
		if c.host.random.IntN(8) != 0 {
			e.Evaluate.Key.Wipe()
			return
		}
	}
	a, err := p.door.Conclude(context.Background(), e, c.request.body)
	if err != nil {
		c.host.fail(honestZ, "concluding: %v", err)
		return
	}
	if evaluationIn(a).Evaluated != p.answer(s, element) {
		c.host.fail(honestZ, "an evaluation is not k·B")
	}
	if both, ok := a.Body.(*vaultapi.HardenedEvaluation); ok && both.Evaluated2 != p.chip[asked.point] {
		c.host.fail(honestZ, "an evaluation is not h·B2")
	}
}

// finish ends the call with an answer, nil for busy.
func (c *call) finish(a *vaultapi.Answer) {
	c.over = true
	c.host.calls = slices.DeleteFunc(c.host.calls, func(o *call) bool { return o == c })
	c.reply(a)
}

// pump lets the door go on until it waits for something.
func (c *call) pump() {
	if c.over {
		return
	}
	w, _ := c.worker.resume()
	if w == nil {
		c.host.pool.idle = append(c.host.pool.idle, c.worker)
	}
	if w == nil || c.over {
		return
	}
	h := c.host
	h.touch()
	switch {
	case w.entry != nil:
		c.proposes(w)
	case w.read != nil:
		h.node.Read(func(err error) {
			if !c.over && err == nil {
				m := h.machine()
				c.place = m.at
				w.read(m.State())
			}
			c.ready(w, nil, err)
		})
	default:
		h.after(w.pause, func() {
			if !c.over {
				h.ready = append(h.ready, c)
				h.touch()
			}
		})
	}
}

func (c *call) proposes(w *wish) {
	h := c.host
	key := sum(w.entry)
	p := &proposed{began: c.began}
	h.history.calls[key] = p
	h.node.Propose(w.entry, func(effect any, err error) {
		if at, ok := effect.(*placed); ok && err == nil && !c.over {
			c.place, c.committed = at.at, at.at
			effect = at.effect
		}
		c.ready(w, effect, err)
	})
}

// ready gives the door what it waited for; it goes on after the node's step.
func (c *call) ready(w *wish, effect any, err error) {
	if w.done || c.over {
		return
	}
	w.effect, w.err, w.done = effect, err, true
	c.host.ready = append(c.host.ready, c)
	c.host.touch()
}

// expire ends a call that took too long: the client is told busy.
func (c *call) expire() {
	if !c.over {
		c.stop()
		c.reply(nil)
	}
}

// stop ends the coroutine where it waits.
func (c *call) stop() {
	c.over = true
	c.host.calls = slices.DeleteFunc(c.host.calls, func(o *call) bool { return o == c })
	c.worker.ending()
}

// wait gives a wish to the driver and waits for it.
func (c *call) wait(w *wish) error {
	if c.over || !c.yield(w) || c.over {
		return errOver
	}
	return w.err
}

// Peek implements door.Group, as the methods after it do.
func (c *call) Peek(f func(*vault.State)) error {
	m := c.host.machine()
	if m == nil {
		return replica.ErrNotLeader
	}
	c.place = m.at
	f(m.State())
	return nil
}

// Read implements door.Group.
func (c *call) Read(_ context.Context, f func(*vault.State)) error { return c.wait(&wish{read: f}) }

// Propose implements door.Group.
func (c *call) Propose(_ context.Context, entry []byte) (any, error) {
	w := &wish{entry: slices.Clone(entry)}
	err := c.wait(w)
	return w.effect, err
}

// Time implements door.Group.
func (c *call) Time() uint64 { return c.host.hooks.now(c.host) }

// Current implements door.Group.
func (c *call) Current() bool { return c.host.node.Current() }

// retry is the door's pause between repetitions.
func retry(ctx context.Context, n int, _ error) error {
	c := ctx.(*call)
	if err := c.Err(); err != nil {
		return err
	}
	return c.wait(&wish{pause: 20*millisecond<<min(n, 4) + c.host.between(0, 20*millisecond)})
}
