package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// fleetScale is how much of a fleet is measured.
type fleetScale struct {
	people, seconds, clients, outages, accounts int
}

func fleetScaleOf(quick bool) fleetScale {
	if quick {
		return fleetScale{people: 500, seconds: 2, clients: 64, outages: 2, accounts: 100_000}
	}
	return fleetScale{people: 3000, seconds: 10, clients: 64, outages: 15, accounts: 10_000_000}
}

// fleetResult is what was found of fleets.
type fleetResult struct {
	scale    fleetScale
	near     []nearResult // one and five replicas, one after the other, a few rounds
	wide     []*loadResult
	leader   int // that the runs of wide were made with, from 0
	outages  []outage
	caughtUp *caught
}

// nearResult is a fleet of so many on this machine, as fast as it goes, and then at
// half of that.
type nearResult struct {
	replicas      int
	registrations float64 // a second
	fast, half    *loadResult
}

func runFleet(ctx context.Context, work, bin, out string, quick bool) error {
	if work == "" || bin == "" || out == "" {
		return errors.New("-work, -vaultd and -out are needed")
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	r := &fleetResult{scale: fleetScaleOf(quick)}
	steps := []func(dir, bin string) error{r.measureNear, r.measureWide, r.measureOutages, r.measureCatchUp}
	for i, step := range steps {
		dir := filepath.Join(work, fmt.Sprint(i))
		if err := step(dir, bin); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	r.write(&text, describe(work), quick)
	os.Stdout.Write(text.Bytes())
	return os.WriteFile(out, text.Bytes(), 0o644)
}

// measureNear compares five replicas with one, in turn, so that both meet the same noise.
func (r *fleetResult) measureNear(dir, bin string) error {
	for round := range 2 {
		for _, n := range []int{1, 5} {
			m, err := startFleet(filepath.Join(dir, fmt.Sprintf("%d-%d", round, n)), bin, n, "20ms", false)
			if err != nil {
				return fmt.Errorf("a fleet of %d: %w", n, err)
			}
			one, err := r.nearRun(m)
			if err := errors.Join(err, m.stop()); err != nil {
				return fmt.Errorf("a fleet of %d: %w", n, err)
			}
			r.near = append(r.near, *one)
			progress(fmt.Sprintf("%d replicas: %.0f registrations/s, %.0f recoveries/s", n, one.registrations, one.fast.rate()))
		}
	}
	return nil
}

func (r *fleetResult) nearRun(m *members) (*nearResult, error) {
	s := r.scale
	v := vaults{m.all, len(m.all)}
	people, err := newPeople(m.all[0].key, m.issuer, s.people)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := v.register(people); err != nil {
		return nil, err
	}
	one := &nearResult{replicas: len(m.all), registrations: float64(s.people) / time.Since(began).Seconds()}
	if one.fast, err = r.load(v, people, "as fast as it goes", 0, 300); err != nil {
		return nil, err
	}
	one.half, err = r.load(v, people, "at half of that", one.fast.rate()/2, one.fast.rate()/2)
	return one, err
}

// load makes recoveries for some seconds, if so many go in one.
func (r *fleetResult) load(v vaults, people []*person, name string, rate, guess float64) (*loadResult, error) {
	jobs, err := prepare(people, max(1, int(guess)*r.scale.seconds))
	if err != nil {
		return nil, err
	}
	clients := r.scale.clients
	if rate > 0 { // more than wait at a time, and so few that none is idle until vaultd hangs up
		clients = min(4*clients, max(16, int(rate)))
	}
	return v.run(name, jobs, clients, rate)
}

// measureWide has five data centers that are apart: the phases of single recoveries,
// next to no load, asked at the leader's data center and at the one farthest from it, without the
// quantum, which would hide what replication takes, and with it.
func (r *fleetResult) measureWide(dir, bin string) error {
	for _, quantum := range []string{"0s", "20ms"} {
		m, err := startFleet(filepath.Join(dir, quantum), bin, len(farness), quantum, true)
		if err != nil {
			return fmt.Errorf("data centers apart: %w", err)
		}
		if err := errors.Join(r.wideRuns(m), m.stop()); err != nil {
			return fmt.Errorf("data centers apart: %w", err)
		}
	}
	return nil
}

func (r *fleetResult) wideRuns(m *members) (err error) {
	if r.leader, err = m.leader(); err != nil {
		return err
	}
	people, err := newPeople(m.all[0].key, m.issuer, r.scale.people/5)
	if err != nil {
		return err
	}
	if err := (vaults{m.all, len(m.all)}).register(people); err != nil {
		return err
	}
	for _, at := range []int{r.leader, len(m.all) - 1} {
		v := vaults{append([]*process{m.all[at]}, slices.Delete(slices.Clone(m.all), at, at+1)...), 1}
		one, err := r.load(v, people, fmt.Sprintf("asked at data center %d, quantum %s", at+1, m.quantum), 20, 20)
		if err != nil {
			return err
		}
		r.wide = append(r.wide, one)
		progress(fmt.Sprintf("%s: p50 %s ms a phase", one.name, ms(percentile(one.request, .5))))
	}
	return nil
}
