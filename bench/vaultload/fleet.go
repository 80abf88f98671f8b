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

	"keepsake.example/vaultd"
)

// fleetScale is how much of a fleet is measured.
type fleetScale struct {
	rounds, people, recoveries, seconds, clients, outages, accounts int
}

func fleetScaleOf(quick bool) fleetScale {
	if quick {
		return fleetScale{rounds: 1, people: 500, recoveries: 600, seconds: 2, clients: 64, outages: 2, accounts: 100_000}
	}
	return fleetScale{rounds: 3, people: 3000, recoveries: 8000, seconds: 10, clients: 64, outages: 15, accounts: 10_000_000}
}

// fleetResult is what was found of fleets.
type fleetResult struct {
	scale    fleetScale
	near     []nearResult // one and five replicas, one after the other, a few rounds
	wide     []*wideResult
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

// wideResult is a run against data centers that are apart. Members count from 0.
type wideResult struct {
	*loadResult
	quantum       time.Duration
	leader, asked int
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
	for round := range r.scale.rounds {
		for _, n := range []int{1, 5} {
			m, err := startFleet(filepath.Join(dir, fmt.Sprintf("%d-%d", round, n)), bin, n, usual, false)
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
	jobs, err := prepare(people, s.recoveries)
	if err != nil {
		return nil, err
	}
	if one.fast, err = v.run("as fast as it goes", jobs, s.clients, 0); err != nil {
		return nil, err
	}
	one.half, err = r.steady(v, people, "at half of that", one.fast.rate()/2)
	return one, err
}

// steady makes so many recoveries a second, for some seconds.
func (r *fleetResult) steady(v vaults, people []*person, name string, rate float64) (*loadResult, error) {
	jobs, err := prepare(people, max(1, int(rate*float64(r.scale.seconds))))
	if err != nil {
		return nil, err
	}
	// More clients than wait at a time, and so few that none is idle until vaultd hangs up.
	return v.run(name, jobs, min(4*r.scale.clients, max(16, int(rate))), rate)
}

// usual is the quantum of a vaultd that was told none.
var usual = vaultd.DefaultLimits().Quantum

// measureWide has five data centers that are apart: the phases of single recoveries, next to
// no load, asked at the leader's data center and at the one farthest from it. Without the
// quantum it shows what replication takes; with it, what a person gets: the default,
// and one that holds the round trip, as doc/vaultd.md has it for long ways. It leaves 2 ms of
// the target to what is around it: the client's TLS, and timers of the kernel's millisecond.
func (r *fleetResult) measureWide(dir, bin string) error {
	for _, quantum := range []time.Duration{0, usual, majority(0) + overRoundTrip - 2*time.Millisecond} {
		m, err := startFleet(filepath.Join(dir, quantum.String()), bin, len(farness), quantum, true)
		if err != nil {
			return fmt.Errorf("data centers apart: %w", err)
		}
		if err := errors.Join(r.wideRuns(m, quantum), m.stop()); err != nil {
			return fmt.Errorf("data centers apart: %w", err)
		}
	}
	return nil
}

func (r *fleetResult) wideRuns(m *members, quantum time.Duration) error {
	leader, err := m.leader()
	if err != nil {
		return err
	}
	people, err := newPeople(m.all[0].key, m.issuer, r.scale.people/5)
	if err != nil {
		return err
	}
	if err := (vaults{m.all, len(m.all)}).register(people); err != nil {
		return err
	}
	for _, at := range []int{leader, farthest(leader)} {
		v := vaults{append([]*process{m.all[at]}, slices.Delete(slices.Clone(m.all), at, at+1)...), 1}
		one, err := r.steady(v, people, fmt.Sprintf("asked at data center %d, leader in %d, quantum %v", at+1, leader+1, quantum), 20)
		if err != nil {
			return err
		}
		if now, err := m.leader(); err != nil || now != leader {
			return errors.Join(err, errors.New("the leader changed during a run"))
		}
		r.wide = append(r.wide, &wideResult{one, quantum, leader, at})
		progress(fmt.Sprintf("%s: p50 %s ms a phase", one.name, ms(percentile(one.request, .5))))
	}
	return nil
}
