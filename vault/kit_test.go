package vault_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Times in milliseconds.
const (
	second = 1000
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
	start  = 1_800_000_000_000
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// hash gives 32 bytes for anything that prints.
func hash(parts ...any) [32]byte { return sha256.Sum256([]byte(fmt.Sprintf("%q", parts))) }

// reader gives the same bytes for the same seed, without end.
type reader struct {
	seed [32]byte
	n    uint64
}

func (r *reader) Read(b []byte) (int, error) {
	for i := range b {
		h := sha256.Sum256(binary.BigEndian.AppendUint64(r.seed[:], r.n))
		b[i] = h[0]
		r.n++
	}
	return len(b), nil
}

func keyOf(parts ...any) *oprf.PrivateKey {
	return must(oprf.GenerateKey(&reader{seed: hash(parts...)}))
}

func signer(parts ...any) ed25519.PrivateKey {
	seed := hash(parts...)
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) [32]byte { return [32]byte(k.Public().(ed25519.PublicKey)) }

func id(parts ...any) vaultapi.ID { h := hash(parts...); return vaultapi.ID(h[:16]) }

func policy() vault.Policy {
	return vault.Policy{
		MaxAttempts: 10,
		Waits:       []uint64{0, 0, 0, 30 * second, 5 * minute, 30 * minute, 2 * hour, 8 * hour, 24 * hour},
		CoolDown:    7 * day, Grace: hour,
	}
}

// genesis is the first command of a fleet that is named after its policy.
func genesis(p vault.Policy) *vault.Command {
	identity := signer("identity", p)
	c := &vault.Command{Kind: vault.Genesis, Time: start, IdentitySeed: vault.Seed(identity.Seed()), NamingKey: hash("naming", p), Policy: p}
	public := identity.Public().(ed25519.PublicKey)
	c.Fleet = sha256.Sum256(append([]byte("keepsake fleet id\x01"), public...))
	return c
}

// tester is what testing and rapid have in common.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// world is a vault, the commands that it was given, and a clock.
type world struct {
	t     tester
	state *vault.State
	fleet [32]byte
	now   uint64
	log   [][]byte
}

func newWorld(t tester, p vault.Policy) *world {
	w := &world{t: t, state: vault.New(), now: start, fleet: genesis(p).Fleet}
	w.apply(genesis(p))
	return w
}

// apply sends a command through its bytes, first to Check, which must agree with Apply.
func (w *world) apply(c *vault.Command) *vault.Effect {
	w.t.Helper()
	checked, decided := w.state.Check(c)
	before := w.bytes(c)
	entry := c.Encode()
	w.log = append(w.log, entry)
	e, err := w.state.Apply(must(vault.DecodeCommand(entry)))
	if err != nil {
		w.t.Fatalf("kind %d: %v", c.Kind, err)
	}
	if decided {
		if same := bytes.Equal(before, w.bytes(c)); !same {
			w.t.Errorf("%T: Check decided a command that changes the state", c.Body)
		}
		if got, want := describe(checked), describe(e); got != want {
			w.t.Errorf("%T: Check: %s; Apply: %s", c.Body, got, want)
		}
	}
	return e
}

// bytes is the state as a checkpoint has it, at the time of a command.
func (w *world) bytes(c *vault.Command) []byte {
	if c.Kind == vault.Genesis {
		return nil
	}
	b := w.checkpoint()
	clear(b[2+21:][:8]) // the time
	return b[:len(b)-4]
}

func (w *world) checkpoint() []byte {
	var b bytes.Buffer
	c := w.state.Checkpoint()
	defer c.Release()
	must(c.WriteTo(&b))
	return b.Bytes()
}

// reload replaces the state by what its checkpoint loads as.
func (w *world) reload() {
	w.t.Helper()
	b := w.checkpoint()
	w.state = must(vault.Load(bytes.NewReader(b)))
	if again := w.checkpoint(); !bytes.Equal(b, again) {
		w.t.Errorf("a checkpoint of %d bytes is another after Load, of %d", len(b), len(again))
	}
}

// describe is an effect as text, with what is to be evaluated.
func describe(e *vault.Effect) string {
	text := fmt.Sprintf("%v left %d/%d at +%d next +%d", e.Answer.Code, e.Answer.Left, e.Answer.Limit, since(e.Answer.Time), since(e.Answer.Next))
	switch b := e.Answer.Body.(type) {
	case nil:
	case *vaultapi.Evaluation:
		text += fmt.Sprintf(" evaluation %v %v %x %x %x", b.Record, b.Attempt, b.Evaluated, b.Proof, b.Envelope)
	default:
		text += fmt.Sprintf(" %+v", b)
	}
	if e.Evaluate != nil {
		text += fmt.Sprintf(" evaluate %x under %x", e.Evaluate.Blinded.Bytes(), e.Evaluate.Key.Public().Bytes())
	}
	return text
}

func since(t uint64) uint64 {
	if t == 0 {
		return 0
	}
	return t - start
}

// person is an account's owner, or whoever else has a token for the account.
type person struct {
	w       *world
	account vaultapi.Account
	who     [8]byte
	random  int
}

func (w *world) person(name string) *person {
	return &person{w: w, account: vaultapi.Account(hash("account", name)), who: [8]byte([]byte(name + "        "))}
}

// ask is one request with the answer to it, evaluated as the shell would.
func (p *person) ask(body vaultapi.Body) *vaultapi.Answer {
	p.w.t.Helper()
	return p.w.finish(p.w.apply(p.command(body)))
}

func (p *person) command(body vaultapi.Body) *vault.Command {
	p.random++
	return &vault.Command{Kind: vault.Request, Time: p.w.now, Account: p.account, Who: p.who, Body: body, Random: hash("random", p.who, p.random)}
}

// finish does the shell's part of an effect. Every answer must be one that can be sent.
func (w *world) finish(e *vault.Effect) *vaultapi.Answer {
	w.t.Helper()
	a := e.Answer
	if e.Evaluate != nil {
		z, proof, err := e.Evaluate.Key.Evaluate(&reader{}, e.Evaluate.Blinded)
		if err != nil {
			w.t.Fatalf("evaluating: %v", err)
		}
		e.Evaluate.Key.Wipe()
		body := evaluation(&a)
		body.Evaluated, body.Proof = z.Bytes(), proof.Bytes()
	}
	if _, err := a.Encode(); err != nil {
		w.t.Errorf("answer that cannot be sent: %v", err)
	}
	return &a
}

// secret is what a person who set a password has: all that follows from it.
type secret struct {
	name           string
	record         vaultapi.ID
	key            *oprf.PrivateKey
	unlock, device ed25519.PrivateKey
	proposal       *vaultapi.ProposeBody
}

// password makes the secrets of a record of its own.
func password(name string, limit uint8) *secret {
	s := &secret{name: name, record: id("record", name), key: keyOf(name), unlock: signer("unlock", name), device: signer("device", name)}
	var k [32]byte
	s.key.Use(func(b *[32]byte) { k = *b })
	s.proposal = &vaultapi.ProposeBody{
		Record: s.record, Limit: limit, Key: vaultapi.NewSecret(&k),
		Unlock: public(s.unlock), Device: public(s.device), Envelope: bytes.Repeat([]byte(name), 141)[:141],
	}
	return s
}

func (p *person) propose(s *secret) *vaultapi.Answer { return p.ask(s.proposal) }

// confirm confirms new by a key of live, nil for none.
func (p *person) confirm(next *secret, live *secret, kind vaultapi.Kind) *vaultapi.Answer {
	b := &vaultapi.ConfirmBody{Record: next.record}
	if kind != vaultapi.ByNobody {
		b.Authority = live.sign(kind, vaultapi.ConfirmMessage(p.w.fleet, p.account, live.record, next.proposal.Digest()))
	}
	return p.ask(b)
}

func (s *secret) sign(kind vaultapi.Kind, message []byte) vaultapi.Authority {
	k := s.unlock
	if kind == vaultapi.ByDevice {
		k = s.device
	}
	return vaultapi.Authority{Kind: kind, Signature: [64]byte(ed25519.Sign(k, message))}
}

// register makes a record live where there is none.
func (p *person) register(name string, limit uint8) *secret {
	p.w.t.Helper()
	s := password(name, limit)
	p.expect(p.propose(s), vaultapi.OK)
	p.expect(p.confirm(s, nil, vaultapi.ByNobody), vaultapi.OK)
	return s
}

func (p *person) remove(s *secret, kind vaultapi.Kind) *vaultapi.Answer {
	b := &vaultapi.DeleteBody{Record: s.record}
	if kind != vaultapi.ByNobody {
		b.Authority = s.sign(kind, vaultapi.DeleteMessage(p.w.fleet, p.account, s.record))
	}
	return p.ask(b)
}

func (p *person) cancel(live *secret, pending vaultapi.ID, kind vaultapi.Kind) *vaultapi.Answer {
	return p.ask(&vaultapi.CancelBody{Record: pending, Authority: live.sign(kind, vaultapi.CancelMessage(p.w.fleet, p.account, live.record, pending))})
}

func (p *person) status() *vaultapi.Answer { return p.ask(&vaultapi.StatusBody{}) }

// guess is an attempt with a password: its id and its question, or, of a hardened
// attempt, its two questions.
type guess struct {
	id       vaultapi.ID
	blinding *oprf.Blinding
	point    *[33]byte // nil: a plain attempt
}

func newGuess(parts ...any) *guess {
	return &guess{id: id("attempt", parts), blinding: must(oprf.Blind(&reader{seed: hash("blind", parts)}, []byte("password")))}
}

// hardened is the guess with the n-th point for its second question.
func (g *guess) hardened(n byte) *guess {
	point := must(p256.Public(&[32]byte{31: n}))
	return &guess{g.id, g.blinding, &point}
}

// request is the attempt of either kind.
func (g *guess) request() vaultapi.Body {
	if g.point == nil {
		return g.body()
	}
	return &vaultapi.HardenedAttemptBody{Attempt: g.id, Blinded: g.body().Blinded, Blinded2: *g.point}
}

// question is what a proof of the attempt is about.
func (g *guess) question() [32]byte {
	if b, ok := g.request().(*vaultapi.HardenedAttemptBody); ok {
		return b.Question()
	}
	return g.body().Blinded
}

func (g *guess) body() *vaultapi.AttemptBody {
	return &vaultapi.AttemptBody{Attempt: g.id, Blinded: g.blinding.Blinded().Bytes()}
}

func (p *person) attempt(g *guess) *vaultapi.Answer { return p.ask(g.request()) }

// output is what the client gets of an answer; it must be what the key gives.
func (g *guess) output(t tester, a *vaultapi.Answer, k *oprf.PrivateKey) {
	t.Helper()
	if a.Code != vaultapi.OK {
		t.Fatalf("attempt: %v", a.Code)
	}
	e := evaluation(a)
	if _, both := a.Body.(*vaultapi.HardenedEvaluation); both != (g.point != nil) {
		t.Errorf("answered with %T", a.Body)
	}
	out, err := g.blinding.Finalize(k.Public(), must(oprf.ParseEvaluated(e.Evaluated[:])), must(oprf.ParseProof(e.Proof[:])))
	if err != nil || e.Attempt != g.id {
		t.Fatalf("finalizing attempt %v, answered as %v: %v", g.id, e.Attempt, err)
	}
	if !out.Equal(must(k.Output([]byte("password")))) {
		t.Errorf("another output than the key's")
	}
}

// evaluation is what an attempt of either kind is answered with.
func evaluation(a *vaultapi.Answer) *vaultapi.Evaluation {
	if both, ok := a.Body.(*vaultapi.HardenedEvaluation); ok {
		return &both.Evaluation
	}
	return a.Body.(*vaultapi.Evaluation)
}

// prove proves a guess by the unlock key of s, and enrols a device key, nil for none.
func (p *person) prove(g *guess, s *secret, device ed25519.PrivateKey) *vaultapi.Answer {
	return p.ask(p.proof(g, s, device))
}

func (p *person) proof(g *guess, s *secret, device ed25519.PrivateKey) *vaultapi.ProveBody {
	b := &vaultapi.ProveBody{Attempt: g.id}
	if device != nil {
		b.Device = public(device)
	}
	b.Signature = [64]byte(ed25519.Sign(s.unlock, vaultapi.ProveMessage(p.w.fleet, p.account, s.record, g.id, g.question(), b.Device)))
	return b
}

func (p *person) expect(a *vaultapi.Answer, want vaultapi.Code) *vaultapi.Answer {
	p.w.t.Helper()
	if a.Code != want {
		p.w.t.Fatalf("answered %v, want %v", a.Code, want)
	}
	return a
}

// left checks an answer's code and how many attempts are left.
func (p *person) left(a *vaultapi.Answer, code vaultapi.Code, left uint8) *vaultapi.Answer {
	p.w.t.Helper()
	if a.Code != code || a.Left != left {
		p.w.t.Fatalf("answered %v with %d left, want %v with %d", a.Code, a.Left, code, left)
	}
	return a
}

// pass lets time go by, without a command.
func (w *world) pass(ms uint64) { w.now += ms }

func (w *world) tick() { w.t.Helper(); w.apply(&vault.Command{Kind: vault.Tick, Time: w.now}) }
