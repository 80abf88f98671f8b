//go:build cgo

package pkcs11_test

import (
	"errors"
	"os"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor/pkcs11"
)

// A raw session is what root on the machine has: the module, and the user PIN.
type raw struct {
	testing.TB
	*p11.Ctx
	slot    uint
	session p11.SessionHandle
}

func attack(t testing.TB, opts pkcs11.Options) *raw {
	t.Helper()
	ctx, release, err := pkcs11.Raw(opts.Module)
	check(t, err)
	r := &raw{TB: t, Ctx: ctx}
	t.Cleanup(func() { release() })
	for _, slot := range must(ctx.GetSlotList(true)) {
		if must(ctx.GetTokenInfo(slot)).Label == opts.Token {
			r.slot = slot
		}
	}
	r.session = must(ctx.OpenSession(r.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION))
	t.Cleanup(func() { ctx.CloseSession(r.session) })
	err = ctx.Login(r.session, p11.CKU_USER, string(must(os.ReadFile(opts.PINFile))))
	if !errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)) {
		check(t, err)
	}
	return r
}

func (r *raw) find(class uint, label string) []p11.ObjectHandle {
	r.Helper()
	check(r, r.FindObjectsInit(r.session, []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, class), p11.NewAttribute(p11.CKA_LABEL, label)}))
	handles, _, err := r.FindObjects(r.session, 100)
	check(r, err)
	check(r, r.FindObjectsFinal(r.session))
	return handles
}

func (r *raw) value(h p11.ObjectHandle, kind uint) []byte {
	r.Helper()
	a, err := r.GetAttributeValue(r.session, h, []*p11.Attribute{p11.NewAttribute(kind, nil)})
	check(r, err)
	return a[0].Value
}

// state returns the value of the only state object.
func (r *raw) state() []byte {
	r.Helper()
	h := r.find(p11.CKO_DATA, "keepsake state")
	if len(h) != 1 {
		r.Fatalf("%d state objects", len(h))
	}
	return r.value(h[0], p11.CKA_VALUE)
}

// put makes a value the only state object.
func (r *raw) put(value []byte) {
	r.Helper()
	r.remove("keepsake state")
	r.add(value)
}

func (r *raw) add(value []byte) {
	r.Helper()
	_, err := r.CreateObject(r.session, []*p11.Attribute{
		p11.NewAttribute(p11.CKA_CLASS, p11.CKO_DATA), p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_PRIVATE, true),
		p11.NewAttribute(p11.CKA_LABEL, "keepsake state"), p11.NewAttribute(p11.CKA_VALUE, value),
	})
	check(r, err)
}

func (r *raw) remove(label string) {
	r.Helper()
	check(r, r.FindObjectsInit(r.session, []*p11.Attribute{p11.NewAttribute(p11.CKA_LABEL, label)}))
	handles, _, err := r.FindObjects(r.session, 100)
	check(r, err)
	check(r, r.FindObjectsFinal(r.session))
	for _, h := range handles {
		check(r, r.DestroyObject(r.session, h))
	}
}

func (r *raw) epochKeys() []p11.ObjectHandle {
	r.Helper()
	return r.find(p11.CKO_SECRET_KEY, "keepsake epoch")
}

// tidy checks that a crash left nothing behind that opening did not take away.
func (r *raw) tidy() {
	r.Helper()
	if keys := r.epochKeys(); len(keys) != 1 {
		r.Errorf("%d epoch keys", len(keys))
	}
	r.state()
}
