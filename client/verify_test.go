package client_test

import (
	"os"
	"path/filepath"
	"testing"
)

// What a verification of every byte found damaged is stored again by the next backup, though another verification, which read less, came between.
func TestDamageIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.mustEnable()
	if _, err := w.backup(); err != nil {
		t.Fatal(err)
	}
	packs, err := filepath.Glob(filepath.Join(w.cloud, "data", "*"))
	if err != nil || len(packs) == 0 {
		t.Fatal(packs, err)
	}
	object, err := os.ReadFile(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	object[200] ^= 1
	if err := os.WriteFile(packs[0], object, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, part := range []float64{1, 0} {
		if _, err := w.client().Verify(t.Context(), nil, part); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := w.backup(); err != nil || r.BytesUploaded == 0 {
		t.Errorf("%+v, %v: nothing was stored again", r, err)
	}
	r, err := w.client().Verify(t.Context(), nil, 1)
	if err != nil || len(r.Affected[newest(t, w)]) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// newest is the id of the newest snapshot.
func newest(t *testing.T, w *world) string {
	t.Helper()
	list, err := w.client().Snapshots(t.Context(), nil)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	return list[len(list)-1].ID
}
