package client_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// then is the client at a time of day.
func (w *world) then(t time.Time) *client.Client {
	return client.New(client.Settings{Profile: w.profile, Keyring: w, Now: func() time.Time { return t },
		OpenCloud: func(_ context.Context, destination string, _ bool) (cloud.Store, error) { return dir.Open(destination) }})
}

// While the person thinks, another device backs up, and by that one's time all of this device's are old. What she was shown goes, and nothing else.
func TestPruneRemovesWhatWasConfirmed(t *testing.T) {
	ctx, began := context.Background(), time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	w, v := newWorld(t), newWorld(t)
	backs := func(w *world, after time.Duration) {
		if _, err := w.then(began.Add(after)).Backup(ctx, client.BackupOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.client().Enable(ctx, client.EnableOptions{Source: w.chats, Cloud: w.cloud, Deliver: func(*key.Key) error { return nil }}); err != nil {
		t.Fatal(err)
	}
	k, err := w.client().Key()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.client().Enable(ctx, client.EnableOptions{Source: v.chats, Cloud: w.cloud, Join: k}); err != nil {
		t.Fatal(err)
	}
	for day := range 4 {
		w.write("a.txt", began.AddDate(0, 0, day).String())
		backs(w, time.Duration(day)*24*time.Hour)
	}
	var shown []backup.Snapshot
	o := client.PruneOptions{Keep: backup.Policy{Within: 36 * time.Hour}, MaxUnused: 0.5, Confirm: func(r *backup.PruneResult) error {
		shown = r.Removed
		backs(v, 9*24*time.Hour)
		return nil
	}}
	r, err := w.client().Prune(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(shown) != 2 || !slices.EqualFunc(shown, r.Removed, func(a, b backup.Snapshot) bool { return a.ID == b.ID }) || len(r.Kept) != 3 {
		t.Errorf("%d were shown, %d removed, %d kept", len(shown), len(r.Removed), len(r.Kept))
	}
	o.Confirm = nil
	if r, err := w.client().Prune(ctx, o); err != nil || len(r.Removed) != 1 || len(r.Kept) != 2 {
		t.Errorf("asked anew: %v, %+v", err, r)
	}
}
