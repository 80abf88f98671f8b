package fleet_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/fleet"
	"keepsake.example/sealed"
	"keepsake.example/vectors"
)

// layers are the errors by the names of spec/vault-protocol.md §4.
var layers = map[string]error{
	"format": fleet.ErrFormat, "fleet": fleet.ErrForeign, "signature": fleet.ErrSignature, "stale": fleet.ErrStale,
	"key": fleet.ErrNoKey, "id": fleet.ErrID,
}

// TestVectors runs vectors/fleet, whose names are listed in spec/vault-protocol.md §5.
func TestVectors(t *testing.T) {
	run := map[string]func(*testing.T, *vectors.Vector){
		"opened": vectorOpened, "refused": vectorRefused, "current": vectorCurrent, "follows": vectorFollows, "id": vectorID,
	}
	ran := map[string]bool{}
	for _, v := range vectorFiles(t) {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			run[expect](t, v)
			ran[expect] = true
			if expect == "refused" {
				ran[field(t, v, "layer")] = true
			}
		})
	}
	for expect := range run {
		if !ran[expect] {
			t.Errorf("no vector expects %q", expect)
		}
	}
	for layer := range layers {
		if !ran[layer] {
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

func number(t *testing.T, v *vectors.Vector, name string) uint64 {
	t.Helper()
	return must(strconv.ParseUint(field(t, v, name), 10, 64))
}

// open opens a bundle with the package and with the independent reader, which must agree.
func open(t testing.TB, data []byte, id sealed.FleetID) (*fleet.Bundle, error) {
	t.Helper()
	want, layer := refOpen(data, id[:])
	b, err := fleet.Open(data, id)
	if layer != "" {
		if b != nil || !errors.Is(err, layers[layer]) {
			t.Errorf("opened as %+v, %v, want %v", b, err, layers[layer])
		}
		return nil, err
	}
	if err != nil {
		t.Fatalf("%v, want %v", err, want)
	}
	if diff := cmp.Diff(want, describe(b)); diff != "" {
		t.Errorf("independent reader - package +:\n%s", diff)
	}
	return b, nil
}

func vectorBundle(t *testing.T, v *vectors.Vector) *fleet.Bundle {
	t.Helper()
	b, err := open(t, v.Body, sealed.FleetID(unhex(field(t, v, "fleet"))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectorOpened(t *testing.T, v *vectors.Vector) {
	b := vectorBundle(t, v)
	want := fields{}
	for _, f := range v.Fields {
		if !slices.Contains([]string{"comment", "expect", "fleet"}, f.Name) {
			want[f.Name] = f.Value
		}
	}
	if diff := cmp.Diff(want, describe(b)); diff != "" {
		t.Errorf("vector - package +:\n%s", diff)
	}
	// All of them are of the identity with this seed; Ed25519 signs alike everywhere.
	if again := must(b.Sign(identity)); !bytes.Equal(again, v.Body) {
		t.Error("signed again as other bytes")
	}
}

func vectorRefused(t *testing.T, v *vectors.Vector) {
	want := layers[field(t, v, "layer")]
	if want == nil {
		t.Fatal("unknown layer")
	}
	var err error
	switch want {
	case fleet.ErrID:
		_, err = fleet.ParseID(field(t, v, "text"))
	case fleet.ErrStale:
		err = vectorBundle(t, v).Follows(number(t, v, "seen-serial"), [32]byte(unhex(field(t, v, "seen-digest"))))
	case fleet.ErrNoKey:
		_, err = vectorBundle(t, v).Current(number(t, v, "now"))
	default:
		_, err = open(t, v.Body, sealed.FleetID(unhex(field(t, v, "fleet"))))
	}
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

func vectorCurrent(t *testing.T, v *vectors.Vector) {
	k, err := vectorBundle(t, v).Current(number(t, v, "now"))
	if err != nil {
		t.Fatal(err)
	}
	if enc := k.Bytes(); !bytes.Equal(enc[:], unhex(field(t, v, "public-key"))) {
		t.Error("another key")
	}
}

func vectorFollows(t *testing.T, v *vectors.Vector) {
	if err := vectorBundle(t, v).Follows(number(t, v, "seen-serial"), [32]byte(unhex(field(t, v, "seen-digest")))); err != nil {
		t.Error(err)
	}
}

func vectorID(t *testing.T, v *vectors.Vector) {
	want := sealed.FleetID(unhex(field(t, v, "fleet")))
	if got := fleet.ID(ed25519.PublicKey(unhex(field(t, v, "identity")))); got != want {
		t.Errorf("id %x, want %x", got, want)
	}
	if got := must(fleet.ParseID(field(t, v, "text"))); got != want || fleet.FormatID(got) != field(t, v, "fleet") {
		t.Errorf("read as %x and written as %s, want %x", got, fleet.FormatID(got), want)
	}
}
