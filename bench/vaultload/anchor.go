package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/anchor/ledger"
)

// anchorScale is how much of the adapters is measured.
type anchorScale struct {
	rounds, steps, turns, evaluations int // alone
	groups, each                      int // at once
	fleet                             fleetScale
	sizes                             []int // of fleets
}

func anchorScaleOf(quick bool) anchorScale {
	if quick {
		return anchorScale{2, 50, 5, 50, 16, 10, fleetScale{people: 200, recoveries: 600, seconds: 2, clients: 32}, []int{1}}
	}
	return anchorScale{5, 300, 20, 200, 64, 30, fleetScale{people: 1000, recoveries: 2400, seconds: 8, clients: 64}, []int{1, 5}}
}

// anchorResult is what was found of the adapters.
type anchorResult struct {
	scale anchorScale
	alone map[string][]*aloneResult // by adapter, one a round
	loads map[string][]*nearResult
}

// aloneResult is one device with nothing else to do, in one round.
type aloneResult struct {
	step, turn time.Duration // p50 of a group's step through the ledger
	late       time.Duration // p99
	evaluate   time.Duration // p50 of one evaluation after another
	together   float64       // evaluations a second, eight at a time
	groups     float64       // groups' steps a second, all at once
	shared     float64       // groups' steps to one of the device
}

func runAnchor(ctx context.Context, work, bin, out string, quick bool) error {
	if work == "" || bin == "" || out == "" {
		return errors.New("-work, -vaultd and -out are needed")
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	r := &anchorResult{anchorScaleOf(quick), map[string][]*aloneResult{}, map[string][]*nearResult{}}
	if err := r.measureAlone(ctx, filepath.Join(work, "alone")); err != nil {
		return fmt.Errorf("measuring devices alone: %w", err)
	}
	if err := r.measureLoads(ctx, filepath.Join(work, "load"), bin); err != nil {
		return fmt.Errorf("measuring fleets: %w", err)
	}
	var text bytes.Buffer
	r.write(&text, describe(work), quick)
	os.Stdout.Write(text.Bytes())
	return os.WriteFile(out, text.Bytes(), 0o644)
}

// measureAlone takes the adapters in turn, round by round, so that all meet the same noise.
func (r *anchorResult) measureAlone(ctx context.Context, dir string) (err error) {
	rig, err := newRig(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.stop()) }()
	for round := range r.scale.rounds {
		for _, adapter := range adapters {
			one, err := r.aloneRun(ctx, rig, adapter, fmt.Sprintf("%s-%d", adapter, round))
			if err != nil {
				return fmt.Errorf("%s: %w", adapter, err)
			}
			r.alone[adapter] = append(r.alone[adapter], one)
			progress(fmt.Sprintf("%s: a step %s ms, an evaluation %s ms", adapter, ms(one.step), ms(one.evaluate)))
		}
	}
	return nil
}

// counting counts the steps of a device.
type counting struct {
	anchor.Device
	steps atomic.Int64
}

func (c *counting) Advance(ctx context.Context, s anchor.State) error {
	c.steps.Add(1)
	return c.Device.Advance(ctx, s)
}

func (r *anchorResult) aloneRun(ctx context.Context, rig *rig, adapter, name string) (one *aloneResult, err error) {
	d, err := rig.device(ctx, adapter, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	c := &counting{Device: d}
	l, err := ledger.Open(ctx, c, filepath.Join(rig.dir, name+"-ledger"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	one = &aloneResult{}
	return one, errors.Join(r.steps(ctx, l, one), r.atOnce(ctx, l, c, one), r.evaluations(ctx, rig, adapter, d, one))
}

// steps has one group step and turn.
func (r *anchorResult) steps(ctx context.Context, l *ledger.Ledger, one *aloneResult) error {
	g := l.Group(0)
	defer g.Close()
	count := uint64(1)
	if err := found(ctx, g); err != nil {
		return err
	}
	steps, err := timed(r.scale.steps, func() error {
		count++
		return g.Advance(ctx, anchor.State{Counter: count})
	})
	if err != nil {
		return err
	}
	turns, err := timed(r.scale.turns, func() error {
		key, err := anchor.NewKey(nil)
		if err != nil {
			return err
		}
		count++
		return g.Rotate(ctx, anchor.State{Counter: count}, key)
	})
	one.step, one.late, one.turn = percentile(steps, .5), percentile(steps, .99), percentile(turns, .5)
	return err
}

func found(ctx context.Context, g anchor.Anchor) error {
	key, err := anchor.NewKey(nil)
	if err != nil {
		return err
	}
	return g.Found(ctx, anchor.State{Counter: 1}, key)
}

// timed calls f so often, and returns how long each took, the shortest first.
func timed(n int, f func() error) (each []time.Duration, err error) {
	for range n {
		began := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		each = append(each, time.Since(began))
	}
	slices.Sort(each)
	return each, nil
}

// atOnce has many groups step at a time, as those of a machine do.
func (r *anchorResult) atOnce(ctx context.Context, l *ledger.Ledger, c *counting, one *aloneResult) error {
	groups := make([]anchor.Anchor, r.scale.groups)
	for i := range groups {
		groups[i] = l.Group(uint32(i + 1))
		defer groups[i].Close()
		if err := found(ctx, groups[i]); err != nil {
			return err
		}
	}
	before, began := c.steps.Load(), time.Now()
	errs := make([]error, len(groups))
	var all sync.WaitGroup
	for i, g := range groups {
		all.Go(func() {
			for n := range r.scale.each {
				errs[i] = errors.Join(errs[i], g.Advance(ctx, anchor.State{Counter: uint64(n) + 2}))
			}
		})
	}
	all.Wait()
	done := float64(len(groups) * r.scale.each)
	one.groups, one.shared = done/time.Since(began).Seconds(), done/float64(c.steps.Load()-before)
	return errors.Join(errs...)
}

// evaluations are of the fleet key: one after another, and eight at a time.
func (r *anchorResult) evaluations(ctx context.Context, rig *rig, adapter string, d anchor.Device, one *aloneResult) error {
	custodian, err := rig.custodianOf(adapter)
	if err != nil {
		return err
	}
	if _, err := d.MakeFleetKey(ctx, custodian); err != nil {
		return err
	}
	key, err := d.FleetKey(ctx)
	if err != nil {
		return err
	}
	evaluate := func() error { _, err := key.Evaluate(ctx, key.Public()); return err }
	each, err := timed(r.scale.evaluations, evaluate)
	if err != nil {
		return err
	}
	one.evaluate = percentile(each, .5)
	const at = 8
	began, errs := time.Now(), make([]error, at)
	var all sync.WaitGroup
	for i := range at {
		all.Go(func() { _, errs[i] = timed(r.scale.evaluations/4, evaluate) })
	}
	all.Wait()
	one.together = float64(at*(r.scale.evaluations/4)) / time.Since(began).Seconds()
	return errors.Join(errs...)
}

// measureLoads has fleets of processes on each adapter, in turn.
func (r *anchorResult) measureLoads(ctx context.Context, dir, bin string) error {
	f := &fleetResult{scale: r.scale.fleet}
	for round := range min(2, r.scale.rounds) {
		for _, n := range r.scale.sizes {
			for _, adapter := range adapters {
				one, err := r.oneLoad(ctx, f, filepath.Join(dir, fmt.Sprintf("%d-%d-%s", round, n, adapter)), bin, adapter, n)
				if err != nil {
					return fmt.Errorf("%d on %s: %w", n, adapter, err)
				}
				r.loads[adapter] = append(r.loads[adapter], one)
				progress(fmt.Sprintf("%d on %s: %.0f recoveries/s", n, adapter, one.fast.rate()))
			}
		}
	}
	return nil
}

func (r *anchorResult) oneLoad(ctx context.Context, f *fleetResult, dir, bin, adapter string, n int) (one *nearResult, err error) {
	rig, err := newRig(filepath.Join(dir, "rig"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rig.stop(), os.RemoveAll(dir)) }()
	i, err := newIssuer()
	if err != nil {
		return nil, err
	}
	m := &members{bin: bin, dir: filepath.Join(dir, "fleet"), issuer: i, quantum: "0s"}
	m.anchor = func(member int) ([]string, error) { return rig.flags(ctx, adapter, fmt.Sprintf("m%d", member+1)) }
	defer func() { err = errors.Join(err, m.stop()) }()
	if err := m.grow(n); err != nil {
		return nil, err
	}
	return f.nearRun(m)
}
