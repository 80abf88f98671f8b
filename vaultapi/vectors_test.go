package vaultapi_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/vaultapi"
	"keepsake.example/vectors"
)

// layers are the errors by the names of spec/vault-protocol.md §4.
var layers = map[string]error{
	"format": vaultapi.ErrFormat, "unsupported": vaultapi.ErrUnsupported, "binding": vaultapi.ErrBinding,
}

// TestVectors runs vectors/vaultapi, whose names are listed in spec/vault-protocol.md §5.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector){
		"decoded": vectorDecoded, "refused": vectorRefused, "account": vectorAccount, "digest": vectorDigest, "question": vectorQuestion,
		"signed": vectorSigned,
	}
	ran := map[string]bool{}
	for _, v := range vectorFiles(t) {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			ran[expect] = true
			run[expect](t, v)
		})
	}
	for expect := range run {
		if !ran[expect] {
			t.Errorf("no vector expects %q", expect)
		}
	}
}

// Every type of request, code of answer and layer of refusal has a vector.
func TestVectorsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectorFiles(t) {
		for _, f := range v.Fields {
			seen[f.Name+" "+f.Value] = true
		}
	}
	for typ := vaultapi.Propose; typ <= vaultapi.LastType; typ++ {
		for _, want := range []string{"name ", "to "} {
			if !seen[want+typ.String()] {
				t.Errorf("no vector says %q", want+typ.String())
			}
		}
	}
	for code := vaultapi.OK; code <= vaultapi.Busy; code++ {
		if !seen["code "+code.String()] {
			t.Errorf("no vector answers %v", code)
		}
	}
	for _, layer := range []string{"format", "unsupported", "binding", "account"} {
		if !seen["layer "+layer] {
			t.Errorf("no vector is refused at layer %q", layer)
		}
	}
}

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

func get(t *testing.T, v *vectors.Vector, name string) []byte {
	t.Helper()
	return unhex(field(t, v, name))
}

// vectorType is the request type that a vector's "to" or "name" line says.
func vectorType(t *testing.T, v *vectors.Vector, name string) vaultapi.Type {
	t.Helper()
	for typ := vaultapi.Propose; typ <= vaultapi.LastType; typ++ {
		if typ.String() == field(t, v, name) {
			return typ
		}
	}
	t.Fatalf("no request is called %q", field(t, v, name))
	return 0
}

// decode decodes the body with the package and with the independent decoder, which must agree, and
// encodes it again.
func decode(t *testing.T, v *vectors.Vector) (fields, error) {
	t.Helper()
	if field(t, v, "type") == "answer" {
		return decodeAnswer(t, vectorType(t, v, "to"), v.Body)
	}
	return decodeRequest(t, v.Body)
}

func decodeRequest(t testing.TB, b []byte) (fields, error) {
	t.Helper()
	want, layer := refRequest(b)
	r, err := vaultapi.DecodeRequest(b)
	if layer != "" {
		if r != nil || !errors.Is(err, layers[layer]) {
			t.Errorf("decoded as %v, %v, want %v", r, err, layers[layer])
		}
		return nil, err
	}
	if err != nil {
		t.Fatalf("%v, want %v", err, want)
	}
	got := describeRequest(r)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("independent decoder - package +:\n%s", diff)
	}
	if again := must(r.Encode()); !bytes.Equal(again, b) {
		t.Errorf("encoded again as %x", again)
	}
	return got, nil
}

func decodeAnswer(t testing.TB, to vaultapi.Type, b []byte) (fields, error) {
	t.Helper()
	want, layer := refAnswer(to.String(), b)
	a, err := vaultapi.DecodeAnswer(to, b)
	if layer != "" {
		if a != nil || !errors.Is(err, layers[layer]) {
			t.Errorf("decoded as %+v, %v, want %v", a, err, layers[layer])
		}
		return nil, err
	}
	if err != nil {
		t.Fatalf("%v, want %v", err, want)
	}
	got := describeAnswer(to, a)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("independent decoder - package +:\n%s", diff)
	}
	if again := must(a.Encode()); !bytes.Equal(again, b) {
		t.Errorf("encoded again as %x", again)
	}
	return got, nil
}

func vectorDecoded(t *testing.T, v *vectors.Vector) {
	got, err := decode(t, v)
	if err != nil {
		t.Fatal(err)
	}
	want := fields{}
	for _, f := range v.Fields {
		if !slices.Contains([]string{"comment", "expect", "type", "fleet"}, f.Name) {
			want[f.Name] = f.Value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("vector - package +:\n%s", diff)
	}
	if got["bound"] == "1" {
		if err := must(vaultapi.DecodeRequest(v.Body)).CheckBinding([32]byte(get(t, v, "fleet"))); err != nil {
			t.Error(err)
		}
	}
}

func vectorRefused(t *testing.T, v *vectors.Vector) {
	layer := field(t, v, "layer")
	var err error
	switch {
	case layer == "account":
		if a, err := vaultapi.NewAccount(string(get(t, v, "issuer")), string(get(t, v, "subject"))); err == nil || a != (vaultapi.Account{}) {
			t.Errorf("account %x, %v", a, err)
		}
		return
	case layer == "binding":
		decodeRequest(t, v.Body)
		err = must(vaultapi.DecodeRequest(v.Body)).CheckBinding([32]byte(get(t, v, "fleet")))
	default:
		_, err = decode(t, v)
	}
	if want := layers[layer]; want == nil || !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func vectorAccount(t *testing.T, v *vectors.Vector) {
	got := must(vaultapi.NewAccount(string(get(t, v, "issuer")), string(get(t, v, "subject"))))
	is(t, "account", got[:], get(t, v, "account"))
}

func vectorDigest(t *testing.T, v *vectors.Vector) {
	body := must(vaultapi.DecodeBody(vaultapi.Propose, v.Body))
	digest := body.(*vaultapi.ProposeBody).Digest()
	is(t, "digest", digest[:], get(t, v, "digest"))
}

func vectorQuestion(t *testing.T, v *vectors.Vector) {
	body := must(vaultapi.DecodeBody(vaultapi.HardenedAttempt, v.Body))
	question := body.(*vaultapi.HardenedAttemptBody).Question()
	is(t, "question", question[:], get(t, v, "question"))
}

func vectorSigned(t *testing.T, v *vectors.Vector) {
	message, key := get(t, v, "message"), ed25519.NewKeyFromSeed(get(t, v, "private-key"))
	is(t, "public key", key.Public().(ed25519.PublicKey), get(t, v, "public-key"))
	is(t, "signature", ed25519.Sign(key, message), get(t, v, "signature"))
	if field(t, v, "name") == "request" {
		r := must(vaultapi.DecodeRequest(v.Body))
		is(t, "token", []byte(r.Token), get(t, v, "token"))
		r.Bind([32]byte(get(t, v, "fleet")), key)
		is(t, "signature of the request", r.Signature[:], get(t, v, "signature"))
		return
	}
	is(t, "message", vectorMessage(t, v), message)
}

// vectorMessage builds what a vector signs from its parts.
func vectorMessage(t *testing.T, v *vectors.Vector) []byte {
	fleet, account, live := [32]byte(get(t, v, "fleet")), vaultapi.Account(get(t, v, "account")), vaultapi.ID(get(t, v, "live"))
	switch vectorType(t, v, "name") {
	case vaultapi.Confirm:
		return vaultapi.ConfirmMessage(fleet, account, live, [32]byte(get(t, v, "proposal")))
	case vaultapi.Prove:
		attempt, blinded, device := vaultapi.ID(get(t, v, "attempt")), [32]byte(get(t, v, "blinded")), [32]byte(get(t, v, "device"))
		return vaultapi.ProveMessage(fleet, account, live, attempt, blinded, device)
	case vaultapi.Delete:
		return vaultapi.DeleteMessage(fleet, account, live)
	case vaultapi.Cancel:
		return vaultapi.CancelMessage(fleet, account, live, vaultapi.ID(get(t, v, "pending")))
	}
	t.Fatal("nothing is signed for it")
	return nil
}

func is(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n     %x\nwant %x", what, got, want)
	}
}
