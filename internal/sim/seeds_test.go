package sim_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"time"

	"golang.org/x/term"

	"keepsake.example/internal/sim"
)

var (
	seeds  = flag.Int("seeds", 250, "how many seeds TestSeeds runs")
	first  = flag.Uint64("first", 1, "the first of them")
	stride = flag.Uint64("stride", 1, "from one seed to the next")
	jobs   = flag.Int("jobs", 1, "in how many processes")
	trace  = flag.String("trace", "", "file for the trace of a seed that fails")
)

// options are those of one seed in this test.
func options(t *testing.T, seed uint64) sim.Options {
	return sim.Options{Seed: seed, Reseed: func(s uint64) { cryptotest.SetGlobalRandom(t, s) }}
}

// TestSeeds runs seeds, each a fleet of its own with faults of its own. `make sim`
// runs any number of them.
func TestSeeds(t *testing.T) {
	if *jobs > 1 {
		inProcesses(t)
		return
	}
	p := newProgress(uint64(*seeds))
	for i := range uint64(*seeds) {
		seed := *first + i**stride
		r := sim.Run(options(t, seed))
		if r.Failure != nil {
			p.end()
			report(t, seed, r)
			return
		}
		p.add(1, uint64(r.Undecided))
	}
	p.end()
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

// inProcesses shares the seeds between processes: the randomness of package crypto
// is one for a process.
func inProcesses(t *testing.T) {
	p := newProgress(uint64(*seeds))
	defer p.end()
	failed := make(chan string, *jobs)
	for i := range *jobs {
		n := (*seeds - i + *jobs - 1) / *jobs
		c := exec.Command(os.Args[0], "-test.run=^TestSeeds$", "-test.timeout=0", "-seeds="+strconv.Itoa(n),
			"-first="+strconv.FormatUint(*first+uint64(i)**stride, 10), "-stride="+strconv.FormatUint(uint64(*jobs)**stride, 10), "-trace="+*trace)
		c.Env = append(os.Environ(), "SIM_CHILD=1")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			text := p.follow(out)
			if err := c.Wait(); err == nil {
				text = ""
			}
			failed <- text
		}()
	}
	for range *jobs {
		if text := <-failed; text != "" {
			t.Error(text)
		}
	}
}

// progress counts seeds, and tells a terminal how it goes.
type progress struct {
	total           uint64
	done, undecided atomic.Uint64
	began           time.Time
	last            time.Time
	terminal, child bool
}

func newProgress(total uint64) *progress {
	return &progress{total: total, began: time.Now(), terminal: term.IsTerminal(int(os.Stderr.Fd())), child: os.Getenv("SIM_CHILD") != ""}
}

func (p *progress) add(n, undecided uint64) {
	done := p.done.Add(n)
	p.undecided.Add(undecided)
	if time.Since(p.last) < time.Second {
		return
	}
	p.last = time.Now()
	switch {
	case p.child:
		fmt.Printf("progress %d %d\n", done, p.undecided.Load())
	case p.terminal:
		rate := float64(done) / time.Since(p.began).Seconds()
		left := time.Duration(float64(p.total-done) / rate * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(os.Stderr, "\r%d of %d seeds, %.1f/s, %v left   ", done, p.total, rate, left)
	}
}

func (p *progress) end() {
	done, took := p.done.Load(), time.Since(p.began)
	switch {
	case p.child:
		fmt.Printf("progress %d %d\n", done, p.undecided.Load())
	default:
		if p.terminal {
			fmt.Fprintln(os.Stderr)
		}
		fmt.Printf("%d seeds in %v, %.1f/s; %d histories that porcupine had no time for\n", done, took.Round(time.Millisecond), float64(done)/took.Seconds(), p.undecided.Load())
	}
}

// follow adds what a child process tells, and returns the rest of what it said.
func (p *progress) follow(r interface{ Read([]byte) (int, error) }) string {
	var rest strings.Builder
	var seen, undecided uint64
	for s := bufio.NewScanner(r); s.Scan(); {
		var a, b uint64
		if n, _ := fmt.Sscanf(s.Text(), "progress %d %d", &a, &b); n != 2 {
			fmt.Fprintln(&rest, s.Text())
			continue
		}
		p.add(a-seen, b-undecided)
		seen, undecided = a, b
	}
	return rest.String()
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
		if a.Answers == 0 || text.Len() == 0 {
			t.Errorf("seed %d: nothing happened", seed)
		}
	}
	if a, b := sim.Run(options(t, 1)), sim.Run(options(t, 2)); a.Digest == b.Digest {
		t.Error("two seeds gave one run")
	}
}
