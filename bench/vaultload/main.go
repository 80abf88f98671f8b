// Command vaultload measures the vault and writes what it found as Markdown:
// (a) the processor time of a whole recovery beside that of its primitives,
// (b) recoveries a second and their times against a vaultd of its own, over HTTPS
// on loopback, every attempt durable, (c) memory and start-up of many accounts.
// bench/vault prepares everything and calls it.
//
//	vaultload -work DIR -vaultd BIN -out FILE [-quick]
//
// With -fleet it measures five replicas instead, for bench/fleet: what they cost beside one, how
// long an answer takes with data centers apart, how long an election and how long catching up.
// With -anchor it compares what machines count on, for bench/anchor.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	work := flag.String("work", "", "folder for the vaults, emptied first")
	bin := flag.String("vaultd", "", "the vaultd to measure")
	out := flag.String("out", "", "Markdown file to write")
	quick := flag.Bool("quick", false, "small numbers, to see that it works")
	five := flag.Bool("fleet", false, "measure a fleet of five")
	anchors := flag.Bool("anchor", false, "compare the anchors")
	flag.Parse()
	run := run
	if *anchors {
		run = runAnchor
	}
	if *five {
		run = runFleet
	}
	if err := run(context.Background(), *work, *bin, *out, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "vaultload: error:", err)
		os.Exit(1)
	}
}

// scale is how much is measured.
type scale struct {
	rounds, recoveries int // (a), a round
	people             int // (b)
	seconds            int
	clients            []int
	accounts           []int // (c)
}

func scaleOf(quick bool) scale {
	if quick {
		return scale{rounds: 2, recoveries: 640, people: 1000, seconds: 2, clients: []int{64}, accounts: []int{100_000}}
	}
	return scale{rounds: 5, recoveries: 6400, people: 5000, seconds: 15, clients: []int{64, 128, 256}, accounts: []int{1_000_000, 10_000_000}}
}

func run(ctx context.Context, work, bin, out string, quick bool) error {
	if work == "" || bin == "" || out == "" {
		return errors.New("-work, -vaultd and -out are needed")
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	s := scaleOf(quick)
	var t report
	var err error
	progress("(a) processor time of a recovery")
	if t.cpu, err = measureCPU(ctx, filepath.Join(work, "cpu"), s.rounds, s.recoveries); err != nil {
		return fmt.Errorf("measuring processor time: %w", err)
	}
	progress("(b) load")
	if t.load, err = measureLoad(filepath.Join(work, "load"), bin, s); err != nil {
		return fmt.Errorf("measuring under load: %w", err)
	}
	progress("(c) memory and start-up")
	if t.memory, err = measureMemory(filepath.Join(work, "memory"), bin, s.accounts); err != nil {
		return fmt.Errorf("measuring memory: %w", err)
	}
	var text bytes.Buffer
	t.write(&text, describe(work), s, quick)
	os.Stdout.Write(text.Bytes())
	return os.WriteFile(out, text.Bytes(), 0o644)
}

func progress(text string) { fmt.Fprintln(os.Stderr, "vaultload:", text) }

// measureLoad runs part (b): as fast as it goes with ever more clients, then at
// the target and at half of what went.
func measureLoad(dir, bin string, s scale) (*load, error) {
	i, err := newIssuer()
	if err != nil {
		return nil, err
	}
	p, err := foundProcess(bin, dir, i)
	if err != nil {
		return nil, err
	}
	if err := p.serve(bin); err != nil {
		return nil, err
	}
	l := &load{people: s.people}
	people, err := newPeople(p.key, i, s.people)
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if err := alone(p).register(people); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if err := l.runs(p, people, s); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	l.peak = p.memory("VmHWM:")
	return l, p.stop()
}

// load is part (b).
type load struct {
	people int
	peak   int // MiB, of vaultd
	runs_  []*loadResult
}

const targetRate = 1000 // recoveries a second

func (l *load) runs(p *process, people []*person, s scale) error {
	guess := 800.0 // recoveries a second, for how many to make
	best := 0.0
	for _, clients := range s.clients {
		r, err := l.one(p, people, fmt.Sprintf("as fast as it goes, %d clients", clients), int(guess)*s.seconds, clients, 0)
		if err != nil {
			return err
		}
		best = max(best, r.rate())
	}
	for _, at := range []struct {
		name string
		rate float64
	}{{"half of the fastest", best / 2}, {"half of the target", targetRate / 2}} {
		if _, err := l.one(p, people, at.name, int(at.rate)*s.seconds, 512, at.rate); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) one(p *process, people []*person, name string, n, clients int, rate float64) (*loadResult, error) {
	jobs, err := prepare(people, n)
	if err != nil {
		return nil, err
	}
	r, err := alone(p).run(name, jobs, clients, rate)
	if err == nil {
		l.runs_ = append(l.runs_, r)
		progress(fmt.Sprintf("%s: %.0f/s", name, r.rate()))
	}
	return r, err
}
