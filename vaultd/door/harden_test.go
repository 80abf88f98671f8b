package door_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"

	"keepsake.example/oprf/p256"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/door"
)

var errBroken = errors.New("the device is gone")

// device is a device in software that counts.
type device struct {
	key    [32]byte
	asked  [][33]byte
	broken error
	change func([33]byte) [33]byte // of what it answers
}

func (d *device) Evaluate(_ context.Context, blinded [33]byte) (e [33]byte, err error) {
	d.asked = append(d.asked, blinded)
	if d.broken != nil {
		return e, d.broken
	}
	if e, err = p256.Evaluate(&d.key, blinded); d.change != nil {
		e = d.change(e)
	}
	return e, err
}

// newHardened is a door with a device, and a group.
func newHardened(t *testing.T) (*door.Door, *group, *device) {
	t.Helper()
	d, g := newGroup(t)
	h := &device{key: [32]byte{31: 7}}
	d.Device = h
	return d, g, h
}

type hardened struct {
	guess
	body  *vaultapi.HardenedAttemptBody
	point *p256.Blinding
}

func newHardenedGuess(t *testing.T, id byte) hardened {
	t.Helper()
	q := newGuess(id)
	point := must(p256.Blind(rand.Reader, []byte("a password")))
	t.Cleanup(point.Wipe)
	return hardened{q, &vaultapi.HardenedAttemptBody{Attempt: q.body.Attempt, Blinded: q.body.Blinded, Blinded2: point.Blinded()}, point}
}

// Both evaluations of one attempt, also of a repetition and of the last one; the
// second is not in the state.
func TestHardenedAttempt(t *testing.T) {
	for _, limit := range []uint8{10, 1} {
		d, g, h := newHardened(t)
		k := register(t, d, g, limit)
		q := newHardenedGuess(t, 1)
		want := must(p256.Evaluate(&h.key, q.body.Blinded2))
		for n := range 3 {
			a := execute(t, d, g, q.body, vaultapi.OK)
			e := a.Body.(*vaultapi.HardenedEvaluation)
			q.finish(t, k, &vaultapi.Answer{Body: &e.Evaluation})
			if a.Left != limit-1 || e.Evaluated2 != want || len(h.asked) != n+1 {
				t.Errorf("limit %d: %d left, %x, the device was asked %d times", limit, a.Left, e.Evaluated2, len(h.asked))
			}
		}
		if len(g.log) != 3 {
			t.Errorf("limit %d: %d commits", limit, len(g.log)-2)
		}
	}
}

// The device is asked after the commit, once for each attempt however it ended, and
// what it said to a refused one is nowhere.
func TestDeviceIsAskedAlike(t *testing.T) {
	d, g, h := newHardened(t)
	asked := func(body vaultapi.Body, code vaultapi.Code) {
		t.Helper()
		before := len(h.asked)
		a := execute(t, d, g, body, code)
		if n := len(h.asked) - before; n != 1 || a.Body != nil && code != vaultapi.OK {
			t.Errorf("%v: the device was asked %d times, the answer has %T", code, n, a.Body)
		}
	}
	q, other := newHardenedGuess(t, 1), newHardenedGuess(t, 2)
	asked(q.body, vaultapi.None)
	register(t, d, g, 10)
	h.broken = errBroken
	committed := len(g.log)
	e := must(d.Execute(t.Context(), g, command(q.body)))
	if len(h.asked) != 1 || len(g.log) != committed+1 {
		t.Error("asked before the commit")
	}
	if a, err := d.Conclude(t.Context(), e, q.body); !errors.Is(err, errBroken) {
		t.Errorf("without the device: %+v, %v", a, err)
	}
	other.body.Attempt = q.body.Attempt
	asked(other.body, vaultapi.Conflict) // a refusal needs no device
	h.broken = nil
	asked(q.body, vaultapi.OK)
	bad := newHardenedGuess(t, 3)
	bad.body.Blinded2[0] = 9
	asked(bad.body, vaultapi.Unsupported)
	if p256.Check(h.asked[len(h.asked)-1]) != nil {
		t.Error("the device saw what is no point")
	}
	before := len(h.asked)
	execute(t, d, g, newGuess(4).body, vaultapi.OK)
	execute(t, d, g, &vaultapi.StatusBody{}, vaultapi.OK)
	if len(h.asked) != before {
		t.Error("the device was asked for what is not its")
	}
}

// A device that errs is no vault that lies: nothing of it reaches a client.
func TestFaultyDevice(t *testing.T) {
	d, g, h := newHardened(t)
	register(t, d, g, 10)
	q := newHardenedGuess(t, 1)
	for name, change := range map[string]func([33]byte) [33]byte{
		"zeros":        func([33]byte) [33]byte { return [33]byte{} },
		"no point":     func(e [33]byte) [33]byte { e[0] = 4; return e },
		"the question": func([33]byte) [33]byte { return q.body.Blinded2 },
	} {
		h.change = change
		e := must(d.Execute(t.Context(), g, command(q.body)))
		if a, err := d.Conclude(t.Context(), e, q.body); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
		if a, err := d.Harden(t.Context(), &vaultapi.HardenBody{Blinded2: q.body.Blinded2}, begin); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
	d.Device = nil
	if a, err := d.Harden(t.Context(), &vaultapi.HardenBody{Blinded2: q.body.Blinded2}, begin); err == nil {
		t.Errorf("without a device: %+v", a)
	}
	// What a fleet without the key refuses needs none.
	state := newGuess(9)
	execute(t, d, g, &vaultapi.HardenedAttemptBody{Attempt: state.body.Attempt, Blinded: state.body.Blinded}, vaultapi.Unsupported)
}

// A Harden is one evaluation and no commit.
func TestHarden(t *testing.T) {
	d, g, h := newHardened(t)
	q := newHardenedGuess(t, 1)
	a, err := d.Harden(t.Context(), &vaultapi.HardenBody{Blinded2: q.body.Blinded2}, begin)
	if err != nil || a.Code != vaultapi.OK || a.Time != begin || len(g.log) != 0 {
		t.Fatalf("%+v, %v, %d commits", a, err, len(g.log))
	}
	if _, err := q.point.Finalize(a.Body.(*vaultapi.Hardened).Evaluated2); err != nil {
		t.Error(err)
	}
	if a, err := d.Harden(t.Context(), &vaultapi.HardenBody{}, begin); err != nil || a.Code != vaultapi.Unsupported || len(h.asked) != 1 {
		t.Errorf("no point: %+v, %v, asked %d times", a, err, len(h.asked))
	}
}
