//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

// lanes is how many sessions do what is not the anchor's: hardware does several at a time, and
// the anchor has a session of its own, so that a step never waits for them.
const lanes = 4

// device is an open token.
type device struct {
	*token
	lock *os.File

	// gate is held alone while the process is logged in as the SO, or not at all, and shared
	// by everything else.
	gate   sync.RWMutex
	making sync.Mutex // pairs that are made at the first call
	closed bool
	keys   chan *lane
	all    []*lane

	step   sync.Mutex // of what follows: the anchor
	anchor *lane
	now    *owned // nil: nothing was founded
	broken error  // why it is not known what the token holds
}

var _ anchor.Device = (*device)(nil)

// Open opens the token that Prepare prepared. Errors: [anchor.ErrAbsent] when module or token is
// not there, [anchor.ErrForeign] when the token was not prepared, or not all is there that it held,
// [ErrPIN], [anchor.ErrLocked], [anchor.ErrInUse] when another device on this machine uses the PIN file.
// From then on a device that was open on the token on another machine is out: its next step fails.
func Open(ctx context.Context, opts Options) (anchor.Device, error) {
	d, err := open(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", opts.name(), err)
	}
	return d, nil
}

func open(ctx context.Context, opts Options) (*device, error) {
	d, err := start(ctx, opts)
	if err != nil {
		return nil, err
	}
	_, err = d.prepared()
	if errors.Is(err, ErrNoKey) {
		err = fmt.Errorf("%w: it was never prepared (vaultd device prepare), or was made anew: %w", anchor.ErrForeign, err)
	}
	if err == nil {
		err = d.anchor.run(d.take)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// start logs in.
func start(ctx context.Context, opts Options) (*device, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	lock, err := lockPIN(opts.PINFile)
	if err != nil {
		return nil, err
	}
	t, err := connect(opts, nil)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d := &device{token: t, lock: lock, anchor: &lane{token: t}, keys: make(chan *lane, lanes)}
	d.all = append(d.all, d.anchor)
	for range lanes {
		l := &lane{token: t}
		d.all = append(d.all, l)
		d.keys <- l
	}
	if err := d.anchor.ready(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *device) prepared() (key p11.ObjectHandle, err error) {
	err = d.anchor.run(func() error {
		key, err = d.anchor.one(p11.CKO_SECRET_KEY, labelSeal)
		return err
	})
	return key, err
}

// use does f in a session of its own, as the token's user.
func (d *device) use(ctx context.Context, f func(*lane) error) error {
	d.gate.RLock()
	defer d.gate.RUnlock()
	if err := d.usable(ctx); err != nil {
		return err
	}
	l := <-d.keys
	defer func() { d.keys <- l }()
	return l.run(func() error { return f(l) })
}

func (d *device) usable(ctx context.Context) error {
	if d.closed {
		return errClosed
	}
	return ctx.Err()
}

// Describe implements [anchor.Anchor].
func (d *device) Describe() anchor.Description {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.soft {
		return anchor.Description{
			Name:     "pkcs11",
			Protects: "nothing from who operates the machine: this token is SoftHSM, files that play one; for tests and rehearsals (doc/hsm-pkcs11.md)",
		}
	}
	return anchor.Description{
		Name: "pkcs11",
		Protects: "keys cannot be read out of the token, and what a destroyed key sealed cannot be read again; whoever has the user PIN, as root on this machine has, " +
			"can put the count back; how far the token keeps to this is its vendor's matter (doc/hsm-pkcs11.md)",
	}
}

// Close implements [anchor.Anchor]: it logs out and frees the token for another process.
func (d *device) Close() error {
	d.gate.Lock()
	defer d.gate.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	if d.now != nil {
		d.now.key.Wipe()
	}
	for _, l := range d.all {
		l.drop()
	}
	return errors.Join(d.lib.release(), d.lock.Close())
}
