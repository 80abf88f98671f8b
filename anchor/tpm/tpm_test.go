package tpm_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
	"keepsake.example/oprf/p256"
)

func TestConformance(t *testing.T) {
	boxes := map[string]*box{}
	anchortest.RunDevice(t, func(_ *testing.T, name string) anchor.Device {
		if boxes[name] == nil {
			boxes[name] = prepared(t)
		}
		return boxes[name].open()
	}, custodian)
}

// evaluates checks the fleet key of a device against the software's evaluation, both with
// random points, and returns h·G.
func evaluates(t testing.TB, d anchor.Device) [anchor.PointSize]byte {
	t.Helper()
	k, err := d.FleetKey(context.Background())
	check(t, err)
	r, err := ecdh.P256().GenerateKey(rand.Reader)
	check(t, err)
	scalar := [32]byte(r.Bytes())
	// h·(r·G) is r·(h·G).
	got, err := k.Evaluate(context.Background(), must(p256.Public(&scalar)))
	check(t, err)
	if want := must(p256.Evaluate(&scalar, k.Public())); got != want {
		t.Errorf("h·B is %x, want %x", got, want)
	}
	return k.Public()
}
