package tpm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
)

// MinCustodian is the length of the shortest custodian's secret, in bytes. A chip does not
// count wrong owner passwords: who has root on the machine tries as many as the chip
// answers, some tens a second, for years.
const MinCustodian = 16

// Prepare makes a new machine of a chip and an empty folder. The chip's owner and
// lock-out passwords become the custodian's secret, where they are not set; where they
// are, it must be the owner password. [anchor.ErrFounded] if the chip or the folder has a
// machine already and Options.Replace is not set. A Prepare that was interrupted is
// repeated, with Replace.
//
// It must be run where nobody is between processor and chip: it takes the chip that
// answers for the right one.
func Prepare(ctx context.Context, o Options, custodian *anchor.Secret) error {
	f, err := openFolder(o.Dir)
	if err != nil {
		return fmt.Errorf("tpm: opening the folder %s: %w", o.Dir, err)
	}
	err = prepareIn(ctx, f, o, custodian)
	if err := errors.Join(err, f.close()); err != nil {
		return fmt.Errorf("tpm: preparing: %w", err)
	}
	return nil
}

func prepareIn(ctx context.Context, f *folder, o Options, custodian *anchor.Secret) (err error) {
	mask, err := o.pcrMask()
	if err != nil {
		return err
	}
	switch _, err := f.root.Stat(machineName); {
	case err == nil && !o.Replace:
		return fmt.Errorf("the folder %s has a machine: %w", o.Dir, anchor.ErrFounded)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	c, err := connectChip(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	custodian.Use(func(secret []byte) {
		if len(secret) < MinCustodian {
			err = fmt.Errorf("the custodian's secret has %d bytes, and needs %d: a TPM does not stop who guesses it", len(secret), MinCustodian)
			return
		}
		p := preparation{chip: c, options: o, secret: secret, machine: machine{orderly: o.Orderly, pcrs: mask}}
		err = p.run(f)
	})
	return err
}

// preparation is Prepare at work.
type preparation struct {
	*chip
	options Options
	secret  []byte // the custodian's
	owner   []byte // the password of the chip's owner as it is now
	salt    tpm2.NamedHandle
	machine machine
}

func (p *preparation) run(f *folder) error {
	if err := p.look(); err != nil {
		return err
	}
	if err := p.begin(); err != nil {
		return err
	}
	if err := p.own(); err != nil {
		return err
	}
	if err := errors.Join(p.sweep(), f.empty()); err != nil {
		return err
	}
	if err := p.makeStorage(); err != nil {
		return err
	}
	if err := p.makeIndices(); err != nil {
		return err
	}
	if err := p.makeKeys(); err != nil {
		return err
	}
	data := p.machine.encode()
	defer clear(data)
	return f.create(machineName, data)
}

// look refuses a chip with a machine, before anything changes.
func (p *preparation) look() error {
	if p.options.Replace {
		return nil
	}
	for _, i := range newIndices(p.options.Orderly).all() {
		found, err := p.inspect(i)
		if err != nil {
			return err
		}
		if found != indexGone {
			return fmt.Errorf("the TPM has a machine, or half of one: %w", anchor.ErrFounded)
		}
	}
	return nil
}

// begin starts a session with a key that the chip makes for it: there is no other yet.
func (p *preparation) begin() error {
	template := storageTemplate(make([]byte, coordinate))
	answer, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHNull, InPublic: tpm2.New2B(template)}.Execute(p)
	if err != nil {
		return fmt.Errorf("making a key for the session: %w", err)
	}
	public, err := answer.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("reading the session's key: %w", err)
	}
	p.salt.Handle = answer.ObjectHandle
	p.session, err = startSession(p, answer.ObjectHandle, public)
	return err
}

// The bits of TPM_PT_PERMANENT: TPM 2.0 part 2, 8.6.
const (
	ownerSet   = 1 << 0
	lockoutSet = 1 << 2
)

// own sets the owner's and the lock-out password where they are empty. The custodian's
// secret is tried once: a wrong one ends Prepare.
func (p *preparation) own() error {
	set, err := p.property(tpm2.TPMPTPermanent)
	if err != nil {
		return fmt.Errorf("asking for the TPM's passwords: %w", err)
	}
	if set&ownerSet != 0 {
		p.owner = p.secret
	}
	if err := p.setPassword(tpm2.TPMRHOwner, p.owner); err != nil {
		return custodians(fmt.Errorf("setting the owner password: %w", err))
	}
	p.owner = p.secret
	if set&lockoutSet != 0 {
		return nil
	}
	if err := p.setPassword(tpm2.TPMRHLockout, nil); err != nil {
		return custodians(fmt.Errorf("setting the lock-out password: %w", err))
	}
	return nil
}

// setPassword makes the custodian's secret the password of a part of the chip.
func (p *preparation) setPassword(of tpm2.TPMHandle, now []byte) error {
	_, err := tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: of, Auth: p.session.changing(now, p.secret, encrypted)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: p.secret},
	}.Execute(p)
	return err
}

func (c *chip) asOwner(owner []byte, way direction) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: c.session.with(owner, way)}
}

// sweep deletes an earlier machine from the chip.
func (p *preparation) sweep() error {
	for _, i := range newIndices(p.options.Orderly).all() {
		answer, err := tpm2.NVReadPublic{NVIndex: i.public.NVIndex}.Execute(p)
		if notThere(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("asking for index %#x: %w", uint32(i.public.NVIndex), err)
		}
		there := tpm2.NamedHandle{Handle: i.public.NVIndex, Name: answer.NVName}
		if _, err := (tpm2.NVUndefineSpace{AuthHandle: p.asOwner(p.owner, plain), NVIndex: there}).Execute(p); err != nil {
			return custodians(fmt.Errorf("deleting index %#x: %w", uint32(i.public.NVIndex), err))
		}
	}
	answer, err := tpm2.ReadPublic{ObjectHandle: storageKey}.Execute(p)
	if notThere(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("asking for the storage key: %w", err)
	}
	return p.evict(tpm2.NamedHandle{Handle: storageKey, Name: answer.Name})
}

// evict makes a loaded key stay in the chip, or a staying one go.
func (p *preparation) evict(key tpm2.NamedHandle) error {
	_, err := tpm2.EvictControl{Auth: p.asOwner(p.owner, plain), ObjectHandle: key, PersistentHandle: storageKey}.Execute(p)
	if err != nil {
		return custodians(fmt.Errorf("changing what key %#x is: %w", uint32(storageKey), err))
	}
	return nil
}

// makeStorage makes the storage key, another one each time: what an earlier one
// protected cannot be opened from then on.
func (p *preparation) makeStorage() error {
	rand.Read(p.machine.auth[:])
	random := make([]byte, coordinate)
	rand.Read(random)
	answer, err := tpm2.CreatePrimary{
		PrimaryHandle: p.asOwner(p.owner, bothWays), InPublic: tpm2.New2B(storageTemplate(random)),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: p.machine.auth[:]}}},
	}.Execute(p)
	if err != nil {
		return custodians(fmt.Errorf("making the storage key: %w", err))
	}
	public, err := answer.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("reading the storage key: %w", err)
	}
	p.machine.storage = answer.OutPublic.Bytes()
	if err := p.evict(tpm2.NamedHandle{Handle: answer.ObjectHandle, Name: answer.Name}); err != nil {
		return err
	}
	for _, h := range []tpm2.TPMHandle{answer.ObjectHandle, p.salt.Handle, p.session.handle} {
		if err := p.flush(h); err != nil {
			return fmt.Errorf("freeing the TPM: %w", err)
		}
	}
	return p.trust(public, p.machine.auth[:])
}

// makeKeys makes the machine's own key, and one for the sums of slots.
func (p *preparation) makeKeys() (err error) {
	if p.machine.exchange, err = p.create(exchangeTemplate(), p.auth, nil); err != nil {
		return err
	}
	random := make([]byte, keySize)
	defer clear(random)
	rand.Read(random)
	d := &Device{chip: p.chip, machine: &p.machine}
	p.machine.sum, err = d.seal(random)
	return err
}

func (p *preparation) makeIndices() error {
	all := newIndices(p.options.Orderly)
	for _, i := range all.all() {
		if err := p.define(i, p.asOwner(p.owner, encrypted), p.auth); err != nil {
			return custodians(err)
		}
	}
	at, err := p.stands(all)
	p.machine.fresh = at
	return err
}
