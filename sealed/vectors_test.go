package sealed_test

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"testing"

	"keepsake.example/sealed"
	"keepsake.example/vectors"
)

// layers are the errors by the names of spec/vault-protocol.md §4.
var layers = map[string]error{
	"format": sealed.ErrFormat, "key": sealed.ErrKey, "open": sealed.ErrOpen, "public-key": sealed.ErrPublicKey,
}

// TestVectors runs vectors/sealed, whose names are listed in spec/vault-protocol.md §5.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector){
		"opened": vectorOpened, "refused": vectorRefused, "known answer": vectorKnownAnswer,
	}
	ran := map[string]int{}
	for _, v := range must(vectors.All("sealed")) {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			ran[expect]++
			run[expect](t, v)
		})
	}
	for expect := range run {
		if ran[expect] == 0 {
			t.Errorf("no vector expects %q", expect)
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

func vectorKey(t *testing.T, v *vectors.Vector) (*sealed.PrivateKey, sealed.FleetID) {
	t.Helper()
	fleet := sealed.FleetID(unhex(field(t, v, "fleet")))
	return must(sealed.ParsePrivateKey(fleet, unhex(field(t, v, "private-key")))), fleet
}

// vectorOpen opens the body with the package and with the reference, which must agree.
func vectorOpen(t *testing.T, v *vectors.Vector) ([]byte, error) {
	t.Helper()
	var got, ref []byte
	var err, refErr error
	switch kind := field(t, v, "type"); kind {
	case "request":
		k, fleet := vectorKey(t, v)
		var answerer *sealed.Answerer
		got, answerer, err = k.Open(v.Body)
		var exported []byte
		ref, _, exported, refErr = refRequest(fleet[:], unhex(field(t, v, "private-key")), v.Body)
		if err == nil {
			is(t, "exported secret", answerer.Exported(), exported)
			is(t, "exported secret", answerer.Exported(), unhex(field(t, v, "exported")))
		}
	case "answer":
		enc, exported := unhex(field(t, v, "enc")), unhex(field(t, v, "exported"))
		got, err = sealed.TestingOnlyPending(enc, exported).Open(v.Body)
		ref, refErr = refAnswer(enc, exported, v.Body)
	case "public-key":
		_, err = sealed.ParsePublicKey(testFleet, unhex(field(t, v, "bytes")))
		refErr = err
	default:
		t.Fatalf("unknown type %q", kind)
	}
	if (err == nil) != (refErr == nil) || !bytes.Equal(got, ref) {
		t.Errorf("package: %d bytes, %v; reference: %d bytes, %v", len(got), err, len(ref), refErr)
	}
	return got, err
}

func vectorOpened(t *testing.T, v *vectors.Vector) {
	got, err := vectorOpen(t, v)
	if err != nil {
		t.Fatal(err)
	}
	is(t, "message", got, unhex(field(t, v, "message")))
	if field(t, v, "type") != "request" {
		return
	}
	k, fleet := vectorKey(t, v)
	public, id := k.Public().Bytes(), k.Public().ID()
	is(t, "public key", public[:], unhex(field(t, v, "public-key")))
	is(t, "key id", id[:], unhex(field(t, v, "key-id")))
	parsed := must(sealed.ParsePublicKey(fleet, public[:]))
	if parsed.ID() != id || must(sealed.RequestKey(v.Body)) != id {
		t.Error("another key id from the public key, or from the request")
	}
}

func vectorRefused(t *testing.T, v *vectors.Vector) {
	got, err := vectorOpen(t, v)
	want := layers[field(t, v, "layer")]
	if want == nil || got != nil || !errors.Is(err, want) {
		t.Errorf("opened as %d bytes, %v, want %v", len(got), err, want)
	}
}

// vectorKnownAnswer is a published vector of the KEM and KDF. It checks the
// standard library as we use it, and the reference.
func vectorKnownAnswer(t *testing.T, v *vectors.Vector) {
	get := func(name string) []byte { return unhex(field(t, v, name)) }
	key := must(hpke.MLKEM768X25519().NewPrivateKey(get("private-key")))
	is(t, "public key", key.PublicKey().Bytes(), get("public-key"))
	r := must(hpke.NewRecipient(get("enc"), key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), get("info")))
	is(t, "plaintext", must(r.Open(get("aad"), get("ciphertext"))), get("plaintext"))
	is(t, "exported", must(r.Export(string(get("exporter-context")), 32)), get("exported"))

	shared, public, err := refDecap(get("private-key"), get("enc"))
	if err != nil {
		t.Fatal(err)
	}
	is(t, "reference's public key", public, get("public-key"))
	is(t, "reference's shared secret", shared, get("shared-secret"))
	s := refKeys(shared, get("info"), 3)
	is(t, "reference's key", s.key, get("key"))
	is(t, "reference's nonce", s.nonce, get("base-nonce"))
	is(t, "reference's exporter", s.exporter, get("exporter-secret"))
	is(t, "reference's export", s.expand(s.exporter, "sec", get("exporter-context"), 32), get("exported"))
}

func is(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n     %x\nwant %x", what, got, want)
	}
}
