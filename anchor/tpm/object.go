package tpm

import (
	"crypto/ecdh"
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"

	"keepsake.example/anchor"
	"keepsake.example/internal/wire"
)

// Limits of what is read from files, in bytes: chips make less.
const (
	maxPublic  = 512
	maxPrivate = 1024
)

// object is a key, or a secret, that only the chip which made it can load: its private
// half is encrypted and authenticated by the storage key.
type object struct{ public, private []byte }

func (o *object) layout(w *wire.Codec) {
	w.Counted(&o.public, 1, maxPublic)
	w.Counted(&o.private, 1, maxPrivate)
}

func (o object) clone() object {
	return object{append([]byte{}, o.public...), append([]byte{}, o.private...)}
}

// Attributes that all keys here have. A chip that is locked after wrong passwords goes on
// with them (noDA): their password is not one that can be guessed.
func keyAttributes(a tpm2.TPMAObject) tpm2.TPMAObject {
	a.NoDA, a.SensitiveDataOrigin = true, true
	return a
}

func onCurve(symmetric tpm2.TPMTSymDefObject) tpm2.TPMUPublicParms {
	return tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{
		Symmetric: symmetric, CurveID: tpm2.TPMECCNistP256,
		Scheme: tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}, KDF: tpm2.TPMTKDFScheme{Scheme: tpm2.TPMAlgNull},
	})
}

func unique(x, y []byte) tpm2.TPMUPublicID {
	return tpm2.NewTPMUPublicID(tpm2.TPMAlgECC, &tpm2.TPMSECCPoint{
		X: tpm2.TPM2BECCParameter{Buffer: x}, Y: tpm2.TPM2BECCParameter{Buffer: y},
	})
}

// storageTemplate is the parent's; other random bytes give another key.
func storageTemplate(random []byte) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, Unique: unique(random, make([]byte, coordinate)),
		ObjectAttributes: keyAttributes(tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, Restricted: true, Decrypt: true}),
		Parameters: onCurve(tpm2.TPMTSymDefObject{
			Algorithm: tpm2.TPMAlgAES,
			KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(aesBits)),
			Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
		}),
	}
}

// exchangeTemplate is the machine's own key's: it never leaves the chip in any form that
// another one takes (fixedTPM).
func exchangeTemplate() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, Unique: unique(make([]byte, coordinate), make([]byte, coordinate)),
		ObjectAttributes: keyAttributes(tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, Decrypt: true}),
		Parameters:       onCurve(tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull}),
	}
}

// fleetTemplate is the fleet key's: to be copied, but only by who knows the owner's
// password of the chip that it is in. Not encryptedDuplication: that would ask for a
// second wrapping whose key travels beside, and stops nobody who may copy.
func fleetTemplate() (tpm2.TPMTPublic, error) {
	policy, err := policyOf(
		tpm2.PolicySecret{AuthHandle: tpm2.TPMRHOwner},
		tpm2.PolicyCommandCode{Code: tpm2.TPMCCDuplicate},
	)
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256, Unique: unique(make([]byte, coordinate), make([]byte, coordinate)),
		ObjectAttributes: keyAttributes(tpm2.TPMAObject{UserWithAuth: true, Decrypt: true}),
		AuthPolicy:       policy, Parameters: onCurve(tpm2.TPMTSymDefObject{Algorithm: tpm2.TPMAlgNull}),
	}, err
}

// sealedTemplate is that of a secret under a policy; without one, under the password.
func sealedTemplate(policy tpm2.TPM2BDigest) tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256, AuthPolicy: policy,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true, UserWithAuth: len(policy.Buffer) == 0},
	}
}

// policyOf computes a policy's digest: TPM 2.0 part 1, 19.7.
func policyOf(commands ...interface {
	Update(*tpm2.PolicyCalculator) error
}) (tpm2.TPM2BDigest, error) {
	policy, err := tpm2.NewPolicyCalculator(tpm2.TPMAlgSHA256)
	if err != nil {
		return tpm2.TPM2BDigest{}, err
	}
	for _, command := range commands {
		if err := command.Update(policy); err != nil {
			return tpm2.TPM2BDigest{}, fmt.Errorf("computing a policy: %w", err)
		}
	}
	return tpm2.TPM2BDigest{Buffer: policy.Hash().Digest}, nil
}

// create makes an object under the storage key; secret is nil for a key.
func (c *chip) create(template tpm2.TPMTPublic, auth, secret []byte) (object, error) {
	sensitive := &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: auth}}
	if secret != nil {
		sensitive.Data = tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret})
	}
	answer, err := tpm2.Create{
		ParentHandle: c.onParent(encrypted), InPublic: tpm2.New2B(template),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: sensitive},
	}.Execute(c)
	if err != nil {
		return object{}, fmt.Errorf("creating an object: %w", err)
	}
	return object{answer.OutPublic.Bytes(), answer.OutPrivate.Buffer}, nil
}

var errForm = errors.New("no public area")

// load loads an object. The caller flushes it.
func (c *chip) load(o object) (tpm2.NamedHandle, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](o.public)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: %w", errForm, err)
	}
	// Computed, not believed: what is sent to the object is bound to its name.
	name, err := tpm2.ObjectName(public)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("%w: %w", errForm, err)
	}
	answer, err := tpm2.Load{
		ParentHandle: c.onParent(plain), InPrivate: tpm2.TPM2BPrivate{Buffer: o.private},
		InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](o.public),
	}.Execute(c)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("loading an object: %w", err)
	}
	return tpm2.NamedHandle{Handle: answer.ObjectHandle, Name: *name}, nil
}

// loaded calls f with the object loaded.
func (c *chip) loaded(o object, f func(tpm2.NamedHandle) error) error {
	h, err := c.load(o)
	if err != nil {
		return err
	}
	return errors.Join(f(h), c.flush(h.Handle))
}

func (c *chip) on(h tpm2.NamedHandle, auth []byte, way direction) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: h.Handle, Name: h.Name, Auth: c.session.with(auth, way)}
}

// multiply computes key·point in the chip.
func (c *chip) multiply(key tpm2.NamedHandle, p point) (point, error) {
	answer, err := tpm2.ECDHZGen{
		KeyHandle: c.on(key, c.auth, bothWays),
		InPoint: tpm2.New2B(tpm2.TPMSECCPoint{
			X: tpm2.TPM2BECCParameter{Buffer: p.x[:]}, Y: tpm2.TPM2BECCParameter{Buffer: p.y[:]},
		}),
	}.Execute(c)
	if err != nil {
		return point{}, fmt.Errorf("multiplying: %w", err)
	}
	product, err := answer.OutPoint.Contents()
	if err != nil {
		return point{}, fmt.Errorf("reading a product: %w", err)
	}
	return chipPoint(product)
}

// publicPoint is the point of a key whose public area is just like template, or an error.
func publicPoint(area []byte, template tpm2.TPMTPublic) (point, error) {
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](area)
	if err != nil {
		return point{}, fmt.Errorf("reading a public area: %w", err)
	}
	at, err := public.Unique.ECC()
	if err != nil {
		return point{}, fmt.Errorf("reading a public area: %w", err)
	}
	template.Unique = public.Unique
	if string(tpm2.Marshal(template)) != string(area) {
		return point{}, errors.New("a public area of another kind")
	}
	return chipPoint(at)
}

const coordinate = 32 // bytes of each coordinate of a P-256 point

// point is a point of P-256 that was checked.
type point struct{ x, y [coordinate]byte }

// chipPoint checks a point that a chip gave, which may have left out leading zeros.
func chipPoint(c *tpm2.TPMSECCPoint) (p point, err error) {
	if len(c.X.Buffer) > coordinate || len(c.Y.Buffer) > coordinate {
		return point{}, anchor.ErrPoint
	}
	copy(p.x[coordinate-len(c.X.Buffer):], c.X.Buffer)
	copy(p.y[coordinate-len(c.Y.Buffer):], c.Y.Buffer)
	_, err = p.public()
	return p, err
}

// public checks that p is on the curve.
func (p point) public() (*ecdh.PublicKey, error) {
	key, err := ecdh.P256().NewPublicKey(append(append([]byte{4}, p.x[:]...), p.y[:]...))
	if err != nil {
		return nil, anchor.ErrPoint
	}
	return key, nil
}

func exchangePoint(k *ecdh.PublicKey) (point, error) {
	b := k.Bytes()
	if k.Curve() != ecdh.P256() || len(b) != 1+2*coordinate {
		return point{}, anchor.ErrPoint
	}
	return point{[coordinate]byte(b[1:]), [coordinate]byte(b[1+coordinate:])}, nil
}

// compressed is SEC 1, 2.3.3.
func (p point) compressed() (b [anchor.PointSize]byte) {
	b[0] = 2 | p.y[coordinate-1]&1
	copy(b[1:], p.x[:])
	return b
}
