// Package door decides requests to the vault, and makes their answers, in the one
// order that keeps the rules of spec/vault-protocol.md §11.3: what changes anything
// is committed first, and what is evaluated is evaluated afterwards. It does no I/O
// and has no clock: package vaultd gives it replicas, the simulator its own.
//
// # Which command is committed
//
// Nearly all that clients ask for changes something. So a command is first checked
// against the state as this replica has it, which may be behind: if it would change
// something there, it is proposed at once, and what the commit says counts. One
// round of the group is all it costs. Only a command that would change nothing (a
// refusal, a repetition, a Status) is checked again under a linearizable read,
// because the state that is behind must not be the one that answers.
//
// # Repetitions
//
// A proposal whose outcome is not known (the leader was lost) is proposed again. The
// first may have been committed, or may be later: every command is idempotent by its
// attempt or record id, so that whichever comes second changes nothing and is
// answered alike. Each proposal carries fresh random bytes. They make the proof of a
// last attempt, and the second of two commits uses none: the state repeats the
// answer of the first.
//
// # The device
//
// A fleet may hold a second key in its machines' hardware (the second suite). What is asked of that
// is asked after the commit too, by an [Evaluator], and once for each attempt however it
// ended. Its answer is not in the state: a repetition is evaluated again.
package door

import (
	"context"
	"errors"
	"fmt"
	"io"

	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Group is one group of replicas, as a door needs it.
type Group interface {
	// Peek calls f with the state as this replica has it, maybe behind the group's.
	// While f runs nothing is applied.
	Peek(f func(*vault.State)) error
	// Read calls f with a state that holds all that was acknowledged before the call.
	Read(ctx context.Context, f func(*vault.State)) error
	// Propose commits an encoded command and returns its *vault.Effect. With a nil
	// error it is durable and anchored on a majority.
	Propose(ctx context.Context, entry []byte) (effect any, err error)
	// Time is the group's, milliseconds since 1970. It never goes back.
	Time() uint64
	// Current says whether Time is of a leader who was heard, and not from before this
	// replica was started or cut off. After a Read it is.
	Current() bool
}

// Evaluator is the fleet's key of the second suite, in a device that it does not leave.
type Evaluator interface {
	// Evaluate returns h·B. It may take some hundred milliseconds, and is given up with ctx.
	Evaluate(ctx context.Context, blinded [vaultapi.PointSize]byte) ([vaultapi.PointSize]byte, error)
}

// Door decides commands and makes answers. Safe for concurrent use if Rand, Retry
// and Device are; the fields must not change meanwhile.
type Door struct {
	// Rand is the source of the random bytes of commands and evaluations.
	Rand io.Reader
	// Retry is asked before the n-th repetition (from 1) of a command that failed
	// with err, and waits as long as is right. An error of its own ends the
	// command. Nil repeats nothing.
	Retry func(ctx context.Context, n int, err error) error
	// Device holds the fleet's key of the second suite; nil in a fleet without.
	Device Evaluator

	nobody *nobody
}

// New returns a door that repeats nothing yet. The caller wipes it.
func New(random io.Reader) (*Door, error) {
	n, err := newNobody(random)
	if err != nil {
		return nil, err
	}
	return &Door{Rand: random, nobody: n}, nil
}

// Wipe overwrites the door's own key, which guards nothing.
func (d *Door) Wipe() { d.nobody.key.Wipe() }

// Execute decides a command: without a commit where nothing changes, else, and for
// every Prove, with one. When it returns without an error, what was spent is
// durable and anchored. It fills in the command's Time and Random. After an error
// nothing is known but that asking again costs nothing.
func (d *Door) Execute(ctx context.Context, g Group, c *vault.Command) (*vault.Effect, error) {
	for n := 1; ; n++ {
		e, err := d.try(ctx, g, c)
		if err == nil {
			return e, nil
		}
		if d.Retry == nil {
			return nil, err
		}
		if stop := d.Retry(ctx, n, err); stop != nil {
			return nil, stop
		}
	}
}

func (d *Door) try(ctx context.Context, g Group, c *vault.Command) (*vault.Effect, error) {
	// Nearly every Prove changes something, and the check would verify a signature only
	// for Apply to verify it again. One that is refused costs an entry of the log.
	if _, isProof := c.Body.(*vaultapi.ProveBody); isProof {
		return d.propose(ctx, g, c)
	}
	var effect *vault.Effect
	decided := false
	check := func(s *vault.State) {
		c.Time = g.Time()
		effect, decided = s.Check(c)
	}
	if err := g.Peek(check); err != nil {
		return nil, fmt.Errorf("looking at the state: %w", err)
	}
	if !decided {
		return d.propose(ctx, g, c)
	}
	drop(effect)
	effect, decided = nil, false
	if err := g.Read(ctx, check); err != nil {
		return nil, fmt.Errorf("reading the state: %w", err)
	}
	if !decided {
		return d.propose(ctx, g, c)
	}
	return effect, nil
}

// drop wipes the key of an effect that is not used.
func drop(e *vault.Effect) {
	if e != nil && e.Evaluate != nil {
		e.Evaluate.Key.Wipe()
	}
}

var errEffect = errors.New("door: internal error: a commit without the effect of its command")

// propose commits a command, with the newest time and random bytes of its own. An old time
// would refuse who has waited long enough.
func (d *Door) propose(ctx context.Context, g Group, c *vault.Command) (*vault.Effect, error) {
	if !g.Current() {
		if err := g.Read(ctx, func(*vault.State) {}); err != nil {
			return nil, fmt.Errorf("asking the group for its time: %w", err)
		}
	}
	c.Time = g.Time()
	if _, err := io.ReadFull(d.Rand, c.Random[:]); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	entry := c.Encode()
	defer clear(entry) // k may be in it
	effect, err := g.Propose(ctx, entry)
	if err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	e, ok := effect.(*vault.Effect)
	if !ok || e == nil {
		return nil, errEffect
	}
	return e, nil
}

// Conclude makes the answer of an effect of Execute to a request's body. This is
// where an evaluation comes into the world: after the commit of the attempt that
// pays for it (rule 3). A refused attempt costs an evaluation all the same, under
// a key that belongs to nobody, so that it takes as long as one that was not (§12).
// After an error the client is told busy. It uses the effect up.
func (d *Door) Conclude(ctx context.Context, e *vault.Effect, body vaultapi.Body) (*vaultapi.Answer, error) {
	a := e.Answer
	question, point := questions(body)
	switch {
	case e.Evaluate != nil:
		defer e.Evaluate.Key.Wipe()
		if err := d.fill(&a, e.Evaluate); err != nil {
			return nil, err
		}
	case question != nil:
		d.nobody.evaluate(d.Rand, *question)
	}
	if point != nil {
		if err := d.harden(ctx, &a, *point); err != nil {
			return nil, err
		}
	}
	return &a, nil
}

// questions are what an attempt asks: B, and B2 of a hardened one.
func questions(body vaultapi.Body) (question *[32]byte, point *[vaultapi.PointSize]byte) {
	switch b := body.(type) {
	case *vaultapi.AttemptBody:
		return &b.Blinded, nil
	case *vaultapi.HardenedAttemptBody:
		return &b.Blinded, &b.Blinded2
	}
	return nil, nil
}

// harden puts h·B2 into an answer that has room for it. For any other the device is
// asked all the same, and nobody is told what it said.
func (d *Door) harden(ctx context.Context, a *vaultapi.Answer, point [vaultapi.PointSize]byte) (err error) {
	body, paid := a.Body.(*vaultapi.HardenedEvaluation)
	if paid {
		body.Evaluated2, err = d.ask(ctx, point)
		return err
	}
	if p256.Check(point) != nil {
		point = d.nobody.point
	}
	d.ask(ctx, point) // what the answer says does not depend on it
	return nil
}

var errDevice = errors.New("door: the device has no answer, or one that cannot be")

// ask asks the device. A point that is none, or the question again, is a fault: the
// client would take it for a lying vault.
func (d *Door) ask(ctx context.Context, point [vaultapi.PointSize]byte) (evaluated [vaultapi.PointSize]byte, err error) {
	if d.Device == nil {
		return evaluated, errDevice
	}
	if evaluated, err = d.Device.Evaluate(ctx, point); err != nil {
		return evaluated, fmt.Errorf("evaluating in the device: %w", err)
	}
	if evaluated == point || p256.Check(evaluated) != nil {
		return evaluated, errDevice
	}
	return evaluated, nil
}

// Harden answers a Harden at a time, milliseconds. Nothing is committed, and it is about
// no record. How often an account may ask is for the caller to bound: with what a
// vault has in memory and on disk, this is what guesses are made with.
func (d *Door) Harden(ctx context.Context, b *vaultapi.HardenBody, now uint64) (*vaultapi.Answer, error) {
	if p256.Check(b.Blinded2) != nil {
		return &vaultapi.Answer{Code: vaultapi.Unsupported, Time: now}, nil
	}
	evaluated, err := d.ask(ctx, b.Blinded2)
	if err != nil {
		return nil, err
	}
	return &vaultapi.Answer{Time: now, Body: &vaultapi.Hardened{Evaluated2: evaluated}}, nil
}

// fill evaluates, and puts Z and its proof into the answer.
func (d *Door) fill(a *vaultapi.Answer, e *vault.Evaluation) error {
	body, ok := a.Body.(*vaultapi.Evaluation)
	if hardened, isHardened := a.Body.(*vaultapi.HardenedEvaluation); isHardened {
		body, ok = &hardened.Evaluation, true
	}
	if !ok {
		return errors.New("door: internal error: an evaluation for an answer that has no room for it")
	}
	z, proof, err := e.Key.Evaluate(d.Rand, e.Blinded)
	if err != nil {
		return fmt.Errorf("evaluating: %w", err)
	}
	body.Evaluated, body.Proof = z.Bytes(), proof.Bytes()
	return nil
}

// nobody is a key that belongs to nobody.
type nobody struct {
	key   *oprf.PrivateKey
	other *oprf.Blinded // evaluated when the question is none
	point [vaultapi.PointSize]byte
}

func newNobody(random io.Reader) (*nobody, error) {
	key, err := oprf.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("making the key of nobody: %w", err)
	}
	b, err := oprf.Blind(random, nil)
	if err != nil {
		return nil, fmt.Errorf("making a question to nobody: %w", err)
	}
	point, err := p256.Blind(random, nil)
	if err != nil {
		return nil, fmt.Errorf("making a question to nobody's device: %w", err)
	}
	defer point.Wipe()
	return &nobody{key, b.Blinded(), point.Blinded()}, nil
}

func (n *nobody) evaluate(random io.Reader, question [32]byte) {
	b, err := oprf.ParseBlinded(question[:])
	if err != nil {
		b = n.other
	}
	n.key.Evaluate(random, b)
}
