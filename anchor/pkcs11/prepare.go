//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"fmt"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

// needs are the mechanisms without which a token is of no use here.
var needs = []struct {
	kind uint
	name string
}{
	{p11.CKM_AES_KEY_GEN, "CKM_AES_KEY_GEN"}, {p11.CKM_AES_GCM, "CKM_AES_GCM"},
	{p11.CKM_EC_KEY_PAIR_GEN, "CKM_EC_KEY_PAIR_GEN"}, {p11.CKM_ECDH1_DERIVE, "CKM_ECDH1_DERIVE"},
}

// Prepare makes a token the device of a machine, once: [anchor.ErrFounded] if it is one, unless it is to be replaced. The token must have
// its label, SO PIN and user PIN already, from the vendor's tool or InitToken. It tries what it can of
// what is needed later, so that a token which cannot do it is found out now. custodian is the
// SO PIN, which is tried; nil where a module has no SO: then no fleet key is made or copied through it.
func Prepare(ctx context.Context, opts Options, custodian *anchor.Secret) error {
	d, err := start(ctx, opts)
	if err == nil {
		err = errors.Join(d.prepare(ctx, custodian, opts.Replace), d.Close())
	}
	if err != nil {
		return fmt.Errorf("preparing %s: %w", opts.name(), err)
	}
	return nil
}

func (d *device) prepare(ctx context.Context, custodian *anchor.Secret, replace bool) error {
	if _, err := d.prepared(); err == nil && !replace {
		return anchor.ErrFounded
	} else if err != nil && !errors.Is(err, ErrNoKey) {
		return err
	}
	return d.alone(ctx, func(l *lane) error {
		if err := l.hasMechanisms(); err != nil {
			return err
		}
		if custodian != nil {
			if err := l.asSO(custodian, func() error { return nil }); err != nil {
				return err
			}
		}
		if err := errors.Join(l.trySealing(), l.tryECDH()); err != nil {
			return err
		}
		if err := l.clear(replace); err != nil {
			return err
		}
		_, err := l.makeAES(labelSeal, newID(), true)
		return err
	})
}

// clear destroys what an earlier machine left, if that is wanted: after the custodian's secret was
// found right, so that a slip of the hand costs nothing. The key of the seal goes last: with it gone the
// token counts as not prepared, and what is cut off before is begun again.
func (l *lane) clear(replace bool) error {
	if !replace {
		return nil
	}
	for _, label := range []string{labelState, labelEpoch, labelMachine, labelFleet, labelTransport, labelSeal} {
		if err := l.destroyAll(label); err != nil {
			return fmt.Errorf("destroying what an earlier machine left: %w", err)
		}
	}
	return nil
}

func (l *lane) hasMechanisms() error {
	for _, m := range needs {
		err := l.do("C_GetMechanismInfo", func() error {
			_, err := l.ctx.GetMechanismInfo(l.slot, mechanism(m.kind, nil))
			return err
		})
		if err != nil {
			return fmt.Errorf("the token has no %s: %w", m.name, err)
		}
	}
	return nil
}

func (l *lane) trySealing() error {
	key, err := l.makeAES("keepsake test", newID(), false)
	if err != nil {
		return err
	}
	if err := l.blame(key, nil); !errors.Is(err, anchor.ErrBox) {
		return fmt.Errorf("the token does not open what it has sealed: %w", err)
	}
	return l.destroy(key)
}

func (l *lane) tryECDH() error {
	public, private, err := l.pair("keepsake test", false, attribute(p11.CKA_EXTRACTABLE, false))
	if err != nil {
		return err
	}
	point, err := l.publicPoint(public)
	if err != nil {
		return err
	}
	if _, err := l.evaluate(private, point, point); err != nil {
		return fmt.Errorf("the token's ECDH does not give coordinates: %w", err)
	}
	return errors.Join(l.refusesNoPoint(private), l.destroy(public), l.destroy(private))
}

// InitToken makes a token in a free slot of a module that offers one, with a label, the SO PIN and the
// user PIN. SoftHSM does; the tokens of hardware are made with the vendor's tools.
func InitToken(ctx context.Context, module, label string, custodian, pin *anchor.Secret) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := initToken(module, label, custodian, pin); err != nil {
		return fmt.Errorf("making the token %q: %w", label, err)
	}
	return nil
}
