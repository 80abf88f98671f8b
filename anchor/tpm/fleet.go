package tpm

import (
	"context"
	"crypto/ecdh"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
	"keepsake.example/internal/wire"
)

// maxWrapped limits a wrapped fleet key, and with it a request and the file of the key.
const maxWrapped = 2048

const (
	requestMagic = "ksp-tpmr\x01"
	wrappedMagic = "ksp-tpmw\x01"
	fleetMagic   = "ksp-tpmf\x01"
)

// FleetKey implements [anchor.Device].
func (d *Device) FleetKey(ctx context.Context) (anchor.FleetKey, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	return d.fleetKey()
}

func (d *Device) fleetKey() (*fleetKey, error) {
	data, err := d.folder.read(fleetName, maxWrapped)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, anchor.ErrNoFleetKey
	}
	if err != nil {
		return nil, fmt.Errorf("tpm: reading the fleet key: %w", err)
	}
	o, err := decodeFleet(data)
	if err != nil {
		return nil, fmt.Errorf("tpm: reading the fleet key: %w", err)
	}
	at, err := fleetPoint(o.public)
	if err != nil {
		return nil, fmt.Errorf("tpm: reading the fleet key: %w", err)
	}
	return &fleetKey{d, o, at.compressed()}, nil
}

func decodeFleet(b []byte) (o object, err error) {
	w := wire.Read(b)
	w.Constant(fleetMagic)
	if o.layout(w); !w.Done() {
		return object{}, errors.New("a file of another form")
	}
	return o.clone(), nil
}

func fleetPoint(public []byte) (point, error) {
	template, err := fleetTemplate()
	if err != nil {
		return point{}, err
	}
	return publicPoint(public, template)
}

type fleetKey struct {
	device *Device
	object object
	public [anchor.PointSize]byte
}

// Public implements [anchor.FleetKey].
func (k *fleetKey) Public() [anchor.PointSize]byte { return k.public }

// Evaluate implements [anchor.FleetKey]. The key stays loaded from the first call on:
// loading takes a chip longer than multiplying.
func (k *fleetKey) Evaluate(ctx context.Context, blinded [anchor.PointSize]byte) (out [anchor.PointSize]byte, err error) {
	at, err := expand(blinded)
	if err != nil {
		return out, err
	}
	d := k.device
	if err := d.begin(ctx); err != nil {
		return out, err
	}
	defer d.end()
	product, err := k.multiply(at)
	if errors.Is(err, tpm2.TPMRCReferenceH0) || errors.Is(err, tpm2.TPMRCHandle) {
		d.fleet = nil // the machine slept, and the chip with it
		product, err = k.multiply(at)
	}
	if err != nil {
		return out, fmt.Errorf("tpm: evaluating: %w", err)
	}
	return product.compressed(), nil
}

func (k *fleetKey) multiply(at point) (product point, err error) {
	d := k.device
	err = d.chip.again(func() error {
		if d.fleet == nil {
			h, err := d.chip.load(k.object)
			if err != nil {
				return err
			}
			d.fleet = &h
		}
		product, err = d.chip.multiply(*d.fleet, at)
		return err
	})
	return product, err
}

// expand checks a compressed point. (The neutral element has no compressed form of 33 bytes.)
func expand(b [anchor.PointSize]byte) (point, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), b[:])
	if x == nil {
		return point{}, anchor.ErrPoint
	}
	var p point
	x.FillBytes(p.x[:])
	y.FillBytes(p.y[:])
	return p, nil
}

// MakeFleetKey implements [anchor.Custody].
func (d *Device) MakeFleetKey(ctx context.Context, custodian *anchor.Secret) (public [anchor.PointSize]byte, err error) {
	if err := d.begin(ctx); err != nil {
		return public, err
	}
	defer d.end()
	if err := d.lacksFleetKey(); err != nil {
		return public, err
	}
	err = d.chip.again(func() error {
		// The chip would make a key for anybody; a fleet's is the custodian's to make.
		if err := d.prove(custodian, func(tpm2.Session) error { return nil }); err != nil {
			return err
		}
		template, err := fleetTemplate()
		if err != nil {
			return err
		}
		o, err := d.chip.create(template, d.chip.auth, nil)
		if err != nil {
			return err
		}
		public, err = d.keepFleetKey(o)
		return err
	})
	if err != nil {
		return [anchor.PointSize]byte{}, fmt.Errorf("tpm: making a fleet key: %w", err)
	}
	return public, nil
}

func (d *Device) lacksFleetKey() error {
	switch _, err := d.fleetKey(); {
	case err == nil:
		return anchor.ErrHasFleetKey
	case errors.Is(err, anchor.ErrNoFleetKey):
		return nil
	default:
		return err
	}
}

// prove calls f with a policy session in which the custodian's secret was shown. It is
// tried once; neither it nor anything it could be guessed from without the chip passes
// the bus.
func (d *Device) prove(custodian *anchor.Secret, f func(tpm2.Session) error) (err error) {
	session, flush, err := d.chip.policy()
	if err != nil {
		return fmt.Errorf("starting a policy session: %w", err)
	}
	defer func() { err = errors.Join(err, flush()) }()
	custodian.Use(func(secret []byte) {
		_, err = tpm2.PolicySecret{
			AuthHandle: d.chip.asOwner(secret, plain), PolicySession: session.Handle(),
			NonceTPM: session.NonceTPM(),
		}.Execute(d.chip)
	})
	if err != nil {
		return custodians(err)
	}
	return f(session)
}

// keepFleetKey checks that the chip computes with the key what its public half says, and
// writes it.
func (d *Device) keepFleetKey(o object) (public [anchor.PointSize]byte, err error) {
	at, err := fleetPoint(o.public)
	if err != nil {
		return public, err
	}
	err = d.chip.loaded(o, func(h tpm2.NamedHandle) error {
		base := elliptic.P256().Params()
		var g point
		base.Gx.FillBytes(g.x[:])
		base.Gy.FillBytes(g.y[:])
		product, err := d.chip.multiply(h, g)
		if err == nil && product != at {
			err = errors.New("the key computes something else than its public half says")
		}
		return err
	})
	if err != nil {
		return public, err
	}
	w := wire.Append(nil)
	w.Constant(fleetMagic)
	o.layout(w)
	return at.compressed(), d.folder.create(fleetName, w.Written())
}

// FleetKeyRequest implements [anchor.Custody]: it is the public half of the storage key.
func (d *Device) FleetKeyRequest(ctx context.Context) ([]byte, error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	w := wire.Append(nil)
	w.Constant(requestMagic)
	w.Counted(&d.machine.storage, 1, maxPublic)
	return w.Written(), nil
}

// decodeRequest checks that a request is a storage key like ours. That a TPM has its
// private half nobody can see from it: people compare it.
func decodeRequest(b []byte) (*tpm2.TPMTPublic, error) {
	var area []byte
	w := wire.Read(b)
	w.Constant(requestMagic)
	if w.Counted(&area, 1, maxPublic); !w.Done() {
		return nil, errors.New("no request of a TPM")
	}
	if _, err := publicPoint(area, storageTemplate(nil)); err != nil {
		return nil, fmt.Errorf("no request of a TPM: %w", err)
	}
	return tpm2.Unmarshal[tpm2.TPMTPublic](area)
}

// WrapFleetKey implements [anchor.Custody].
func (d *Device) WrapFleetKey(ctx context.Context, custodian *anchor.Secret, request []byte) (wrapped []byte, err error) {
	if err := d.begin(ctx); err != nil {
		return nil, err
	}
	defer d.end()
	k, err := d.fleetKey()
	if err != nil {
		return nil, err
	}
	parent, err := decodeRequest(request)
	if err != nil {
		return nil, fmt.Errorf("tpm: wrapping the fleet key: %w", err)
	}
	err = d.chip.again(func() (err error) {
		wrapped, err = d.wrap(k.object, custodian, parent)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tpm: wrapping the fleet key: %w", err)
	}
	return wrapped, nil
}

// wrap duplicates the key, without this machine's password in it: the other one cannot know that.
func (d *Device) wrap(o object, custodian *anchor.Secret, parent *tpm2.TPMTPublic) (wrapped []byte, err error) {
	if err := d.unloadFleetKey(); err != nil {
		return nil, err
	}
	var open object
	err = d.chip.loaded(o, func(h tpm2.NamedHandle) error {
		open, err = d.chip.changeAuth(h, o, d.chip.auth, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	to, err := tpm2.LoadExternal{InPublic: tpm2.New2B(*parent), Hierarchy: tpm2.TPMRHNull}.Execute(d.chip)
	if err != nil {
		return nil, fmt.Errorf("loading the other TPM's key: %w", err)
	}
	defer func() { err = errors.Join(err, d.chip.flush(to.ObjectHandle)) }()
	err = d.chip.loaded(open, func(h tpm2.NamedHandle) error {
		return d.prove(custodian, func(session tpm2.Session) (err error) {
			wrapped, err = d.duplicate(h, open.public, session, tpm2.NamedHandle{Handle: to.ObjectHandle, Name: to.Name})
			return err
		})
	})
	return wrapped, err
}

func (d *Device) duplicate(h tpm2.NamedHandle, public []byte, session tpm2.Session, to tpm2.NamedHandle) ([]byte, error) {
	if _, err := (tpm2.PolicyCommandCode{PolicySession: session.Handle(), Code: tpm2.TPMCCDuplicate}).Execute(d.chip); err != nil {
		return nil, fmt.Errorf("asking to duplicate: %w", err)
	}
	answer, err := tpm2.Duplicate{
		ObjectHandle: tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: session}, NewParentHandle: to,
		Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}.Execute(d.chip)
	if err != nil {
		return nil, fmt.Errorf("duplicating: %w", err)
	}
	w := wire.Append(nil)
	(&parcel{public, answer.Duplicate.Buffer, answer.OutSymSeed.Buffer}).layout(w)
	return w.Written(), nil
}

// parcel is a wrapped fleet key.
type parcel struct{ public, duplicate, seed []byte }

func (p *parcel) layout(w *wire.Codec) {
	w.Constant(wrappedMagic)
	w.Counted(&p.public, 1, maxPublic)
	w.Counted(&p.duplicate, 1, maxPrivate)
	w.Counted(&p.seed, 1, maxPublic)
}

func decodeParcel(b []byte) (p parcel, err error) {
	w := wire.Read(b)
	if p.layout(w); !w.Done() {
		return parcel{}, errors.New("no wrapped fleet key")
	}
	_, err = fleetPoint(p.public)
	return p, err
}

func (d *Device) unloadFleetKey() error {
	if d.fleet == nil {
		return nil
	}
	h := *d.fleet
	d.fleet = nil
	return d.chip.flush(h.Handle)
}

// changeAuth is a copy of a loaded object with another password.
func (c *chip) changeAuth(h tpm2.NamedHandle, o object, from, to []byte) (object, error) {
	answer, err := tpm2.ObjectChangeAuth{
		ObjectHandle: c.on(h, from, bothWays), ParentHandle: c.parent, NewAuth: tpm2.TPM2BAuth{Buffer: to},
	}.Execute(c)
	if err != nil {
		return object{}, fmt.Errorf("changing a key's password: %w", err)
	}
	return object{o.public, answer.OutPrivate.Buffer}, nil
}

// InstallFleetKey implements [anchor.Custody].
func (d *Device) InstallFleetKey(ctx context.Context, wrapped []byte) (public [anchor.PointSize]byte, err error) {
	if err := d.begin(ctx); err != nil {
		return public, err
	}
	defer d.end()
	if err := d.lacksFleetKey(); err != nil {
		return public, err
	}
	p, err := decodeParcel(wrapped)
	if err != nil {
		return public, fmt.Errorf("tpm: installing a fleet key: %w", err)
	}
	err = d.chip.again(func() error {
		o, err := d.unwrap(p)
		if err != nil {
			return err
		}
		public, err = d.keepFleetKey(o)
		return err
	})
	if err != nil {
		return [anchor.PointSize]byte{}, fmt.Errorf("tpm: installing a fleet key: %w", err)
	}
	return public, nil
}

// unwrap imports the key and gives it this machine's password.
func (d *Device) unwrap(p parcel) (o object, err error) {
	answer, err := tpm2.Import{
		ParentHandle: d.chip.onParent(bothWays), ObjectPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](p.public),
		Duplicate: tpm2.TPM2BPrivate{Buffer: p.duplicate}, InSymSeed: tpm2.TPM2BEncryptedSecret{Buffer: p.seed},
		Symmetric: tpm2.TPMTSymDef{Algorithm: tpm2.TPMAlgNull},
	}.Execute(d.chip)
	if err != nil {
		return object{}, fmt.Errorf("importing: %w", err)
	}
	open := object{p.public, answer.OutPrivate.Buffer}
	err = d.chip.loaded(open, func(h tpm2.NamedHandle) error {
		o, err = d.chip.changeAuth(h, open, nil, d.chip.auth)
		return err
	})
	return o, err
}

var _ ecdh.KeyExchanger = (*exchanger)(nil)
