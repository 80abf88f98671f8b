package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"keepsake.example/internal/durable"
	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// # Order of steps, when a key is got back by a password
//
//	1 a seed is on the disk (attempt)
//	2 Attempt, or HardenedAttempt where the fleet has a key in its hardware: counted
//	  once for this seed, however often it is sent
//	3 the answer opens: K is in hand
//	4 the proof is on the disk (vault.json), the seed is not any more
//	5 Prove: the count is zero again
//
// A crash before 4 repeats the same attempt, at no cost, when the same password is
// typed. A crash, or a lost answer, after 4 leaves the proof to be sent by the next
// command, before anything else is asked: the count does not stay where one answer
// was lost. When the attempt was the last one, the record is used up with step 5, and
// the password is set anew at once; vault.json says so from step 4 on.

// RecoverOptions say what becomes of this device.
type RecoverOptions struct {
	// Enroll makes this device the one that may change the record, in place of the
	// one before, which is lost perhaps.
	Enroll bool
}

// Recovery is what a password gave. The caller wipes Key.
type Recovery struct {
	Key *key.Key
	// Past are the attempts since the last success before this one, oldest first.
	Past []Attempt
	// Unproved says that the vault has not confirmed the proof: attempts stay
	// counted until the next command reaches it. It is nil when the proof came too
	// late to be needed: another device's was first. Then this one is not enrolled.
	Unproved error
	// Renewed says that this was the last attempt, so that the password was set
	// anew; NotRenewed why that failed.
	Renewed    bool
	NotRenewed error
}

// Attempt is one of the past.
type Attempt struct {
	Time time.Time
	Mine bool // by this device
	Who  [8]byte
}

// Recover gets the key behind a password, at the price of one attempt when the
// password is wrong. The error is a WrongPasswordError, WaitError, DestroyedError,
// NotCountedError, ErrNoRecord or password.ErrDishonest among others; only the first
// has cost an attempt.
func (c *Client) Recover(ctx context.Context, a Access, p *password.Password, o RecoverOptions) (r *Recovery, err error) {
	err = c.vault(ctx, a, func(l *link) (err error) {
		r, err = l.recover(ctx, p, o)
		return err
	})
	return r, err
}

func (l *link) recover(ctx context.Context, p *password.Password, o RecoverOptions) (*Recovery, error) {
	if err := l.finishProof(ctx); err != nil {
		return nil, err
	}
	got, body, err := l.attempt(ctx, p)
	if err != nil {
		return nil, err
	}
	defer got.Unlock.Wipe()
	last := body.last
	if err := l.keepProof(got, body, o); err != nil {
		got.Key.Wipe()
		return nil, err
	}
	r := &Recovery{Key: got.Key}
	if err := l.adopt(p, o); err != nil {
		got.Key.Wipe()
		return nil, err
	}
	if r.Past, r.Unproved = l.prove(ctx); r.Unproved != nil {
		return r, nil // K is in hand; the proof waits for the next command
	}
	if last {
		r.NotRenewed = l.renewRecord(ctx, got.Key, p)
		r.Renewed = r.NotRenewed == nil
	}
	return r, nil
}

// asked is an attempt that was answered.
type asked struct {
	id       vaultapi.ID
	question [32]byte // what the proof is over
	last     bool     // no other one is left
}

// attempt asks the vault with the seed that is on the disk, or a new one. A conflict
// means that the seed's attempt was made with another password: that one cost what
// it cost, and this one is another.
func (l *link) attempt(ctx context.Context, p *password.Password) (*password.Recovered, *asked, error) {
	for fresh := false; ; fresh = true {
		seed, err := l.c.attemptSeed(fresh)
		if err != nil {
			return nil, nil, err
		}
		q, err := password.Ask(seed, p, l.place())
		seed.Wipe()
		if err != nil {
			return nil, nil, err
		}
		got, body, err := l.askQuestion(ctx, q)
		q.Wipe()
		if errors.Is(err, errConflict) && !fresh {
			continue
		}
		return got, body, err
	}
}

var errConflict = errors.New("client: this attempt was made with another password")

func (l *link) askQuestion(ctx context.Context, q *password.Question) (*password.Recovered, *asked, error) {
	if err := l.c.step("seeded"); err != nil {
		return nil, nil, err
	}
	body := &asked{id: q.Attempt(), question: q.Asked()}
	a, err := l.ask(ctx, q.Body())
	if err != nil {
		return nil, nil, err // the seed stays: the same attempt may have been counted
	}
	if err := l.c.step("answered"); err != nil {
		return nil, nil, err
	}
	switch a.Code {
	case vaultapi.OK:
	case vaultapi.Conflict:
		return nil, nil, errConflict
	default:
		l.cover(ctx)
		return nil, nil, errors.Join(l.refusal(a), l.c.dropSeed())
	}
	body.last = a.Left == 0
	got, err := q.Open(a.Body)
	if errors.Is(err, password.ErrWrongPassword) {
		l.cover(ctx)
		return nil, nil, l.wrong(a)
	}
	// After a lie the seed stays too: nothing is asked again by itself, and the
	// same question is the one that an honest vault need not count.
	return got, body, err
}

// coverTime bounds the wait for an answer that nobody needs.
const coverTime = 5 * time.Second

// cover sends one more request where a right password is followed by its proof: a
// relay that counts requests must not learn from their number how an attempt ended.
func (l *link) cover(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, coverTime)
	defer cancel()
	_, _ = l.ask(ctx, &vaultapi.StatusBody{}) // whatever it says
}

// wrong ends an attempt. After the last one there is nothing left to try.
func (l *link) wrong(a *vaultapi.Answer) error {
	if err := l.c.dropSeed(); err != nil {
		return err
	}
	if a.Left == 0 {
		return &DestroyedError{When: l.now(), Limit: int(a.Limit)}
	}
	return &WrongPasswordError{l.counted(a)}
}

// attemptSeed gives the seed of the attempt under way, or a new one, which is on
// the disk when it returns.
func (c *Client) attemptSeed(fresh bool) (*password.Seed, error) {
	if text, err := readLimited(c.path(attemptFile)); err == nil && !fresh {
		defer clear(text)
		var b [password.SeedSize]byte
		defer clear(b[:])
		if len(text) == 2*len(b)+1 {
			if _, err := hex.Decode(b[:], text[:2*len(b)]); err == nil {
				return password.SeedFromBytes(b), nil
			}
		}
	}
	seed, err := password.NewSeed(rand.Reader)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 0, 2*password.SeedSize+1)
	seed.Use(func(b *[password.SeedSize]byte) { text = append(hex.AppendEncode(text, b[:]), '\n') })
	defer clear(text)
	if err := durable.WriteFile(c.path(attemptFile), text, 0o600); err != nil {
		return nil, fmt.Errorf("writing down the attempt: %w", err)
	}
	return seed, nil
}

func (c *Client) dropSeed() error {
	if err := os.Remove(c.path(attemptFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the attempt: %w", err)
	}
	return nil
}

// keepProof writes the proof down, and then forgets the seed: with the proof the
// attempt is over.
func (l *link) keepProof(got *password.Recovered, body *asked, o RecoverOptions) error {
	prove := &vaultapi.ProveBody{Attempt: body.id}
	if o.Enroll {
		prove.Device = publicOf(l.sec.authority())
	}
	prove.Signature = got.Unlock.Sign(vaultapi.ProveMessage(l.st.Server.Fleet, l.account, got.Record, body.id, body.question, prove.Device))
	l.st.Proof = &Proof{Body: hex.EncodeToString(vaultapi.EncodeBody(prove)), Record: textOf(got.Record)}
	l.st.Again = body.last
	if err := l.c.writeVaultState(l.st); err != nil {
		return err
	}
	if err := l.c.step("opened"); err != nil {
		return err
	}
	return l.c.dropSeed()
}

// prove sends the proof that is on the disk, until it is answered.
func (l *link) prove(ctx context.Context) ([]Attempt, error) {
	body, record, err := l.st.Proof.decode()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: proof", ErrProfileDamaged, vaultFile)
	}
	a, err := l.ask(ctx, body)
	if err != nil {
		return nil, err
	}
	if a.Code == vaultapi.OK && body.Device == publicOf(l.sec.authority()) {
		l.st.Record = textOf(record) // this device may change it from now on
	}
	// Any answer ends it: a record that was replaced, deleted or destroyed since
	// has no use for the proof.
	l.st.Proof = nil
	if err := l.c.writeVaultState(l.st); err != nil {
		return nil, err
	}
	switch a.Code {
	case vaultapi.OK:
	case vaultapi.Conflict:
		// Another device proved the password after this one was answered, which set
		// the count to zero for this attempt as well, or the record was replaced.
		// K is in hand and nothing of this attempt stays counted.
		return nil, nil
	default:
		return nil, l.refusal(a)
	}
	return l.past(a, a.Body.(*vaultapi.History).Past), nil
}

// finishProof sends a proof that an earlier command could not. Its outcome is not
// this command's: only that the server was not reached is.
func (l *link) finishProof(ctx context.Context) error {
	if l.st.Proof == nil {
		return nil
	}
	past, err := l.prove(ctx)
	if l.st.Proof != nil {
		return err
	}
	if n := others(past); n > 0 {
		l.c.warn("attempts at the password from other devices, before it was last right: %d", n)
	}
	return nil
}

func others(past []Attempt) (n int) {
	for _, p := range past {
		if !p.Mine {
			n++
		}
	}
	return n
}

func (l *link) past(a *vaultapi.Answer, past []vaultapi.Past) []Attempt {
	me := thumbprint(publicOf(l.sec.signIn()))
	var list []Attempt
	for _, p := range past {
		list = append(list, Attempt{l.when(a, p.Time), p.Who == [8]byte(me[:8]), p.Who})
	}
	return list
}

// adopt makes this device remember the password that opened the envelope.
func (l *link) adopt(p *password.Password, o RecoverOptions) error {
	if !o.Enroll {
		return nil
	}
	verifier, err := l.newVerifier(p)
	if err != nil {
		return err
	}
	l.sec.verifier = verifier
	return l.c.saveSecrets(l.st, l.sec)
}

// renewRecord sets the password anew after the record was used up by the right
// password in the last attempt.
func (l *link) renewRecord(ctx context.Context, k *key.Key, p *password.Password) error {
	live, err := l.status(ctx)
	if err != nil {
		return err
	}
	if live != nil && !l.mine(live.Record) {
		return ErrForeignRecord
	}
	return l.register(ctx, live, k, p)
}
