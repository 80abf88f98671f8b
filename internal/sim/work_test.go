package sim_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/term"
)

// block is seeds that one process runs one after the other: few, so that a stop comes soon.
type block struct{ first, count uint64 }

const blockSeeds = 20

// work gives out seeds, and tells people how it goes: a terminal every second, a log every minute.
// For concurrent use.
type work struct {
	mu              sync.Mutex
	first, next     uint64          // the first seed of all; the next to give out
	over            uint64          // the seed after the last
	open            map[uint64]bool // first seeds of blocks that are under way
	stopped         bool
	done, undecided uint64
	began, told     time.Time
	terminal        bool
}

func newWork(first, count uint64) *work {
	now := time.Now()
	return &work{first: first, next: first, over: first + count, open: map[uint64]bool{}, began: now, told: now, terminal: term.IsTerminal(int(os.Stderr.Fd()))}
}

// take gives out a block; false when there is none, or the work is stopped.
func (w *work) take() (block, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped || w.next == w.over {
		return block{}, false
	}
	b := block{w.next, min(blockSeeds, w.over-w.next)}
	w.next += b.count
	w.open[b.first] = true
	return b, true
}

// finish is told that a whole block passed.
func (w *work) finish(b block) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.open, b.first)
}

// stop lets nothing more be given out.
func (w *work) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// reached is the first seed that is not known to have passed, as all before it are.
func (w *work) reached() uint64 {
	least := w.next
	for first := range w.open {
		least = min(least, first)
	}
	return least
}

// progress counts seeds that passed.
func (w *work) progress(done, undecided uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done, w.undecided = w.done+done, w.undecided+undecided
	pause, form := time.Minute, "%s\n"
	if w.terminal {
		pause, form = time.Second, "\r%s   "
	}
	if time.Since(w.told) < pause {
		return
	}
	w.told = time.Now()
	rate := float64(w.done) / time.Since(w.began).Seconds()
	left := time.Duration(float64(w.over-w.first-w.done) / rate * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(os.Stderr, form, fmt.Sprintf("%s %d of %d seeds passed, all below %d; %.1f/s, %v left", w.told.Format(time.DateTime), w.done, w.over-w.first, w.reached(), rate, left))
}

// end says what came of it, and how to go on.
func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.terminal {
		fmt.Fprintln(os.Stderr)
	}
	took := time.Since(w.began)
	fmt.Printf("%d seeds in %v, %.1f/s; %d histories that porcupine had no time for\n", w.done, took.Round(time.Millisecond), float64(w.done)/took.Seconds(), w.undecided)
	if next := w.reached(); next < w.over {
		fmt.Printf("stopped: the %d seeds from %d to %d passed; go on with SEEDS=%d FIRST=%d\n", next-w.first, w.first, next-1, w.over-next, next)
	}
}

// The randomness of package crypto is one for a process, so each job is a process of its own,
// which is told its blocks on its standard input.
const childEnv = "SIM_CHILD"

// inProcesses shares the work between processes. The first failure stops all of them.
func inProcesses(t *testing.T, w *work) {
	failed := make(chan string, *jobs)
	for range *jobs {
		c := exec.Command(os.Args[0], "-test.run=^TestSeeds$", "-test.timeout=0", "-trace="+*trace)
		c.Env = append(os.Environ(), childEnv+"=1", "GOMAXPROCS=1") // it is one thread: the other processors are others'
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Stderr = os.Stderr // a panic
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			text := w.employ(in, out)
			if err := c.Wait(); err == nil {
				text = ""
			} else {
				w.stop()
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

// employ gives a process its blocks, and returns what else it said.
func (w *work) employ(in io.WriteCloser, out io.Reader) string {
	var rest strings.Builder
	var b block
	give := func() {
		var ok bool
		if b, ok = w.take(); !ok {
			in.Close()
			return
		}
		fmt.Fprintln(in, b.first, b.count) // to a process that is gone: its end is seen on out
	}
	give()
	for s := bufio.NewScanner(out); s.Scan(); {
		var done, undecided uint64
		if n, _ := fmt.Sscanf(s.Text(), "passed %d %d", &done, &undecided); n != 2 {
			fmt.Fprintln(&rest, s.Text())
			continue
		}
		w.progress(done, undecided)
		w.finish(b)
		give()
	}
	return rest.String()
}

// serve is the other side of employ. A signal is for the parent, who lets the block be finished.
func serve(t *testing.T) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		var b block
		if _, err := fmt.Sscan(s.Text(), &b.first, &b.count); err != nil {
			t.Fatal(err)
		}
		var done, undecided uint64
		if !runBlock(t, b, func(n, m uint64) { done, undecided = done+n, undecided+m }) {
			return
		}
		fmt.Printf("passed %d %d\n", done, undecided)
	}
}

// Work that is stopped goes on where it was: nothing is left out, and no seed that may have failed
// counts as passed.
func TestWorkGoesOn(t *testing.T) {
	w := newWork(7, 3*blockSeeds+5)
	a, _ := w.take()
	b, _ := w.take()
	w.finish(b)
	if got := w.reached(); got != 7 {
		t.Errorf("a block from 7 is under way: all below %d passed", got)
	}
	w.stop()
	if c, ok := w.take(); ok {
		t.Errorf("stopped work gives out %v", c)
	}
	w.finish(a)
	if got := w.reached(); got != 7+2*blockSeeds {
		t.Errorf("all below %d passed, want %d", got, 7+2*blockSeeds)
	}
	w = newWork(w.reached(), w.over-w.reached())
	total := uint64(0)
	for c, ok := w.take(); ok; c, ok = w.take() {
		total += c.count
	}
	if total != blockSeeds+5 {
		t.Errorf("%d seeds were left, want %d", total, blockSeeds+5)
	}
}
