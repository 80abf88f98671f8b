package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"keepsake.example/anchor/software"
	"keepsake.example/fleet"
	"keepsake.example/replica"
	"keepsake.example/vaultd"
)

// inFlight is how many requests are worked at a time, in the recoveries and in
// the commits alike: so many share a sync.
const inFlight = 64

// cpuTime is the processor time of this process, user and system, all threads.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// primitive is one part of a recovery, and how many of it there are in one.
type primitive struct {
	name  string
	count int
	each  []time.Duration // one a round
}

// cpuResult is part (a).
type cpuResult struct {
	recovery   []time.Duration // one a round
	primitives []*primitive
	recoveries int // a round
}

// sum is that of the primitives of one recovery, in one round.
func (r *cpuResult) sum(round int) (s time.Duration) {
	for _, p := range r.primitives {
		s += time.Duration(p.count) * p.each[round]
	}
	return s
}

// testVault is a vault in this process, without HTTP.
type testVault struct {
	server *vaultd.Server
	anchor *software.Anchor
	issuer *issuer
	key    fleetKey
}

func policy() fleet.Policy {
	p := fleet.DefaultPolicy()
	p.Insecure = true // the software anchor
	return p
}

func newTestVault(ctx context.Context, dir string) (*testVault, error) {
	a, err := software.Open(filepath.Join(dir, "anchor"))
	if err != nil {
		return nil, err
	}
	v := &testVault{anchor: a}
	id, signed, err := vaultd.Found(ctx, vaultd.Founding{Dir: filepath.Join(dir, "state"), Anchor: a, Policy: policy()})
	if err != nil {
		return nil, err
	}
	if v.key, err = keyOf(signed, id[:]); err != nil {
		return nil, err
	}
	if v.issuer, err = newIssuer(); err != nil {
		return nil, err
	}
	tokens, err := v.issuer.verifier()
	if err != nil {
		return nil, err
	}
	limits := vaultd.DefaultLimits()
	limits.Quantum = 0 // waiting costs no processor time
	v.server, err = vaultd.New(ctx, vaultd.Config{Dir: filepath.Join(dir, "state"), Anchor: a, Tokens: tokens, Limits: limits, AcceptInsecureAnchor: true})
	return v, err
}

func (v *testVault) close() error { return errors.Join(v.server.Close(), v.anchor.Close()) }

// measureCPU compares whole recoveries with their primitives, round by round.
func measureCPU(ctx context.Context, dir string, rounds, recoveries int) (*cpuResult, error) {
	v, err := newTestVault(ctx, filepath.Join(dir, "vault"))
	if err != nil {
		return nil, err
	}
	defer v.close()
	people := make([]*person, inFlight)
	for i := range people {
		if people[i], err = newPerson(v.key, v.issuer, i); err != nil {
			return nil, err
		}
		if err := v.register(ctx, people[i]); err != nil {
			return nil, err
		}
	}
	r := &cpuResult{recoveries: recoveries}
	for range rounds {
		each, err := v.recoveries(ctx, people, recoveries/inFlight)
		if err != nil {
			return nil, err
		}
		r.recovery = append(r.recovery, each)
		if err := r.measurePrimitives(ctx, dir, v, people[0], recoveries/2); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (v *testVault) register(ctx context.Context, p *person) error {
	requests, err := p.registration()
	if err != nil {
		return err
	}
	for _, q := range requests {
		answer, err := v.server.Answer(ctx, q.bytes)
		if err != nil {
			return err
		}
		if err := q.check(answer); err != nil {
			return err
		}
	}
	return nil
}

// recoveries makes so many of each person, all persons at once, and returns the
// processor time of one. Requests are made before and answers checked after.
func (v *testVault) recoveries(ctx context.Context, people []*person, each int) (time.Duration, error) {
	asked, answers := make([][]request, len(people)), make([][][]byte, len(people))
	for i, p := range people {
		for range each {
			r, err := p.recovery()
			if err != nil {
				return 0, err
			}
			asked[i] = append(asked[i], r...)
		}
	}
	before := cpuTime()
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			for _, q := range asked[i] {
				a, err := v.server.Answer(ctx, q.bytes)
				if err != nil {
					return // found missing below
				}
				answers[i] = append(answers[i], a)
			}
		})
	}
	all.Wait()
	spent := cpuTime() - before
	for i := range asked {
		if len(answers[i]) != len(asked[i]) {
			return 0, fmt.Errorf("%d of %d requests were answered", len(answers[i]), len(asked[i]))
		}
		for n, q := range asked[i] {
			if err := q.check(answers[i][n]); err != nil {
				return 0, err
			}
		}
	}
	return spent / time.Duration(len(people)*each), nil
}

// add records one measurement of a primitive.
func (r *cpuResult) add(name string, count int, each time.Duration) {
	for _, p := range r.primitives {
		if p.name == name {
			p.each = append(p.each, each)
			return
		}
	}
	r.primitives = append(r.primitives, &primitive{name, count, []time.Duration{each}})
}

// loop is the processor time of one call, made on all processors at once as the
// recoveries are: two threads of one core slow each other down.
func loop(n int, f func(i int) error) (time.Duration, error) {
	return together(runtime.GOMAXPROCS(0), n, f)
}

// together is the processor time of one of n calls that so many callers make at once,
// as many calls each.
func together(callers, n int, f func(i int) error) (time.Duration, error) {
	failed := make(chan error, callers)
	before := cpuTime()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range n / callers {
				if err := f(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	all.Wait()
	spent := cpuTime() - before
	select {
	case err := <-failed:
		return 0, err
	default:
		return spent / time.Duration(n/callers*callers), nil
	}
}

func (r *cpuResult) measurePrimitives(ctx context.Context, dir string, v *testVault, p *person, n int) error {
	m, err := newMaterial(v, p)
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name  string
		count int
		f     func(int) error
	}{
		{"HPKE open, MLKEM768-X25519", 2, m.open},
		{"seal of an answer", 2, m.seal},
		{"token verified (EdDSA)", 2, m.verify},
		{"binding checked (Ed25519)", 2, m.binding},
		{"evaluation with proof, from and to bytes", 1, m.evaluate},
		{"unlock signature checked (Ed25519)", 1, m.unlock},
	} {
		each, err := loop(n, x.f)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		r.add(x.name, x.count, each)
	}
	each, err := commits(ctx, filepath.Join(dir, fmt.Sprintf("commits-%d", len(r.recovery))), n, m.entry)
	if err != nil {
		return fmt.Errorf("commits: %w", err)
	}
	r.add(fmt.Sprintf("commit, durable and anchored, %d at a time", inFlight), 2, each)
	return nil
}

// nothing is a machine that does nothing, so that a commit is all there is.
type nothing struct{}

func (nothing) Apply([]byte, bool) (any, error) { return nil, nil }
func (nothing) Change([]byte) (any, error)      { return nil, nil }
func (nothing) Members() []replica.Member       { return []replica.Member{{Number: 1}} }
func (nothing) Checkpoint() replica.Checkpoint  { return nothing{} }
func (nothing) Restore(r io.Reader) error       { _, err := io.Copy(io.Discard, r); return err }
func (nothing) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write([]byte{0})
	return int64(n), err
}
func (nothing) Release() {}

// commits is the processor time of one commit of an entry.
func commits(ctx context.Context, dir string, n int, entry []byte) (time.Duration, error) {
	a, err := software.Open(filepath.Join(dir, "anchor"))
	if err != nil {
		return 0, err
	}
	defer a.Close()
	c := replica.Config{Dir: filepath.Join(dir, "state"), Anchor: a, NewMachine: func() replica.Machine { return nothing{} }}
	if err := replica.Create(ctx, c, 1, [][]byte{entry}); err != nil {
		return 0, err
	}
	r, err := replica.Open(ctx, c)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	each, err := together(inFlight, n, func(int) error {
		_, err := r.Propose(ctx, entry)
		return err
	})
	if err != nil {
		return 0, err
	}
	return each, os.RemoveAll(dir)
}
