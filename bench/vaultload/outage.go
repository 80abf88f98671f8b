package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// outage is the loss of a leader: how long after SIGKILL an attempt that was asked
// for afterwards was answered, by the first of the other members and by the last.
type outage struct{ first, last time.Duration }

// measureOutages kills the leader of five data centers that are apart, again and again.
// The one that was killed is back before the next.
func (r *fleetResult) measureOutages(dir, bin string) error {
	m, err := startFleet(dir, bin, len(farness), "20ms", true)
	if err != nil {
		return err
	}
	return errors.Join(r.outageRuns(m), m.stop())
}

func (r *fleetResult) outageRuns(m *members) error {
	people, err := newPeople(m.all[0].key, m.issuer, r.scale.outages*len(m.all))
	if err != nil {
		return err
	}
	if err := (vaults{m.all, len(m.all)}).register(people); err != nil {
		return err
	}
	for len(r.outages) < r.scale.outages {
		lost, err := m.leader()
		if err != nil {
			return err
		}
		if err := m.kill(lost); err != nil {
			return err
		}
		began := time.Now()
		o, err := r.awaitService(m, lost, people[:len(m.all)], began)
		if err != nil {
			return fmt.Errorf("after the loss of member %d: %w", lost+1, err)
		}
		people, r.outages = people[len(m.all):], append(r.outages, o)
		progress(fmt.Sprintf("outage %d: %s ms, everywhere %s ms", len(r.outages), ms(o.first), ms(o.last)))
		if err := m.serve(lost); err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // it follows again, and everything is as before
	}
	return nil
}

func (r *fleetResult) awaitService(m *members, lost int, people []*person, began time.Time) (o outage, err error) {
	took := make(chan time.Duration, len(m.all))
	errs := make(chan error, len(m.all))
	for i, p := range m.all {
		if i == lost {
			continue
		}
		go func() {
			requests, err := people[i].recovery()
			if err == nil {
				k := keeper{vaults: alone(p)}
				err = k.insist(requests[0])
				k.hangUp()
			}
			if err != nil {
				errs <- err
				return
			}
			took <- time.Since(began)
		}()
	}
	var all []time.Duration
	for range len(m.all) - 1 {
		select {
		case d := <-took:
			all = append(all, d)
		case err := <-errs:
			return o, err
		}
	}
	return outage{slices.Min(all), slices.Max(all)}, nil
}

// caught is how long a new member took to get all records.
type caught struct {
	accounts int
	picture  int64 // bytes on the disk of the first
	took     time.Duration
	peak     [2]int // MiB, of the one that gave and the one that took
}

// measureCatchUp lets a member with nothing follow one with very many records.
func (r *fleetResult) measureCatchUp(dir, bin string) error {
	m, err := startFleet(dir, bin, 1, "20ms", false)
	if err != nil {
		return err
	}
	return errors.Join(r.catchUp(m), m.stop())
}

func (r *fleetResult) catchUp(m *members) error {
	people, err := newPeople(m.all[0].key, m.issuer, 1)
	if err != nil {
		return err
	}
	if err := (vaults{m.all, 1}).register(people); err != nil {
		return err
	}
	s, err := m.all[0].status()
	if err != nil {
		return err
	}
	if err := m.all[0].stop(); err != nil {
		return err
	}
	if err := crowdOf(m.all[0].home, r.scale.accounts); err != nil {
		return err
	}
	if err := m.serve(0); err != nil {
		return err
	}
	began := time.Now()
	if err := m.enter(s.Fleet); err != nil {
		return err
	}
	r.caughtUp = &caught{
		accounts: r.scale.accounts, picture: folderSize(filepath.Join(m.all[1].home, "state")), took: time.Since(began),
		peak: [2]int{m.all[0].memory("VmHWM:"), m.all[1].memory("VmHWM:")},
	}
	progress(fmt.Sprintf("caught up with %d accounts in %.1f s", r.scale.accounts, r.caughtUp.took.Seconds()))
	return nil
}
