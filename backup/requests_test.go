package backup_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
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
	n.wantCost(t, "first", asked, took, 16, 8)
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
	n.wantCost(t, "new device", asked, took, 19, 8)
	asked, took = p.onNetwork(n, func() { must(p.t, verifyAll(p.open())) })
	n.wantCost(t, "verify", asked, took, 40, 17)
	asked, took = p.onNetwork(n, func() {
		_, err := p.open().Prune(p.t.Context(), backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 1}) // no pack is written anew
		must(p.t, err)
	})
	n.wantCost(t, "prune", asked, took, 33, 16)
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

const mebibyte = 1 << 20

// bulk fills the chat folder with so many files of 4 MiB that nothing can make smaller.
func (p *phone) bulk(files int) {
	rnd := rand.New(rand.NewChaCha8([32]byte{16}))
	for i := range files {
		p.write(fmt.Sprintf("Media/Video/%03d.mp4", i), random(rnd, 4*mebibyte))
	}
}

// Requests for each GB: packs of 16 MiB, 60 to a billion bytes, and what does not grow.
func TestRequestsPerGigabyte(t *testing.T) {
	p, n := newPhone(t), newNetwork(far)
	p.bulk(20)
	p.remote(n)
	_, asked, took := p.snap(n)
	perGB := func(what string, asked []request, fixed int) {
		each := float64(len(asked)-fixed) / (20 * 4 * mebibyte) * 1e9
		t.Logf("%s: %.0f requests for each GB, %s", what, each, counted(asked))
		if each > 62 {
			t.Errorf("%s: %.1f requests for each GB", what, each)
		}
	}
	perGB("backup", asked, 16)
	if trips := n.trips(took); trips > 10 {
		t.Errorf("%d round trips in a row, with four packs at a time", trips)
	}
	p.cache, p.mark = "", backup.Mark{}
	target := filepath.Join(t.TempDir(), "r")
	asked, took = p.onNetwork(n, func() {
		r := p.open()
		must(p.t, restoreFrom(r, r.Snapshots()[0].ID, target))
	})
	perGB("restore", asked, 8)
	if trips := n.trips(took); trips > 9 {
		t.Errorf("%d round trips in a row", trips)
	}
	same(t, tree(t, p.chats), tree(t, target))
}

// An index that an upload writes in the middle of a run may be stored after everything else. The head names it all the same.
func TestSlowIndex(t *testing.T) {
	smallPacks(t)
	t.Cleanup(backup.SetIndexPayload(4000))
	p, n := newPhone(t), newNetwork(far)
	for i := range 2000 {
		p.write(fmt.Sprintf("A/%04d", i), fmt.Append(nil, "note ", i))
	}
	p.bulk(3) // so that more packs follow
	p.remote(n)
	indexes := 0
	n.fail = func(method, name string) error {
		if method == "Put" && strings.HasPrefix(name, "index/") {
			n.mu.Lock()
			indexes++
			slow := indexes == 1
			n.mu.Unlock()
			if slow {
				time.Sleep(time.Minute)
			}
		}
		return nil
	}
	p.snap(n)
	if indexes < 2 {
		t.Fatalf("%d indexes", indexes)
	}
	p.onNetwork(n, func() { must(p.t, verifyAll(p.open())) })
}

// A restore of one file, by a new device from a repository of two days, fetches the lists and of the packs what the file lies in.
func TestPartialRestore(t *testing.T) {
	p, n := newPhone(t), newNetwork(far)
	p.history()
	p.bulk(9)
	p.remote(n)
	p.snap(n)
	p.nextDay(1)
	res, _, _ := p.snap(n)
	p.cache, p.mark = "", backup.Mark{}
	for what, data := range map[string]struct {
		path           string
		requests, trip int
	}{
		"a picture": {"Media/Images/IMG-03.jpg", 2, 8},
		"a video":   {"Media/Video/005.mp4", 4, 8},
		"one byte":  {"Notes/one", 2, 8},
	} {
		target := filepath.Join(t.TempDir(), "r")
		asked, took := p.onNetwork(n, func() { must(p.t, restoreFrom(p.open(), res.Snapshot.ID, target, data.path)) })
		size := fileSize(t, filepath.Join(target, data.path))
		fetched, lists := bytesOf(asked, "Get", "data/"), bytesOf(asked, "Get", "")-bytesOf(asked, "Get", "data/")
		t.Logf("%s of %d bytes: %d fetched, and %d of lists, %d round trips in a row, %s", what, size, fetched, lists, n.trips(took), counted(asked))
		if extra := fetched - size; extra > 4*mebibyte/8 || lists > 200_000 {
			t.Errorf("%s: %d bytes more than it has, %d of lists", what, extra, lists)
		}
		if got := count(asked)["Get data"]; got > data.requests || len(asked) > 10+data.requests || n.trips(took) > data.trip {
			t.Errorf("%s: %d requests for data, %d in all, %d in a row", what, got, len(asked), n.trips(took))
		}
		if string(mustRead(t, filepath.Join(target, data.path))) != string(mustRead(t, filepath.Join(p.chats, data.path))) {
			t.Errorf("%s: other contents", what)
		}
	}
}
