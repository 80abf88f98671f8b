package door_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/door"
)

var errLost = errors.New("the leader was lost")

// group is a group of one state and one that is behind it.
type group struct {
	t             *testing.T
	state, behind *vault.State // behind: nil when peeking shows the state itself
	time          uint64
	cutOff        uint64 // the time that is known before a leader is heard, until a read; 0: one was
	peeks, reads  int
	log           []*vault.Command     // what was committed
	lose          int                  // how many effects are lost after the commit
	broken        error                // of reads and proposals
	between       func(*vault.Command) // before a commit
}

func (g *group) Time() uint64 {
	if g.cutOff > 0 {
		return g.cutOff
	}
	return g.time
}

func (g *group) Current() bool { return g.cutOff == 0 }

func (g *group) Peek(f func(*vault.State)) error {
	g.peeks++
	if g.behind != nil {
		f(g.behind)
		return nil
	}
	f(g.state)
	return nil
}

func (g *group) Read(_ context.Context, f func(*vault.State)) error {
	g.reads++
	g.cutOff = 0
	if g.broken == nil {
		f(g.state)
	}
	return g.broken
}

func (g *group) Propose(_ context.Context, entry []byte) (any, error) {
	if g.broken != nil {
		return nil, g.broken
	}
	c, err := vault.DecodeCommand(entry)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.between != nil {
		g.between(c)
	}
	g.log = append(g.log, c)
	e, err := g.state.Apply(c)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.lose > 0 {
		g.lose--
		return nil, errLost
	}
	return e, nil
}

const begin = 1_800_000_000_000

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newState is a vault without accounts, and without waits.
func newState(t *testing.T) *vault.State { return waitingState(t, 0) }

// waitingState is one where each attempt but the first waits so many milliseconds.
func waitingState(t *testing.T, wait uint64) *vault.State {
	t.Helper()
	c := &vault.Command{Kind: vault.Genesis, Time: begin, IdentitySeed: vault.Seed{1}, NamingKey: vault.Seed{2}}
	identity := ed25519.NewKeyFromSeed(c.IdentitySeed[:]).Public().(ed25519.PublicKey)
	c.Fleet = sha256.Sum256(append([]byte("keepsake fleet id\x01"), identity...))
	c.Policy = vault.Policy{MaxAttempts: 10, Waits: slices.Repeat([]uint64{wait}, 9), CoolDown: 1000, Grace: 3_600_000, Insecure: true}
	s := vault.New()
	if _, err := s.Apply(c); err != nil {
		t.Fatal(err)
	}
	return s
}

func newGroup(t *testing.T) (*door.Door, *group) {
	t.Helper()
	d := must(door.New(rand.Reader))
	t.Cleanup(d.Wipe)
	return d, &group{t: t, state: newState(t), time: begin}
}

var alice = must(vaultapi.NewAccount("https://id.example.org", "alice"))

func command(body vaultapi.Body) *vault.Command {
	return &vault.Command{Kind: vault.Request, Account: alice, Body: body}
}

func execute(t *testing.T, d *door.Door, g *group, body vaultapi.Body, want vaultapi.Code) *vaultapi.Answer {
	t.Helper()
	e, err := d.Execute(t.Context(), g, command(body))
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.Conclude(t.Context(), e, body)
	if err != nil || a.Code != want {
		t.Fatalf("answered %+v, %v, want %v", a, err, want)
	}
	return a
}

// register makes a record with so many attempts, and returns its k.
func register(t *testing.T, d *door.Door, g *group, limit uint8) *oprf.PrivateKey {
	t.Helper()
	k := must(oprf.GenerateKey(rand.Reader))
	b := &vaultapi.ProposeBody{Record: vaultapi.ID{byte(len(g.log) + 1)}, Limit: limit, Unlock: [32]byte{3}, Device: [32]byte{4}, Envelope: []byte("C")}
	k.Use(func(s *[32]byte) { b.Key = vaultapi.NewSecret(s) })
	execute(t, d, g, b, vaultapi.OK)
	execute(t, d, g, &vaultapi.ConfirmBody{Record: b.Record}, vaultapi.OK)
	return k
}

type guess struct {
	body     *vaultapi.AttemptBody
	blinding *oprf.Blinding
}

func newGuess(id byte) guess {
	b := must(oprf.Blind(rand.Reader, []byte("a password")))
	return guess{&vaultapi.AttemptBody{Attempt: vaultapi.ID{id}, Blinded: b.Blinded().Bytes()}, b}
}

// finish checks the evaluation and its proof.
func (q guess) finish(t *testing.T, k *oprf.PrivateKey, a *vaultapi.Answer) {
	t.Helper()
	e := a.Body.(*vaultapi.Evaluation)
	out, err := q.blinding.Finalize(k.Public(), must(oprf.ParseEvaluated(e.Evaluated[:])), must(oprf.ParseProof(e.Proof[:])))
	if err != nil || !out.Equal(must(k.Output([]byte("a password")))) {
		t.Errorf("an evaluation that is not k's: %v", err)
	}
}

// What changes something costs one commit and no read of the group; what changes
// nothing costs a read and no commit; a Prove is committed without a look.
func TestOneCommit(t *testing.T) {
	d, g := newGroup(t)
	k := register(t, d, g, 10)
	if len(g.log) != 2 || g.reads != 0 || g.peeks != 2 {
		t.Errorf("registering: %d commits, %d reads, %d looks", len(g.log), g.reads, g.peeks)
	}
	q := newGuess(1)
	q.finish(t, k, execute(t, d, g, q.body, vaultapi.OK))
	if len(g.log) != 3 || g.reads != 0 {
		t.Errorf("an attempt: %d commits, %d reads", len(g.log)-2, g.reads)
	}
	q.finish(t, k, execute(t, d, g, q.body, vaultapi.OK)) // again
	execute(t, d, g, &vaultapi.StatusBody{}, vaultapi.OK)
	if len(g.log) != 3 || g.reads != 2 {
		t.Errorf("a repetition and a status: %d commits, %d reads", len(g.log)-3, g.reads)
	}
	peeks := g.peeks
	execute(t, d, g, &vaultapi.ProveBody{Attempt: q.body.Attempt}, vaultapi.Unauthorised)
	if len(g.log) != 4 || g.reads != 2 || g.peeks != peeks {
		t.Errorf("a proof: %d commits, %d reads, %d looks", len(g.log)-4, g.reads-2, g.peeks-peeks)
	}
}

// A state that is behind decides nothing: neither a refusal nor a repetition.
func TestBehind(t *testing.T) {
	d, g := newGroup(t)
	g.behind = newState(t)
	k := register(t, d, g, 10)
	// Behind there is no record: none. The group has one.
	execute(t, d, g, &vaultapi.StatusBody{}, vaultapi.OK)
	q := newGuess(1)
	q.finish(t, k, execute(t, d, g, q.body, vaultapi.OK))
	if a := execute(t, d, g, &vaultapi.StatusBody{}, vaultapi.OK); a.Left != 9 {
		t.Errorf("%d left", a.Left)
	}
	// What is still live behind is gone in the group.
	g.behind = g.state
	g.state = newState(t)
	execute(t, d, g, q.body, vaultapi.None)
}

// Who has waited long enough is not refused by a member that was just started, or cut off for a time,
// and has heard no leader since (seed 336146 of the simulator).
func TestTimeOfAMemberThatWasCutOff(t *testing.T) {
	d, g := newGroup(t)
	g.state = waitingState(t, 1000)
	register(t, d, g, 10)
	execute(t, d, g, newGuess(1).body, vaultapi.OK)
	for id, from := range map[byte]uint64{2: begin, 3: 1} {
		g.time += 500
		g.cutOff = from
		if a := execute(t, d, g, newGuess(id).body, vaultapi.Wait); a.Time != g.time {
			t.Errorf("refused at %d, and it is %d", a.Time, g.time)
		}
		g.time += 500
		g.cutOff = from
		execute(t, d, g, newGuess(id).body, vaultapi.OK)
		g.cutOff = from
		if a := execute(t, d, g, &vaultapi.StatusBody{}, vaultapi.OK); a.Time != g.time {
			t.Errorf("a status of %d, and it is %d", a.Time, g.time)
		}
	}
	// A proof goes without a look: its time is the group's, too.
	g.cutOff = begin
	execute(t, d, g, &vaultapi.ProveBody{}, vaultapi.Conflict)
	if last := g.log[len(g.log)-1]; last.Time != g.time {
		t.Errorf("a proof of %d, and it is %d", last.Time, g.time)
	}
}

// Rule 2 and 4: an outcome that was lost is asked for again, and the same entry
// committed twice spends once, also the last attempt, whose proof is made in the
// state from the command's random bytes.
func TestRepeatedCommit(t *testing.T) {
	for _, limit := range []uint8{10, 1} {
		d, g := newGroup(t)
		k := register(t, d, g, limit)
		began := len(g.log)
		g.lose = 3
		d.Retry = func(_ context.Context, n int, err error) error {
			if !errors.Is(err, errLost) || n > 3 {
				t.Errorf("asked about repetition %d after %v", n, err)
			}
			g.behind = newState(t) // which knows nothing, so that it is proposed again
			if _, err := g.behind.Apply(g.log[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := g.behind.Apply(g.log[1]); err != nil {
				t.Fatal(err)
			}
			g.time += 1000
			return nil
		}
		q := newGuess(1)
		a := execute(t, d, g, q.body, vaultapi.OK)
		q.finish(t, k, a)
		if a.Left != limit-1 {
			t.Errorf("limit %d: %d left after one attempt committed %d times", limit, a.Left, len(g.log)-began)
		}
		entries := g.log[began:]
		if len(entries) != 4 {
			t.Fatalf("limit %d: %d commits, want 4", limit, len(entries))
		}
		for i, c := range entries[1:] {
			if c.Random == entries[i].Random || c.Time != entries[i].Time+1000 {
				t.Errorf("repetition %d has the random bytes of the one before, or its time", i+1)
			}
		}
		g.behind, d.Retry = nil, nil
		again := execute(t, d, g, q.body, vaultapi.OK).Body.(*vaultapi.Evaluation)
		if limit == 1 && *bytesOf(again) != *bytesOf(a.Body.(*vaultapi.Evaluation)) {
			t.Error("the last attempt has two proofs")
		}
	}
}

func bytesOf(e *vaultapi.Evaluation) *[96]byte {
	return (*[96]byte)(append(append([]byte{}, e.Evaluated[:]...), e.Proof[:]...))
}

// The state changes between the look and the commit: the commit counts.
func TestCommitDecides(t *testing.T) {
	d, g := newGroup(t)
	register(t, d, g, 1)
	first, second := newGuess(1), newGuess(2)
	g.between = func(*vault.Command) {
		g.between = nil
		execute(t, d, g, first.body, vaultapi.OK)
	}
	execute(t, d, g, second.body, vaultapi.Destroyed)
}

// An error ends the command when nothing repeats it, or when that gives up.
func TestErrors(t *testing.T) {
	d, g := newGroup(t)
	register(t, d, g, 10)
	g.broken = errLost
	for _, body := range []vaultapi.Body{newGuess(1).body, &vaultapi.StatusBody{}, &vaultapi.ProveBody{}} {
		if e, err := d.Execute(t.Context(), g, command(body)); !errors.Is(err, errLost) || e != nil {
			t.Errorf("%v: %v, %v", body.Type(), e, err)
		}
	}
	enough := errors.New("enough")
	asked := 0
	d.Retry = func(_ context.Context, n int, _ error) error {
		if asked++; n != asked {
			t.Errorf("repetition %d is said to be %d", asked, n)
		}
		if n == 3 {
			return enough
		}
		return nil
	}
	if _, err := d.Execute(t.Context(), g, command(newGuess(1).body)); !errors.Is(err, enough) || asked != 3 {
		t.Errorf("%v after %d", err, asked)
	}
	if len(g.log) != 2 {
		t.Errorf("%d commits", len(g.log))
	}
}

// Without random bytes nothing is committed: a proof made of known bytes tells k.
func TestNoRandomBytes(t *testing.T) {
	d, g := newGroup(t)
	d.Rand = bytes.NewReader(make([]byte, 31))
	if _, err := d.Execute(t.Context(), g, command(&vaultapi.ProveBody{})); !errors.Is(err, io.ErrUnexpectedEOF) || len(g.log) != 0 {
		t.Errorf("%v, %d commits", err, len(g.log))
	}
	if _, err := door.New(d.Rand); err == nil {
		t.Error("a door without random bytes")
	}
}

// The key of an evaluation is wiped by the answer it was for.
func TestKeysAreWiped(t *testing.T) {
	d, g := newGroup(t)
	register(t, d, g, 10)
	q := newGuess(1)
	e := must(d.Execute(t.Context(), g, command(q.body)))
	must(d.Conclude(t.Context(), e, q.body))
	defer func() {
		if recover() == nil {
			t.Error("a key is left after its evaluation")
		}
	}()
	e.Evaluate.Key.Use(func(*[32]byte) {}) // panics when it was wiped
}

// An effect that has no room for its evaluation is no answer.
func TestConcludeRefuses(t *testing.T) {
	d, g := newGroup(t)
	register(t, d, g, 10)
	q := newGuess(1)
	e := must(d.Execute(t.Context(), g, command(q.body)))
	e.Answer.Body = nil
	if a, err := d.Conclude(t.Context(), e, q.body); err == nil {
		t.Errorf("concluded %+v", a)
	}
}
