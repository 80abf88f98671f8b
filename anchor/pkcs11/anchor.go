//go:build cgo

package pkcs11

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

// owned is what this process knows to be the token's state.
type owned struct {
	stored
	key *anchor.Key
}

// An object is a state object on the token.
type object struct {
	handle p11.ObjectHandle
	value  []byte
	stored *stored // nil: no state
}

// Read implements [anchor.Anchor].
func (d *device) Read(ctx context.Context) (s anchor.State, k *anchor.Key, err error) {
	err = d.stepping(ctx, func() error {
		if d.now == nil {
			return anchor.ErrEmpty
		}
		s, k = d.now.state, copyKey(d.now.key)
		return nil
	})
	return s, k, err
}

// Found implements [anchor.Anchor].
func (d *device) Found(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return d.stepping(ctx, func() error {
		if d.now != nil {
			return anchor.ErrFounded
		}
		return d.write("founding", &owned{stored: stored{term: 1, state: s}, key: copyKey(k)}, true)
	})
}

// Advance implements [anchor.Anchor].
func (d *device) Advance(ctx context.Context, s anchor.State) error {
	return d.stepping(ctx, func() error {
		if err := d.follows(s); err != nil {
			return err
		}
		next := &owned{stored: stored{term: d.now.term, state: s, key: d.now.stored.key}, key: copyKey(d.now.key)}
		return d.write("advancing", next, false)
	})
}

// Rotate implements [anchor.Anchor]: the key that the token sealed the old one with is destroyed.
func (d *device) Rotate(ctx context.Context, s anchor.State, k *anchor.Key) error {
	return d.stepping(ctx, func() error {
		if err := d.follows(s); err != nil {
			return err
		}
		return d.write("rotating the key of", &owned{stored: stored{term: d.now.term, state: s}, key: copyKey(k)}, true)
	})
}

func (d *device) follows(s anchor.State) error {
	if d.now == nil {
		return anchor.ErrEmpty
	}
	if s.Counter != d.now.state.Counter+1 {
		return anchor.ErrStale
	}
	return nil
}

func (d *device) stepping(ctx context.Context, f func() error) error {
	d.gate.RLock()
	defer d.gate.RUnlock()
	d.step.Lock()
	defer d.step.Unlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	if d.broken != nil {
		return d.broken
	}
	return f()
}

// write makes next the state, with a new epoch key or the present one.
func (d *device) write(what string, next *owned, rotates bool) error {
	var made [][]byte // by this step: a session that is lost makes it try twice
	err := d.anchor.run(func() error {
		if rotates {
			id := newID()
			if _, err := d.anchor.makeAES(labelEpoch, id, true); err != nil {
				return err
			}
			next.stored.key = [idSize]byte(id)
		}
		value, err := d.anchor.put(next)
		if err != nil {
			return err
		}
		made = append(made, value)
		if err := d.anchor.settle(next, made, d.now == nil); err != nil {
			return err
		}
		if rotates {
			return d.anchor.sweepKeys(next.stored.key)
		}
		return nil
	})
	if err != nil {
		next.key.Wipe()
		d.broken = fmt.Errorf("%s %s: %w", what, d.opts.name(), err)
		return d.broken
	}
	if d.now != nil {
		d.now.key.Wipe()
	}
	d.now = next
	return nil
}

// put seals a state and makes an object of it. From then on it counts, unless there is one
// of a higher term.
func (l *lane) put(o *owned) ([]byte, error) {
	handle, err := l.epochKey(o.stored.key)
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 0, anchor.KeySize)
	o.key.Use(func(b *[anchor.KeySize]byte) { secret = append(secret, b[:]...) })
	defer clear(secret)
	nonce, box, err := l.seal(handle, o.head(), secret)
	if err != nil {
		return nil, err
	}
	o.nonce = nonce
	copy(o.box[:], box)
	value := o.encode()
	_, err = ask(&l.caller, "C_CreateObject", func() (p11.ObjectHandle, error) {
		return l.ctx.CreateObject(l.session, []*p11.Attribute{
			attribute(p11.CKA_CLASS, p11.CKO_DATA), attribute(p11.CKA_TOKEN, true), attribute(p11.CKA_PRIVATE, true),
			attribute(p11.CKA_LABEL, labelState), attribute(p11.CKA_APPLICATION, "keepsake"), attribute(p11.CKA_VALUE, value),
		})
	})
	return value, err
}

// epochKey finds an epoch key by its id.
func (l *lane) epochKey(id [idSize]byte) (p11.ObjectHandle, error) {
	name := "epoch " + string(id[:])
	if h, ok := l.found[name]; ok {
		return h, nil
	}
	handles, err := l.find(attribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY), attribute(p11.CKA_LABEL, labelEpoch), attribute(p11.CKA_ID, id[:]), attribute(p11.CKA_TOKEN, true))
	if err != nil {
		return 0, err
	}
	if len(handles) != 1 {
		return 0, l.absent(fmt.Errorf("%w: %d epoch keys with id %x", ErrNoKey, len(handles), id))
	}
	l.found[name] = handles[0]
	return handles[0], nil
}

// states lists the state objects.
func (l *lane) states() ([]object, error) {
	handles, err := l.find(attribute(p11.CKA_CLASS, p11.CKO_DATA), attribute(p11.CKA_LABEL, labelState), attribute(p11.CKA_TOKEN, true))
	if err != nil {
		return nil, err
	}
	var all []object
	for _, h := range handles {
		value, err := l.read(h, p11.CKA_VALUE)
		if err != nil {
			return nil, err
		}
		s, _ := decodeState(value)
		all = append(all, object{h, value, s})
	}
	return all, nil
}

// settle checks that the state just made is the newest there is, and destroys the older ones. Only after it
// has succeeded may anybody be told of the step: whoever opened the token since made a state of a
// higher term first, and then looked for ours.
func (l *lane) settle(now *owned, made [][]byte, founding bool) error {
	all, err := l.states()
	if err != nil {
		return err
	}
	ours := made[len(made)-1]
	there := false
	var old []object
	for _, o := range all {
		switch {
		case bytes.Equal(o.value, ours):
			there = true
		case slices.ContainsFunc(made, func(m []byte) bool { return bytes.Equal(m, o.value) }):
			old = append(old, o)
		case o.stored == nil, founding, order(o.stored, &now.stored) >= 0:
			return errors.Join(fmt.Errorf("%w: another machine has opened the token since", anchor.ErrInUse), l.unmake(all, made))
		default:
			old = append(old, o)
		}
	}
	if !there {
		return errVanished
	}
	return l.destroyObjects(old)
}

// unmake takes back what was made and does not count.
func (l *lane) unmake(all []object, made [][]byte) error {
	return l.destroyObjects(slices.DeleteFunc(all, func(o object) bool {
		return !slices.ContainsFunc(made, func(m []byte) bool { return bytes.Equal(m, o.value) })
	}))
}

func (l *lane) destroyObjects(objects []object) error {
	for _, o := range objects {
		if err := l.destroy(o.handle); err != nil {
			return err
		}
	}
	return nil
}

// sweepKeys destroys every epoch key but one: those that Rotate replaced, and strays of crashes. It must see
// the one: a login that ended hides them all, and then none is destroyed.
func (l *lane) sweepKeys(keep [idSize]byte) error {
	handles, err := l.find(attribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY), attribute(p11.CKA_LABEL, labelEpoch), attribute(p11.CKA_TOKEN, true))
	if err != nil {
		return err
	}
	kept := false
	for _, h := range handles {
		id, err := l.read(h, p11.CKA_ID)
		if err != nil {
			return err
		}
		if bytes.Equal(id, keep[:]) {
			kept = true
			continue
		}
		if err := l.destroy(h); err != nil {
			return err
		}
	}
	if !kept {
		return errVanished
	}
	return nil
}

// tries is how often opening begins again because another machine wrote meanwhile.
const tries = 3

// take reads the state, and makes this process its owner.
func (d *device) take() error {
	for n := range tries {
		now, others, err := d.anchor.newest()
		if errors.Is(err, anchor.ErrForeign) && n+1 < tries {
			continue // the other one may have replaced its state and key while we looked
		}
		if err != nil || now == nil {
			return err
		}
		done, err := d.anchor.claim(now, others)
		if err != nil || !done {
			now.key.Wipe()
			if err != nil {
				return err
			}
			continue
		}
		d.now = now
		return nil
	}
	return fmt.Errorf("%w: another machine is stepping on it", anchor.ErrInUse)
}

// newest returns the newest state, nil if nothing was founded, and all state objects. If the token's keys do not vouch
// for it, that is [anchor.ErrForeign], whatever older states say: a key is there before its state, and
// goes after it, so no crash looks so.
func (l *lane) newest() (*owned, []object, error) {
	all, err := l.states()
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, l.absent(nil)
	}
	sorted := slices.DeleteFunc(slices.Clone(all), func(o object) bool { return o.stored == nil })
	if len(sorted) == 0 {
		return nil, nil, fmt.Errorf("%w: what it holds as its state is none", anchor.ErrForeign)
	}
	slices.SortFunc(sorted, func(a, b object) int { return order(b.stored, a.stored) })
	top := sorted[0].stored
	// The same state twice is a step that was tried twice.
	if len(sorted) > 1 && order(top, sorted[1].stored) == 0 && top.state != sorted[1].stored.state {
		return nil, nil, fmt.Errorf("%w: two states of one count: two machines founded on this token at once", anchor.ErrForeign)
	}
	key, err := l.unsealKey(top)
	if err != nil {
		return nil, nil, err
	}
	if key == nil {
		return nil, nil, fmt.Errorf("%w: its newest state, of count %d, was sealed by a key that is not there", anchor.ErrForeign, top.state.Counter)
	}
	return &owned{*top, key}, all, nil
}

// unsealKey opens a state; nil if the token's keys do not vouch for it.
func (l *lane) unsealKey(s *stored) (*anchor.Key, error) {
	handle, err := l.epochKey(s.key)
	if errors.Is(err, ErrNoKey) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	secret, err := l.unseal(handle, s.nonce[:], s.head(), s.box[:])
	defer clear(secret)
	switch {
	case lost(err):
		return nil, err
	case err != nil:
		if err := l.blame(handle, err); !errors.Is(err, anchor.ErrBox) {
			return nil, err
		}
		return nil, nil
	case len(secret) != anchor.KeySize:
		return nil, nil
	}
	return anchor.KeyFromBytes([anchor.KeySize]byte(secret)), nil
}

// claim writes the state once more under the next term. It is not done if there is a state now
// that was not there: the owner before has taken a step, which counts.
func (l *lane) claim(now *owned, before []object) (bool, error) {
	if now.term == math.MaxUint64 {
		return false, fmt.Errorf("%w: no term after %d", anchor.ErrForeign, now.term)
	}
	now.term++
	value, err := l.put(now)
	if err != nil {
		return false, err
	}
	all, err := l.states()
	if err != nil {
		return false, err
	}
	known := func(o object) bool {
		return bytes.Equal(o.value, value) || slices.ContainsFunc(before, func(b object) bool { return bytes.Equal(b.value, o.value) })
	}
	for _, o := range all {
		if !known(o) {
			return false, l.unmake(all, [][]byte{value})
		}
	}
	old := slices.DeleteFunc(all, func(o object) bool { return bytes.Equal(o.value, value) })
	if err := l.destroyObjects(old); err != nil {
		return false, err
	}
	return true, l.sweepKeys(now.stored.key)
}

func copyKey(k *anchor.Key) (c *anchor.Key) {
	k.Use(func(secret *[anchor.KeySize]byte) { c = anchor.KeyFromBytes(*secret) })
	return c
}
