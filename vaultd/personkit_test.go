package vaultd_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"keepsake.example/oprf"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vaultapi"
)

// person is an account, a device and what it registered: a small client that
// uses package oprf and no other of ours that knows the protocol.
type person struct {
	w       *world
	name    string
	device  ed25519.PrivateKey
	account vaultapi.Account
	record  vaultapi.ID
	k       *oprf.PrivateKey
	unlock  ed25519.PrivateKey
	output  *oprf.Output // of the right password
}

func (w *world) person(name string) *person {
	_, device, _ := ed25519.GenerateKey(rand.Reader)
	return &person{w: w, name: name, device: device, account: must(vaultapi.NewAccount(issuerName, name))}
}

func public(k ed25519.PrivateKey) [32]byte { return [32]byte(k.Public().(ed25519.PublicKey)) }

func randomID() (id vaultapi.ID) {
	rand.Read(id[:])
	return id
}

func (p *person) token() string {
	return must(p.w.signer.Sign(token.Grant{
		Subject: p.name, Audience: audience, Key: p.device.Public().(ed25519.PublicKey), Issued: p.w.clock.Wall(), Life: time.Hour,
	}))
}

// request makes the bound message of a request.
func (p *person) request(body vaultapi.Body) *vaultapi.Request {
	r := &vaultapi.Request{Token: p.token(), Body: body}
	r.Bind(p.w.fleet, p.device)
	return r
}

// question is a sealed request and what opens its answer.
type question struct {
	bytes   []byte
	pending *sealed.Pending
	to      vaultapi.Type
}

func (w *world) seal(message []byte, to vaultapi.Type) question {
	w.t.Helper()
	key, err := w.bundle().Current(w.now())
	if err != nil {
		w.t.Fatal(err)
	}
	b, pending, err := key.Seal(message)
	if err != nil {
		w.t.Fatal(err)
	}
	return question{b, pending, to}
}

func (p *person) question(body vaultapi.Body) question {
	return p.w.seal(must(p.request(body).Encode()), body.Type())
}

// open opens an answer to a question.
func (q question) open(answer []byte) (*vaultapi.Answer, error) {
	text, err := q.pending.Open(answer)
	if err != nil {
		return nil, err
	}
	return vaultapi.DecodeAnswer(q.to, text)
}

func (w *world) deliver(q question) *vaultapi.Answer {
	w.t.Helper()
	status, body, _ := w.post(q.bytes)
	// A member of a fleet says so when there is an election: on a slow machine there may be one at any time.
	for end := time.Now().Add(patience); w.via != nil && status == http.StatusServiceUnavailable && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		status, body, _ = w.post(q.bytes)
	}
	if status != http.StatusOK {
		w.t.Fatalf("HTTP %d %q", status, body)
	}
	a, err := q.open(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (p *person) ask(body vaultapi.Body) *vaultapi.Answer {
	p.w.t.Helper()
	return p.w.deliver(p.question(body))
}

// wants fails unless the answer has the code.
func wants(t testing.TB, a *vaultapi.Answer, code vaultapi.Code) *vaultapi.Answer {
	t.Helper()
	if a.Code != code {
		t.Fatalf("answered %v, want %v", a.Code, code)
	}
	return a
}

const envelopeText = "the envelope C of the test"

func (p *person) proposal(password string) *vaultapi.ProposeBody {
	p.record = randomID()
	p.k = must(oprf.GenerateKey(rand.Reader))
	p.output = must(p.k.Output([]byte(password)))
	_, p.unlock, _ = ed25519.GenerateKey(rand.Reader)
	b := &vaultapi.ProposeBody{Record: p.record, Limit: 10, Unlock: public(p.unlock), Device: public(p.device), Envelope: []byte(envelopeText)}
	p.k.Use(func(k *[32]byte) { b.Key = vaultapi.NewSecret(k) })
	return b
}

// register sets a first password.
func (p *person) register(password string) {
	p.w.t.Helper()
	wants(p.w.t, p.ask(p.proposal(password)), vaultapi.OK)
	wants(p.w.t, p.ask(&vaultapi.ConfirmBody{Record: p.record}), vaultapi.OK)
}

func (w *world) registered(name, password string) *person {
	w.t.Helper()
	p := w.person(name)
	p.register(password)
	return p
}

// guess is one attempt with a password.
type guess struct {
	body     *vaultapi.AttemptBody
	blinding *oprf.Blinding
}

func newGuess(password string) guess {
	b := must(oprf.Blind(rand.Reader, []byte(password)))
	return guess{&vaultapi.AttemptBody{Attempt: randomID(), Blinded: b.Blinded().Bytes()}, b}
}

var errWrong = errors.New("wrong password")

// finish checks an evaluation and compares what comes out with what was registered.
func (p *person) finish(g guess, a *vaultapi.Answer) error {
	e, ok := a.Body.(*vaultapi.Evaluation)
	if !ok {
		return fmt.Errorf("%v without an evaluation", a.Code)
	}
	if e.Record != p.record || e.Attempt != g.body.Attempt || string(e.Envelope) != envelopeText {
		return errors.New("an evaluation of something else")
	}
	z, err := oprf.ParseEvaluated(e.Evaluated[:])
	if err != nil {
		return err
	}
	proof, err := oprf.ParseProof(e.Proof[:])
	if err != nil {
		return err
	}
	out, err := g.blinding.Finalize(p.k.Public(), z, proof)
	if err != nil {
		return err
	}
	if !out.Equal(p.output) {
		return errWrong
	}
	return nil
}

// prove shows that the password of a guess was right.
func (p *person) prove(g guess) *vaultapi.ProveBody {
	b := &vaultapi.ProveBody{Attempt: g.body.Attempt}
	message := vaultapi.ProveMessage(p.w.fleet, p.account, p.record, b.Attempt, g.body.Blinded, b.Device)
	copy(b.Signature[:], ed25519.Sign(p.unlock, message))
	return b
}

// exhaust makes wrong guesses until the record is destroyed, waiting as told, and returns the last.
func (p *person) exhaust(password string) guess {
	p.w.t.Helper()
	var g guess
	for left := 10; left > 0; left-- {
		g = newGuess(password)
		a := wants(p.w.t, p.ask(g.body), vaultapi.OK)
		if int(a.Left) != left-1 {
			p.w.t.Fatalf("%d attempts left, want %d", a.Left, left-1)
		}
		if err := p.finish(g, a); !errors.Is(err, errWrong) {
			p.w.t.Fatalf("guess: %v", err)
		}
		if a.Next > a.Time {
			p.w.clock.advance(time.Duration(a.Next-a.Time) * time.Millisecond)
		}
	}
	return g
}
