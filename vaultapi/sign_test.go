package vaultapi_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"keepsake.example/vaultapi"
)

// signature is a vault signature's parts; message builds what each type signs.
type signature struct {
	fleet         [32]byte
	account       vaultapi.Account
	live, other   vaultapi.ID // attempt or pending
	first, second [32]byte    // proposal or blinded; device
}

func (s signature) message(t vaultapi.Type) []byte {
	switch t {
	case vaultapi.Confirm:
		return vaultapi.ConfirmMessage(s.fleet, s.account, s.live, s.first)
	case vaultapi.Prove:
		return vaultapi.ProveMessage(s.fleet, s.account, s.live, s.other, s.first, s.second)
	case vaultapi.Delete:
		return vaultapi.DeleteMessage(s.fleet, s.account, s.live)
	}
	return vaultapi.CancelMessage(s.fleet, s.account, s.live, s.other)
}

var signedTypes = []vaultapi.Type{vaultapi.Confirm, vaultapi.Prove, vaultapi.Delete, vaultapi.Cancel}

// regressions.md: wrapped keys interchangeable, sequence numbers and peer ids not
// compared. No signature serves for another fleet, account, record, request or
// content.
func TestRegressionCrossAccountSignatures(t *testing.T) {
	base := signature{testFleet, fill32(1), fill16(2), fill16(3), fill32(4), fill32(5)}
	changes := map[string]func(*signature){
		"fleet":              func(s *signature) { s.fleet[31]++ },
		"account":            func(s *signature) { s.account[0]++ },
		"live record":        func(s *signature) { s.live[15]++ },
		"attempt or pending": func(s *signature) { s.other[0]++ },
		"proposal or B":      func(s *signature) { s.first[31]++ },
		"device":             func(s *signature) { s.second[0]++ },
	}
	covers := map[vaultapi.Type]int{vaultapi.Confirm: 4, vaultapi.Prove: 6, vaultapi.Delete: 3, vaultapi.Cancel: 4}
	key := keyOf(9)
	public := key.Public().(ed25519.PublicKey)
	for _, typ := range signedTypes {
		made, covered := ed25519.Sign(key, base.message(typ)), 0
		for name, change := range changes {
			s := base
			change(&s)
			if !bytes.Equal(s.message(typ), base.message(typ)) {
				covered++
				if ed25519.Verify(public, s.message(typ), made) {
					t.Errorf("the signature for %v holds for another %s", typ, name)
				}
			}
		}
		if covered != covers[typ] {
			t.Errorf("%v covers %d parts, want %d", typ, covered, covers[typ])
		}
		for _, other := range signedTypes {
			if ed25519.Verify(public, base.message(other), made) != (other == typ) {
				t.Errorf("the signature for %v, checked as one for %v", typ, other)
			}
		}
	}
}

// A Confirm is over the whole proposal: none of it can be exchanged under the same id.
func TestRegressionWrappedKeysInterchangeable(t *testing.T) {
	base := proposal().Digest()
	seen := map[[32]byte]string{base: "nothing"}
	for name, change := range map[string]func(*vaultapi.ProposeBody){
		"record":   func(p *vaultapi.ProposeBody) { p.Record[0]++ },
		"limit":    func(p *vaultapi.ProposeBody) { p.Limit-- },
		"key":      func(p *vaultapi.ProposeBody) { p.Key = secretOf(99) },
		"unlock":   func(p *vaultapi.ProposeBody) { p.Unlock[0]++ },
		"device":   func(p *vaultapi.ProposeBody) { p.Device[0]++ },
		"envelope": func(p *vaultapi.ProposeBody) { p.Envelope[0]++ },
		"longer":   func(p *vaultapi.ProposeBody) { p.Envelope = append(p.Envelope, 0) },
	} {
		p := proposal()
		change(p)
		if same, ok := seen[p.Digest()]; ok {
			t.Errorf("digest with another %s is that with another %s", name, same)
		}
		seen[p.Digest()] = name
	}
}

// spec §10.1: a binding is for one fleet, and there must be one.
func TestBinding(t *testing.T) {
	r := requestOf(&vaultapi.StatusBody{}, true)
	if err := r.CheckBinding(testFleet); err != nil {
		t.Error(err)
	}
	if err := r.CheckBinding(fill32(0xf2)); !errors.Is(err, vaultapi.ErrBinding) {
		t.Errorf("for another fleet: %v", err)
	}
	r.Bound = false
	if err := r.CheckBinding(testFleet); !errors.Is(err, vaultapi.ErrBinding) {
		t.Errorf("not bound: %v", err)
	}
}

// The account is of issuer and subject together, however they are cut.
func TestAccount(t *testing.T) {
	seen := map[vaultapi.Account]bool{}
	for _, names := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"c", "ab"}, {"a\x00b", "c"}, {"a", "b\x00c"}, {"ab", "C"}} {
		a := must(vaultapi.NewAccount(names[0], names[1]))
		if seen[a] {
			t.Errorf("%q is another's account too", names)
		}
		seen[a] = true
	}
}
