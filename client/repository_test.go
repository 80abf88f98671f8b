package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud/dir"
)

// swap puts a new repository under the same key in the place of the cloud folder.
func (w *world) swap(k *keeper) (away string) {
	w.t.Helper()
	away = w.cloud + ".away"
	if err := os.Rename(w.cloud, away); err != nil {
		w.t.Fatal(err)
	}
	s, err := dir.Create(w.cloud)
	if err == nil {
		_, err = backup.Create(context.Background(), s, k.last(), time.Now())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return away
}

// A cloud folder swapped for another repository that the same digits open: nothing is read from it as if it were ours, nothing is
// written to it, nothing in it is deleted; once the right one is back, all goes on. With the state of the device lost too, or it would
// be refused as rolled back.
func TestAnotherRepositoryUnderTheSameKeyIsRefused(t *testing.T) {
	w := newWorld(t)
	k := w.mustEnable()
	if _, err := w.backup(); err != nil {
		t.Fatal(err)
	}
	away := w.swap(k)
	if err := os.Remove(filepath.Join(w.profile, "state.json")); err != nil {
		t.Fatal(err)
	}
	c, ctx := w.client(), context.Background()
	_, errBackup := w.backup()
	_, errList := c.Snapshots(ctx, nil)
	_, errVerify := c.Verify(ctx, nil, 0)
	_, errStatus := c.Status(ctx)
	_, errPrune := c.Prune(ctx, client.PruneOptions{Keep: backup.Policy{Last: 1}})
	_, errDelete := c.Disable(ctx, client.DisableOptions{Delete: true, Confirm: func(client.Loss) error { return nil }})
	for what, err := range map[string]error{
		"backup": errBackup, "snapshots": errList, "verify": errVerify, "status": errStatus, "prune": errPrune, "delete": errDelete,
		"rotate": c.Rotate(ctx, k.deliver),
	} {
		if !errors.Is(err, backup.ErrOtherRepository) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if names, err := filepath.Glob(filepath.Join(w.cloud, "*", "*")); err != nil || len(names) != 2 {
		t.Errorf("the other repository holds %v, want its ring and the spare alone", names)
	}
	if err := errors.Join(os.RemoveAll(w.cloud), os.Rename(away, w.cloud)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.backup(); err != nil {
		t.Error(err)
	}
}
