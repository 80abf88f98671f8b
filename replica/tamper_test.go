package replica_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// image copies what a world's disk and anchor hold.
func (w *world) image() *world {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := newWorld()
	*n.anchored = *w.anchored
	n.anchored.w = n
	for name, f := range w.now {
		n.put(name, slices.Clone(f.data))
	}
	return n
}

func (w *world) put(name string, data []byte) {
	w.now[name] = &simFile{data: data}
	w.durable = maps.Clone(w.now)
}

// withAnchorOf is one world's disk with another's anchor.
func (w *world) withAnchorOf(o *world) *world {
	n := w.image()
	*n.anchored = *o.anchored
	n.anchored.w = n
	return n
}

// names returns the files of one kind, in order.
func (w *world) names(prefix string) (names []string) {
	for name := range w.now {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (w *world) run(t testing.TB, f func(*replica.Replica)) {
	t.Helper()
	r, err := replica.Open(t.Context(), w.config())
	if err != nil {
		t.Fatal(err)
	}
	f(r)
	check(t, r.Close())
}

// refused opens a world that must not start, and checks that nothing was changed.
func (w *world) refused(t testing.TB) error {
	t.Helper()
	before := w.image()
	r, err := replica.Open(t.Context(), w.config())
	if err == nil {
		check(t, r.Close())
	}
	for name, f := range before.now {
		if w.now[name] == nil || !bytes.Equal(w.now[name].data, f.data) {
			t.Errorf("a refused start changed %s", name)
		}
	}
	return err
}

func wantRollback(t testing.TB, err error, anchor, disk uint64) {
	t.Helper()
	var e *replica.RollbackError
	if !errors.As(err, &e) || e.Anchor != anchor || e.Disk != disk {
		t.Errorf("got %v, want a rollback with %d counted and %d on the disk", err, anchor, disk)
	} else if !strings.Contains(err.Error(), "do not start it") {
		t.Errorf("says nothing of what to do: %v", err)
	}
}

func wantDamage(t testing.TB, err error, file string) {
	t.Helper()
	var e *replica.DamagedError
	if !errors.As(err, &e) || !strings.HasPrefix(e.File, file) {
		t.Errorf("got %v, want damage in %s", err, file)
	} else if !strings.Contains(err.Error(), "look for") {
		t.Errorf("says nothing of what to do: %v", err)
	}
}

// worked is a world with a checkpoint, and after it two log files with a few batches each.
func worked(t testing.TB) *world {
	w := newWorld()
	check(t, w.create(t))
	w.run(t, func(r *replica.Replica) {
		propose(t, r, "before the checkpoint")
		check(t, r.Checkpoint(t.Context()))
		propose(t, r, "one", "two", "three")
	})
	w.run(t, func(r *replica.Replica) { propose(t, r, "four", "five") })
	return w
}

// count is how many batches the anchor counts.
func (w *world) count() uint64 { return w.anchored.state.Counter }

// counted is the same while a replica runs.
func (w *world) counted() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count()
}

// Regression: rollback of a replica's storage.
func TestOldDiskIsRefused(t *testing.T) {
	w := worked(t)
	old := w.image()
	w.run(t, func(r *replica.Replica) { propose(t, r, "a guess") })
	err := old.withAnchorOf(w).refused(t)
	wantRollback(t, err, w.count(), old.count())

	w.run(t, func(r *replica.Replica) { check(t, r.Checkpoint(t.Context())) })
	wantRollback(t, old.withAnchorOf(w).refused(t), w.count(), 0)
}

// Regression: a destroyed record readable from an older copy. The key of the
// old epoch is nowhere any more: the old disk opens neither with the anchor as it is
// nor with one that was made to count what the disk shows.
func TestOldDiskIsUnreadableAfterCheckpoint(t *testing.T) {
	w := worked(t)
	old := w.image()
	w.run(t, func(r *replica.Replica) { check(t, r.Checkpoint(t.Context())) })
	forged := old.image()
	forged.anchored.key = w.anchored.key
	wantRollback(t, forged.refused(t), old.count(), 0)
	// With the old key it would open: the key is what makes the difference.
	forged.anchored.key = old.anchored.key
	check(t, forged.refused(t))
}

func TestOldAnchorIsRefused(t *testing.T) {
	w := worked(t)
	old := w.image()
	w.run(t, func(r *replica.Replica) { propose(t, r, "more") })
	wantRollback(t, w.withAnchorOf(old).refused(t), old.count(), w.count())
}

// One batch past the anchor is what a crash leaves, and kept. Two never are.
func TestAnchorBehind(t *testing.T) {
	w := worked(t)
	r := must(replica.Open(t.Context(), w.config()))
	images := []*world{w.image()}
	for _, e := range []string{"six", "seven"} {
		propose(t, r, e)
		images = append(images, w.image())
	}
	check(t, r.Close())
	last := images[2]
	wantRollback(t, last.withAnchorOf(images[0]).refused(t), images[0].count(), last.count())
	one := last.withAnchorOf(images[1])
	one.run(t, func(r *replica.Replica) {
		wantEntries(t, r, "before the checkpoint", "one", "two", "three", "four", "five", "six", "seven")
	})
	// The anchor was advanced: without that batch the disk is now too old.
	wantRollback(t, images[1].withAnchorOf(one).refused(t), one.count(), images[1].count())
}

// Regression: state fork. Two histories from one disk: each goes on from the same
// batch, and neither's disk passes for the other's.
func TestForkIsRefused(t *testing.T) {
	w := worked(t)
	fork := w.image()
	w.run(t, func(r *replica.Replica) { propose(t, r, "left") })
	fork.run(t, func(r *replica.Replica) { propose(t, r, "right") })
	wantRollback(t, fork.withAnchorOf(w).refused(t), w.count(), w.count())
	fork.run(t, func(r *replica.Replica) { propose(t, r, "longer") })
	if err := fork.withAnchorOf(w).refused(t); err == nil {
		t.Error("a fork was taken")
	}
}

// The batch past the anchor must follow from what the anchor counted.
func TestForkPastAnchorIsRefused(t *testing.T) {
	w := worked(t)
	fork := w.image()
	r := must(replica.Open(t.Context(), w.config()))
	start := w.image()
	propose(t, r, "left")
	check(t, r.Close())
	r = must(replica.Open(t.Context(), fork.config()))
	propose(t, r, "right")
	check(t, r.Close())
	if fork.count() != start.count()+1 {
		t.Fatalf("at %d and %d", fork.count(), start.count())
	}
	wantRollback(t, fork.withAnchorOf(start).refused(t), start.count(), fork.count())
}

// records returns where the records of a log file begin and end.
func records(data []byte) (at []int) {
	const header, recordHeader = 64, 76
	for n := header; ; {
		at = append(at, n)
		length := int(data[n])<<24 | int(data[n+1])<<16 | int(data[n+2])<<8 | int(data[n+3])
		if length == 0 {
			return at
		}
		n += recordHeader + length
	}
}

func TestLogTampered(t *testing.T) {
	w := worked(t)
	logs := w.names("log-")
	if len(logs) != 2 {
		t.Fatalf("%d log files", len(logs))
	}
	first, last := logs[0], logs[1]
	at := records(w.now[last].data)
	zero := func(data []byte, from int) { clear(data[from:]) }
	for name, tt := range map[string]struct {
		change func(w *world)
		damage string // the file; "" for a rollback
	}{
		"last file removed":  {func(w *world) { delete(w.now, last) }, ""},
		"first file removed": {func(w *world) { delete(w.now, first) }, last},
		"both removed":       {func(w *world) { delete(w.now, first); delete(w.now, last) }, ""},
		"cut after a record": {func(w *world) { zero(w.now[last].data, at[2]) }, ""},
		"cut in a record":    {func(w *world) { zero(w.now[last].data, at[2]+20) }, last},
		"shorter file":       {func(w *world) { w.now[last].data = w.now[last].data[:at[3]-1] }, last},
		"cut in the middle":  {func(w *world) { zero(w.now[first].data, at[1]) }, first},
		"record edited":      {func(w *world) { w.now[last].data[at[1]+100] ^= 1 }, last},
		"records swapped": {func(w *world) {
			d := w.now[last].data
			swapped := append(slices.Clone(d[at[1]:at[2]]), d[at[0]:at[1]]...)
			copy(d[at[0]:], swapped)
		}, last},
		"record twice": {func(w *world) {
			d := w.now[last].data
			tail := slices.Clone(d[at[1] : len(d)-(at[2]-at[1])])
			copy(d[at[2]:], tail)
		}, last},
		"files swapped":    {func(w *world) { w.now[first], w.now[last] = w.now[last], w.now[first] }, "log-"},
		"file renamed":     {func(w *world) { w.now["log-00000000000000009999"] = w.now[last]; delete(w.now, last) }, "log-"},
		"checkpoint gone":  {func(w *world) { delete(w.now, w.names("checkpoint-")[0]) }, "checkpoint-"},
		"file far too big": {func(w *world) { w.now[last].data = make([]byte, 33<<20) }, last},
	} {
		t.Run(name, func(t *testing.T) {
			bad := w.image()
			tt.change(bad)
			err := bad.refused(t)
			if tt.damage != "" {
				wantDamage(t, err, tt.damage)
				return
			}
			var e *replica.RollbackError
			if !errors.As(err, &e) || e.Anchor != w.count() || e.Disk >= w.count() {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A torn batch that nobody was told of is no damage; it is left behind.
func TestTornTail(t *testing.T) {
	w := worked(t)
	last := w.names("log-")[1]
	at := records(w.now[last].data)
	end := at[len(at)-1]
	for _, torn := range []string{"x", strings.Repeat("torn", 100), "\x00\x00\x00\x50" + strings.Repeat("\x00", 600) + "x"} {
		again := w.image()
		copy(again.now[last].data[end:], torn)
		for range 2 {
			again.run(t, func(r *replica.Replica) { propose(t, r, "more") })
		}
	}
}

// Every byte of every file: changed, the start is refused, or nothing is lost: in the space
// after the last record a change is half a batch that nobody was told of.
func TestMangle(t *testing.T) {
	w := worked(t)
	for _, name := range slices.Concat(w.names("log-"), w.names("checkpoint-")) {
		data := w.now[name].data
		end := len(data)
		if strings.HasPrefix(name, "log-") {
			at := records(data)
			end = at[len(at)-1]
		}
		bad := w.image()
		bad.put(name, slices.Clone(data))
		for i := range end {
			bad.now[name].data[i] ^= 1 + byte(i%255)
			if _, err := replica.Open(t.Context(), bad.config()); err == nil {
				t.Fatalf("%s was taken with byte %d changed", name, i)
			}
			bad.now[name].data[i] = data[i]
		}
		for n := range end {
			bad.now[name].data = data[:n]
			if _, err := replica.Open(t.Context(), bad.config()); err == nil {
				t.Fatalf("%s was taken with %d bytes", name, n)
			}
		}
		bad.now[name].data = slices.Clone(data)
		check(t, bad.refusedNever(t))
	}
}

// refusedNever shows that the mangled world would start when nothing were wrong.
func (w *world) refusedNever(t testing.TB) error {
	r, err := replica.Open(t.Context(), w.image().config())
	if err != nil {
		return err
	}
	return r.Close()
}

// A checkpoint's chunks: lost at the end, repeated, in another order, of another checkpoint.
func TestCheckpointTampered(t *testing.T) {
	w := newWorld()
	check(t, w.create(t))
	var other *world
	w.run(t, func(r *replica.Replica) {
		for i := range 20 {
			propose(t, r, strings.Repeat(string(rune('a'+i)), 50_000))
		}
		check(t, r.Checkpoint(t.Context()))
		other = w.image()
		check(t, r.Checkpoint(t.Context()))
	})
	const header, chunk = 56, 256<<10 + 16
	name := w.names("checkpoint-")[0]
	data := w.now[name].data
	part := func(i int) []byte { return data[header+i*chunk : min(header+(i+1)*chunk, len(data))] }
	if len(data) < header+3*chunk {
		t.Fatalf("%d bytes are too few", len(data))
	}
	foreign := other.now[other.names("checkpoint-")[0]].data
	for what, bad := range map[string][]byte{
		"last chunk lost":        data[:header+3*chunk],
		"all but one lost":       data[:header+chunk],
		"only the header":        data[:header],
		"half a header":          data[:header/2],
		"nothing":                {},
		"two swapped":            slices.Concat(data[:header], part(1), part(0), part(2), part(3)),
		"one twice":              slices.Concat(data[:header], part(0), part(0), part(1), part(2), part(3)),
		"one lost in the middle": slices.Concat(data[:header], part(0), part(2), part(3)),
		"bytes after the end":    slices.Concat(data, []byte{0}),
		"a chunk of another one": slices.Concat(data[:header], foreign[header:header+chunk], part(1), part(2), part(3)),
		"another one's salt":     slices.Concat(data[:24], foreign[24:header], data[header:]),
		"another one's body":     slices.Concat(data[:header], foreign[header:]),
	} {
		again := w.image()
		again.put(name, bad)
		t.Run(what, func(t *testing.T) { wantDamage(t, again.refused(t), name) })
	}
	replaced := w.image()
	replaced.put(name, foreign)
	wantRollback(t, replaced.refused(t), w.count(), 0)
	renamed := w.image()
	renamed.put("checkpoint-00000000000000000003", data)
	delete(renamed.now, name)
	wantDamage(t, renamed.refused(t), "checkpoint-")
}

// Files of another version are neither damage nor rollback.
func TestNewerVersion(t *testing.T) {
	w := worked(t)
	for _, kind := range []string{"log-", "checkpoint-"} {
		newer := w.image()
		newer.now[newer.names(kind)[0]].data[7]++
		if err := newer.refused(t); !errors.Is(err, replica.ErrNewer) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// What a crashed checkpoint, or one of an earlier epoch, left behind is removed.
func TestLeftoversAreRemoved(t *testing.T) {
	w := worked(t)
	before := w.image()
	w.run(t, func(r *replica.Replica) {
		check(t, r.Checkpoint(t.Context()))
		propose(t, r, "six")
	})
	for name, f := range before.now {
		w.put(name, f.data)
	}
	unfinished := must(replicaOf(t)).now
	w.put("checkpoint-00000000000000009999", unfinished["checkpoint-00000000000000000001"].data)
	w.run(t, func(r *replica.Replica) {
		if n := len(entriesOf(t, r)); n != 8 {
			t.Errorf("%d entries", n)
		}
	})
	for name := range w.now {
		if before.now[name] != nil || strings.HasSuffix(name, "9999") {
			t.Errorf("%s is still there", name)
		}
	}
}

func replicaOf(t testing.TB) (*world, error) {
	w := newWorld()
	return w, w.create(t)
}

// The software anchor is a folder: put back together with the disk, both are believed, and
// every guess is given again. This is what "insecure" means; no promise is made
// (spec/replication.md §3.1).
func TestSoftwareAnchorPutBackWithTheDiskIsNotDetected(t *testing.T) {
	p := created(t)
	p.run(t, func(r *replica.Replica) { propose(t, r, "one") })
	old := t.TempDir()
	check(t, os.CopyFS(old, os.DirFS(filepath.Dir(p.disk))))
	p.run(t, func(r *replica.Replica) { propose(t, r, "a guess") })
	both := place{filepath.Join(old, "disk"), filepath.Join(old, "anchor")}
	both.run(t, func(r *replica.Replica) { wantEntries(t, r, "one") })

	// The disk alone is.
	p.run(t, func(r *replica.Replica) { propose(t, r, "another") })
	err := place{both.disk, p.anchor}.try(t, func(*replica.Replica) {})
	var rollback *replica.RollbackError
	if !errors.As(err, &rollback) {
		t.Errorf("the old disk with the present anchor: %v", err)
	}
}
