package sim_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/cryptotest"

	"keepsake.example/internal/sim"
)

var (
	seeds = flag.Int("seeds", 250, "how many seeds TestSeeds runs")
	first = flag.Uint64("first", 1, "the first of them")
	jobs  = flag.Int("jobs", 1, "in how many processes")
	trace = flag.String("trace", "", "file for the trace of a seed that fails")
)

// options are those of one seed in this test.
func options(t *testing.T, seed uint64) sim.Options {
	return sim.Options{Seed: seed, Reseed: func(s uint64) { cryptotest.SetGlobalRandom(t, s) }}
}

// TestSeeds runs seeds, each a fleet of its own with faults of its own. `make sim`
// runs any number of them; a signal ends it between two seeds, and it says how to go on.
func TestSeeds(t *testing.T) {
	if os.Getenv(childEnv) != "" {
		serve(t)
		return
	}
	stop, done := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer done()
	w := newWork(*first, uint64(*seeds))
	context.AfterFunc(stop, w.stop)
	if *jobs > 1 {
		inProcesses(t, w)
	} else {
		for b, ok := w.take(); ok; b, ok = w.take() {
			if !runBlock(t, b, w.progress) {
				w.stop()
				break
			}
			w.finish(b)
		}
	}
	w.end()
}

// runBlock runs some seeds, and tells after each how many passed; false at a failure.
func runBlock(t *testing.T, b block, tell func(done, undecided uint64)) bool {
	for seed := b.first; seed < b.first+b.count; seed++ {
		r := sim.Run(options(t, seed))
		if r.Failure != nil {
			report(t, seed, r)
			return false
		}
		tell(1, uint64(r.Undecided))
	}
	return true
}

// report says which seed failed, how to replay it, and keeps its trace.
func report(t *testing.T, seed uint64, r sim.Result) {
	name := *trace
	if name == "" {
		name = filepath.Join(os.TempDir(), fmt.Sprintf("sim-%d.trace", seed))
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	defer w.Flush()
	o := options(t, seed)
	o.Trace = w
	if again := sim.Run(o); again.Digest != r.Digest {
		t.Errorf("seed %d does not replay exactly", seed)
	}
	t.Errorf("seed %d: %v\nreplay: make sim SEEDS=1 FIRST=%d\ntrace: %s", seed, r.Failure, seed, name)
}

// The same seed gives the same run, byte for byte: what replays a failure. Maps are
// gone through in another order each time, so two runs in one process show it.
func TestReplaysExactly(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		a := sim.Run(options(t, seed))
		sim.Forget()
		o := options(t, seed)
		var text strings.Builder
		o.Trace = &text // reading along changes nothing
		b := sim.Run(o)
		if a.Digest != b.Digest || a.Entries != b.Entries {
			t.Fatalf("seed %d: digests %x and %x, %d and %d entries", seed, a.Digest, b.Digest, a.Entries, b.Entries)
		}
		if a.Answers == 0 || a.Starts == 0 || text.Len() == 0 {
			t.Errorf("seed %d: nothing happened", seed)
		}
	}
	if a, b := sim.Run(options(t, 1)), sim.Run(options(t, 2)); a.Digest == b.Digest {
		t.Error("two seeds gave one run")
	}
}
