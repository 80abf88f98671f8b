package backup_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/backup"
)

// trips is how many round trips followed each other.
func (n *network) trips(took time.Duration) int { return int(took / n.trip) }

// wantCost holds an operation to the number of its requests and of the round trips that follow each other.
func (n *network) wantCost(t *testing.T, what string, asked []request, took time.Duration, requests, trips int) {
	t.Helper()
	t.Logf("%-12s %2d round trips in a row, %s", what, n.trips(took), counted(asked))
	if len(asked) > requests || n.trips(took) > trips {
		t.Errorf("%s: %d requests and %d round trips in a row, want at most %d and %d", what, len(asked), n.trips(took), requests, trips)
	}
}

// What each operation asks of the cloud, and how often it waits for an answer before it can ask on. doc/decisions/0046 has the table.
func TestRoundTrips(t *testing.T) {
	p, n := newPhone(t), newNetwork(far)
	p.history()
	p.remote(n)
	_, asked, took := p.snap(n)
	n.wantCost(t, "first", asked, took, 15, 8)
	_, asked, took = p.snap(n)
	n.wantCost(t, "unchanged", asked, took, 10, 7)
	p.nextDay(1)
	_, asked, took = p.snap(n)
	n.wantCost(t, "day 2", asked, took, 13, 7)
	p.nextDay(2)
	_, asked, took = p.snap(n)
	n.wantCost(t, "day 3", asked, took, 14, 7)
	var snapshots []backup.Snapshot
	asked, took = p.onNetwork(n, func() { snapshots = p.open().Snapshots() })
	n.wantCost(t, "snapshots", asked, took, 3, 1)
	asked, took = p.onNetwork(n, func() {
		_, err := p.open().Usage(p.t.Context())
		must(p.t, err)
	})
	n.wantCost(t, "status", asked, took, 11, 2)
	asked, took = p.onNetwork(n, func() { must(p.t, restoreFrom(p.open(), snapshots[3].ID, filepath.Join(t.TempDir(), "r"))) })
	n.wantCost(t, "restore", asked, took, 9, 3)
	p.cache, p.mark = "", backup.Mark{}
	asked, took = p.onNetwork(n, func() { must(p.t, restoreFrom(p.open(), snapshots[3].ID, filepath.Join(t.TempDir(), "r"))) })
	n.wantCost(t, "new device", asked, took, 18, 8)
	asked, took = p.onNetwork(n, func() { must(p.t, verifyAll(p.open())) })
	n.wantCost(t, "verify", asked, took, 38, 17)
	asked, took = p.onNetwork(n, func() {
		_, err := p.open().Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: backup.DefaultMaxUnused})
		must(p.t, err)
	})
	n.wantCost(t, "prune", asked, took, 32, 16)
}

func restoreFrom(r *backup.Repo, id, target string, include ...string) error {
	_, err := r.Restore(context.Background(), backup.RestoreOptions{Snapshot: id, Target: target, Include: include})
	return err
}

func verifyAll(r *backup.Repo) error {
	v, err := r.Verify(context.Background(), backup.VerifyOptions{ReadData: 1})
	if err == nil && len(v.Damage) > 0 {
		err = fmt.Errorf("%d damaged: %w", len(v.Damage), v.Damage[0])
	}
	return err
}
