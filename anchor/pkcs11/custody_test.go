//go:build cgo

package pkcs11_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/oprf/p256"
)

func no(kinds ...uint) []*p11.Attribute  { return boolean(false, kinds) }
func yes(kinds ...uint) []*p11.Attribute { return boolean(true, kinds) }

func boolean(v bool, kinds []uint) (list []*p11.Attribute) {
	for _, k := range kinds {
		list = append(list, p11.NewAttribute(k, v))
	}
	return list
}

func join(lists ...[]*p11.Attribute) (all []*p11.Attribute) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Whoever has the PIN but not the SO PIN, such as root, tries every way to a copy of the fleet key.
func TestThePINDoesNotCopyTheFleetKey(t *testing.T) {
	opts := token(t)
	d := open(t, opts)
	must(d.MakeFleetKey(t.Context(), store.Custodian()))
	must(d.Exchanger(t.Context()))
	r := attack(t, opts)
	fleet := r.find(p11.CKO_PRIVATE_KEY, "keepsake fleet")[0]
	aes := func(more ...*p11.Attribute) (p11.ObjectHandle, error) {
		return r.GenerateKey(r.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_GEN, nil)}, join([]*p11.Attribute{p11.NewAttribute(p11.CKA_VALUE_LEN, 32)}, yes(p11.CKA_WRAP, p11.CKA_EXTRACTABLE), more))
	}
	wrap := func(key p11.ObjectHandle) error {
		_, err := r.WrapKey(r.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_WRAP_PAD, nil)}, key, fleet)
		return err
	}
	own := must(aes())
	for name, try := range map[string]func() error{
		"read it":            func() error { _, err := r.GetAttributeValue(r.session, fleet, yes(p11.CKA_VALUE)); return err },
		"wrap it":            func() error { return wrap(own) },
		"trust a key":        func() error { return r.SetAttributeValue(r.session, own, yes(p11.CKA_TRUSTED)) },
		"make a trusted key": func() error { _, err := aes(yes(p11.CKA_TRUSTED)...); return err },
		"let it be wrapped":  func() error { return r.SetAttributeValue(r.session, fleet, no(p11.CKA_WRAP_WITH_TRUSTED)) },
		"make it readable":   func() error { return r.SetAttributeValue(r.session, fleet, no(p11.CKA_SENSITIVE)) },
		"copy it, wrappable": func() error { _, err := r.CopyObject(r.session, fleet, no(p11.CKA_WRAP_WITH_TRUSTED)); return err },
		"copy it, readable":  func() error { _, err := r.CopyObject(r.session, fleet, no(p11.CKA_SENSITIVE)); return err },
		"read the machine's key": func() error {
			_, err := r.GetAttributeValue(r.session, r.find(p11.CKO_PRIVATE_KEY, "keepsake machine")[0], yes(p11.CKA_VALUE))
			return err
		},
		"wrap the machine's key": func() error {
			_, err := r.WrapKey(r.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_WRAP_PAD, nil)}, own, r.find(p11.CKO_PRIVATE_KEY, "keepsake machine")[0])
			return err
		},
		"read the seal key": func() error {
			_, err := r.GetAttributeValue(r.session, r.find(p11.CKO_SECRET_KEY, "keepsake seal")[0], yes(p11.CKA_VALUE))
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: done", name)
		}
	}
	// The attempts were well formed: an ordinary key can be wrapped so.
	if _, err := r.WrapKey(r.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_KEY_WRAP_PAD, nil)}, own, must(aes())); err != nil {
		t.Errorf("wrapping a key of mine: %v", err)
	}
}

// What root on the giving machine, or who reads the parcel, has of it once it has arrived: nothing.
func TestParcelIsOfNoUseAfterArrival(t *testing.T) {
	donor, opts := open(t, token(t)), token(t)
	public := must(donor.MakeFleetKey(t.Context(), store.Custodian()))
	d := open(t, opts)
	request := must(d.FleetKeyRequest(t.Context()))
	wrapped := must(donor.WrapFleetKey(t.Context(), store.Custodian(), request))
	must(d.InstallFleetKey(t.Context(), wrapped))
	attack(t, opts).remove("keepsake fleet")
	if _, err := d.InstallFleetKey(t.Context(), wrapped); err == nil {
		t.Error("the same parcel was opened twice")
	}
	again := must(d.FleetKeyRequest(t.Context()))
	if bytes.Equal(again, request) {
		t.Error("the key of the first request is still there")
	}
	// The one it was copied to gives it on, to a third.
	wrapped = must(donor.WrapFleetKey(t.Context(), store.Custodian(), again))
	must(d.InstallFleetKey(t.Context(), wrapped))
	third := open(t, token(t))
	wrapped = must(d.WrapFleetKey(t.Context(), store.Custodian(), must(third.FleetKeyRequest(t.Context()))))
	if got := must(third.InstallFleetKey(t.Context(), wrapped)); got != public {
		t.Errorf("the third has %x", got)
	}
}

// A parcel that names the negative of the key's public half: x coordinates, which are all that ECDH
// gives, do not tell the two apart.
func TestInstallRefusesTheNegative(t *testing.T) {
	donor, d := open(t, token(t)), open(t, token(t))
	must(donor.MakeFleetKey(t.Context(), store.Custodian()))
	wrapped := must(donor.WrapFleetKey(t.Context(), store.Custodian(), must(d.FleetKeyRequest(t.Context()))))
	bad := bytes.Clone(wrapped)
	bad[8] ^= 1
	if _, err := d.InstallFleetKey(t.Context(), bad); err == nil {
		t.Error("installed under another public key")
	}
	must(d.InstallFleetKey(t.Context(), wrapped))
}

// Half a fleet key, as a crash leaves it, is none, and is replaced.
func TestHalfAFleetKey(t *testing.T) {
	opts := token(t)
	d := open(t, opts)
	must(d.MakeFleetKey(t.Context(), store.Custodian()))
	r := attack(t, opts)
	check(t, r.DestroyObject(r.session, r.find(p11.CKO_PUBLIC_KEY, "keepsake fleet")[0]))
	check(t, d.Close())
	d = open(t, opts)
	_, err := d.FleetKey(t.Context())
	is(t, err, anchor.ErrNoFleetKey)
	must(d.MakeFleetKey(t.Context(), store.Custodian()))
	evaluates(t, must(d.FleetKey(t.Context())))
}

// A token whose key is not the one of its public half is found out at the first evaluation.
func TestEvaluateRefusesAnotherKey(t *testing.T) {
	opts := token(t)
	d := open(t, opts)
	must(d.MakeFleetKey(t.Context(), store.Custodian()))
	must(d.Exchanger(t.Context()))
	r := attack(t, opts)
	point := r.value(r.find(p11.CKO_PUBLIC_KEY, "keepsake machine")[0], p11.CKA_EC_POINT)
	check(t, r.DestroyObject(r.session, r.find(p11.CKO_PUBLIC_KEY, "keepsake fleet")[0]))
	must(r.CreateObject(r.session, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PUBLIC_KEY), p11.NewAttribute(p11.CKA_KEY_TYPE, p11.CKK_EC), p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_LABEL, "keepsake fleet"), p11.NewAttribute(p11.CKA_EC_PARAMS, must(hex.DecodeString("06082a8648ce3d030107"))), p11.NewAttribute(p11.CKA_EC_POINT, point),
	}))
	check(t, d.Close())
	k := must(open(t, opts).FleetKey(t.Context()))
	if _, err := k.Evaluate(t.Context(), must(p256.Public(&[32]byte{31: 7}))); err == nil {
		t.Error("evaluated with a key that is not the one it says")
	}
}
