//go:build cgo

package pkcs11_test

import (
	"crypto"
	"crypto/ed25519"
	"os"
	"sync"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
	"keepsake.example/anchor/pkcs11"
)

func uriOf(opts pkcs11.Options, object string) *pkcs11.URI {
	return &pkcs11.URI{Token: opts.Token, Object: object, Module: opts.Module, PINSource: opts.PINFile}
}

func TestSigner(t *testing.T) {
	u := uriOf(blank(t), "alice")
	_, err := pkcs11.OpenSigner(t.Context(), u, nil)
	is(t, err, pkcs11.ErrNoKey)
	s, err := pkcs11.MakeSigner(t.Context(), u, nil)
	check(t, err)
	public := s.Public().(ed25519.PublicKey)
	_, err = pkcs11.MakeSigner(t.Context(), u, nil)
	is(t, err, pkcs11.ErrKeyExists)
	check(t, s.Close())
	check(t, s.Close())
	if _, err := s.Sign(nil, []byte("text"), crypto.Hash(0)); err == nil {
		t.Error("a closed key signs")
	}

	s = must(pkcs11.OpenSigner(t.Context(), must(pkcs11.ParseURI(u.String())), nil))
	defer s.Close()
	if !public.Equal(s.Public()) {
		t.Error("another key after it was closed")
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			sig, err := s.Sign(nil, []byte("text"), crypto.Hash(0))
			if err != nil || !ed25519.Verify(public, []byte("text"), sig) {
				t.Errorf("signed %x, %v", sig, err)
			}
		})
	}
	wg.Wait()
	if _, err := s.Sign(nil, make([]byte, 64), crypto.SHA512); err == nil {
		t.Error("signed a hash")
	}
}

// The PIN that a person types is not tried twice either, nor a second key taken for the first.
func TestSignerRefuses(t *testing.T) {
	opts := blank(t)
	u := uriOf(opts, "alice")
	check(t, must(pkcs11.MakeSigner(t.Context(), u, nil)).Close())
	u.PINSource = ""
	_, err := pkcs11.OpenSigner(t.Context(), u, must(anchor.NewSecret([]byte("wrong"))))
	is(t, err, pkcs11.ErrPIN)
	if _, err := pkcs11.OpenSigner(t.Context(), u, nil); err == nil {
		t.Error("opened without a PIN")
	}
	pin := must(anchor.NewSecret(must(os.ReadFile(opts.PINFile))))
	check(t, must(pkcs11.OpenSigner(t.Context(), u, pin)).Close())
	u.Object = ""
	if _, err := pkcs11.MakeSigner(t.Context(), u, pin); err == nil {
		t.Error("made a key without a name")
	}
	u.Token = "another"
	_, err = pkcs11.OpenSigner(t.Context(), u, pin)
	is(t, err, anchor.ErrAbsent)
}

// The private half stays on the token.
func TestSignerKeyStays(t *testing.T) {
	opts := blank(t)
	s := must(pkcs11.MakeSigner(t.Context(), uriOf(opts, "alice"), nil))
	defer s.Close()
	r := attackLoggedIn(t, opts)
	key := r.find(p11.CKO_PRIVATE_KEY, "alice")[0]
	if _, err := r.GetAttributeValue(r.session, key, yes(p11.CKA_VALUE)); err == nil {
		t.Error("read")
	}
	if got := r.value(key, p11.CKA_EXTRACTABLE); len(got) != 1 || got[0] != 0 {
		t.Errorf("CKA_EXTRACTABLE is %v", got)
	}
}
