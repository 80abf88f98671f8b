package vault

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"keepsake.example/internal/memo"
	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/vaultapi"
)

// turn is one request to one account. Its methods decide it, and change the
// account and nothing else: whether the change is kept is for the state to say.
type turn struct {
	*account
	fleet    *fleet
	now      uint64
	by       *Command
	question *oprf.Blinded // for the shell to evaluate: of an attempt that is paid for
	dry      bool          // nothing of it is kept: it is asked only whether there is a change
}

func (t *turn) do() (*Effect, error) {
	switch b := t.by.Body.(type) {
	case *vaultapi.ProposeBody:
		return t.propose(b), nil
	case *vaultapi.ConfirmBody:
		return t.confirm(b), nil
	case *vaultapi.AttemptBody:
		return t.attempt(&asked{id: b.Attempt, blinded: b.Blinded, question: b.Blinded})
	case *vaultapi.HardenedAttemptBody:
		return t.attempt(&asked{id: b.Attempt, blinded: b.Blinded, question: b.Question(), point: &b.Blinded2})
	case *vaultapi.ProveBody:
		return t.prove(b), nil
	case *vaultapi.DeleteBody:
		return t.delete(b), nil
	case *vaultapi.CancelBody:
		return t.cancel(b), nil
	}
	return t.status(), nil
}

// say makes the answer to the turn from the account as it is now.
func (t *turn) say(code vaultapi.Code, body vaultapi.AnswerBody) *Effect {
	a := vaultapi.Answer{Code: code, Time: t.now, Body: body}
	if code != vaultapi.Unsupported && t.hasRecord() {
		a.Left, a.Limit = t.record.limit-t.account.spent, t.record.limit
		if t.next > t.now {
			a.Next = t.next
		}
	}
	return &Effect{Answer: a}
}

// wait is the answer to what is allowed at a later time.
func (t *turn) wait(until uint64) *Effect {
	e := t.say(vaultapi.Wait, nil)
	e.Answer.Next = until
	return e
}

// absent is the answer where a request needs a live record and there is none.
func (t *turn) absent() *Effect {
	if t.phase == spent || t.phase == destroyed {
		return t.say(vaultapi.Destroyed, &vaultapi.Destruction{When: t.when})
	}
	return t.say(vaultapi.None, nil)
}

// asked is an Attempt or a HardenedAttempt. Both are one attempt.
type asked struct {
	id       vaultapi.ID
	blinded  [32]byte                  // B
	question [32]byte                  // what is kept of it
	point    *[vaultapi.PointSize]byte // B2, for the shell's device to evaluate; nil for none
}

// attempt is spec/vault-protocol.md §11.2. There is one way to an evaluation of
// an element that was not evaluated before, and it goes through spend.
func (t *turn) attempt(b *asked) (*Effect, error) {
	question, err := parseBlinded(b.blinded)
	if err != nil || b.point != nil && checkPoint(*b.point) != nil {
		return t.say(vaultapi.Unsupported, nil), nil
	}
	if !t.hasRecord() {
		return t.absent(), nil
	}
	seen := t.try(b.id)
	switch {
	case t.phase == spent && seen != &t.tries[len(t.tries)-1]:
		return t.absent(), nil
	case seen != nil && (seen.other || seen.question != b.question):
		return t.say(vaultapi.Conflict, nil), nil
	case seen != nil:
		return t.evaluate(b, question), nil
	case t.next > t.now:
		return t.wait(t.next), nil
	}
	return t.spend(b, question)
}

// spend counts the attempt, and only then lets the question be evaluated: by the
// shell, after the commit (rule 3), or, for the last attempt, here (rule 4).
func (t *turn) spend(b *asked, question *oprf.Blinded) (*Effect, error) {
	if t.account.spent >= t.record.limit {
		return nil, errors.New("a live record without an attempt left")
	}
	t.account.spent++
	if t.owed < math.MaxUint8 {
		t.owed++
	}
	t.next = t.now + t.fleet.Policy.wait(t.owed)
	t.tries = append(t.tries, try{id: b.id, question: b.question, time: t.now, who: t.by.Who})
	t.trim()
	if t.account.spent == t.record.limit {
		if err := t.finish(question); err != nil {
			return nil, err
		}
	}
	return t.evaluate(b, question), nil
}

// evaluate answers an attempt that has been paid for. Z and its proof are of the
// last attempt, or zeros for the shell to fill in.
func (t *turn) evaluate(b *asked, question *oprf.Blinded) *Effect {
	if t.phase == live {
		t.question = question
	}
	e := &vaultapi.Evaluation{
		Record: t.record.id, Attempt: b.id, Evaluated: t.last.evaluated, Proof: t.last.proof,
		Envelope: bytes.Clone(t.record.envelope),
	}
	if b.point != nil {
		return t.say(vaultapi.OK, &vaultapi.HardenedEvaluation{Evaluation: *e})
	}
	return t.say(vaultapi.OK, e)
}

// grant adds what the shell evaluates with, once it is sure: it costs k·G.
func (t *turn) grant(e *Effect) (err error) {
	if t.question != nil && !t.by.Unasked {
		e.Evaluate = &Evaluation{Blinded: t.question}
		e.Evaluate.Key, err = oprf.ParsePrivateKey(t.record.key[:])
	}
	return err
}

// finish answers the last attempt and erases k: no other question can ever be
// evaluated. After this there can be no proof, so it is made here, with the random
// bytes of the command, which all replicas have.
func (t *turn) finish(question *oprf.Blinded) error {
	if t.dry {
		return nil // the attempt is counted: that is a change
	}
	// Not through memo: a key that is to be destroyed must not be copied into an argument first.
	k, err := oprf.ParsePrivateKey(t.record.key[:])
	if err != nil {
		return fmt.Errorf("reading the key of a live record: %w", err)
	}
	defer k.Wipe()
	z, proof, err := k.Evaluate(bytes.NewReader(t.by.Random[:]), question)
	if err != nil {
		return fmt.Errorf("evaluating a last attempt: %w", err)
	}
	clear(t.record.key[:])
	if t.pending.kind == vaultapi.PendingDeletion {
		t.drop() // there is nothing left to delete
	}
	t.phase, t.when, t.next = spent, t.now, 0
	t.last = last{evaluated: z.Bytes(), proof: proof.Bytes(), until: t.now + t.fleet.Policy.Grace}
	return nil
}

// What every replica computes alike of the same input: a simulator, which is all of them, once.
var (
	parseBlinded = memo.Try(func(b [32]byte) (*oprf.Blinded, error) { return oprf.ParseBlinded(b[:]) })
	checkPoint   = memo.Func(p256.Check)
)

// prove is the one way for a client to set the count to zero without replacing the record.
func (t *turn) prove(b *vaultapi.ProveBody) *Effect {
	request := sha256.Sum256(vaultapi.EncodeBody(b))
	seen := t.try(b.Attempt)
	switch {
	// The same again: it was verified then. It changes nothing, whatever has
	// happened since, so that an old one delivered again enrols no old device.
	case seen != nil && seen.proof == request:
		return t.say(vaultapi.OK, &vaultapi.History{Past: t.history(seen.until)})
	case !t.hasRecord():
		return t.absent()
	case seen == nil || seen.other || seen.until != 0:
		return t.say(vaultapi.Conflict, nil)
	}
	message := vaultapi.ProveMessage(t.fleet.ID, t.by.Account, t.record.id, b.Attempt, seen.question, b.Device)
	if !memo.Verify(t.record.unlock[:], message, b.Signature[:]) {
		return t.say(vaultapi.Unauthorised, nil)
	}
	seen.proof = request
	return t.proved(b)
}

// proved is the success of a Prove.
func (t *turn) proved(b *vaultapi.ProveBody) *Effect {
	t.account.spent, t.owed, t.next, t.success = 0, 0, 0, t.now
	t.drop()
	if b.Device != [32]byte{} {
		t.record.device = b.Device
	}
	t.forget(t.now)
	past := t.history(t.tries[len(t.tries)-1].until)
	if t.phase == spent {
		t.destroy(t.now)
	}
	return t.say(vaultapi.OK, &vaultapi.History{Past: past})
}
