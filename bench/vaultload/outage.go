package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// outage is the loss of a leader: how long after SIGKILL another member said that it
// leads, and an attempt that was asked for afterwards was answered, by the first of the
// other members and by the last.
type outage struct{ elected, first, last time.Duration }

// measureOutages kills the leader of five data centers that are apart, again and again.
// The one that was killed is back before the next.
func (r *fleetResult) measureOutages(dir, bin string) error {
	m, err := startFleet(dir, bin, len(farness), usual, true)
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
	w := newWatcher()
	for len(r.outages) < r.scale.outages {
		lost, err := m.leader()
		if err != nil {
			return err
		}
		o, err := m.loseLeader(w, lost, people[:len(m.all)])
		if err != nil {
			return fmt.Errorf("after the loss of member %d: %w", lost+1, err)
		}
		people, r.outages = people[len(m.all):], append(r.outages, o)
		progress(fmt.Sprintf("outage %d: another leads after %s ms, first answer %s ms, everywhere %s ms", len(r.outages), ms(o.elected), ms(o.first), ms(o.last)))
		if err := m.serve(lost); err != nil {
			return err
		}
		time.Sleep(2 * time.Second) // it follows again, and everything is as before
	}
	return nil
}

// loseLeader kills a leader and watches what becomes of it at all others.
func (m *members) loseLeader(w *watcher, lost int, people []*person) (o outage, err error) {
	before, err := w.ask(m.all[lost])
	if err != nil {
		return o, err
	}
	if !before.leads {
		return o, errors.New("it did not lead any more when it was to be killed")
	}
	began := time.Now()
	if err := m.kill(lost); err != nil {
		return o, err
	}
	others := slices.Concat(m.all[:lost], m.all[lost+1:])
	service := make(chan error, 1)
	go func() {
		var err error
		o.first, o.last, err = awaitService(others, people, began)
		service <- err
	}()
	o.elected, err = w.awaitElection(others, before.term, began)
	err = errors.Join(err, <-service)
	return o, err
}

// awaitService asks each of some members for an attempt until it is answered.
func awaitService(others []*process, people []*person, began time.Time) (first, last time.Duration, err error) {
	took := make(chan time.Duration, len(others))
	errs := make(chan error, len(others))
	for i, p := range others {
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
	for range others {
		select {
		case d := <-took:
			all = append(all, d)
		case err := <-errs:
			return 0, 0, err
		}
	}
	return slices.Min(all), slices.Max(all), nil
}

// caught is how long a new member took to get all records.
type caught struct {
	accounts int
	files    int64 // bytes on the disk of the new one
	took     time.Duration
	peak     [2]int // MiB, of the one that gave and the one that took
}

// measureCatchUp lets a member with nothing follow one with very many records.
func (r *fleetResult) measureCatchUp(dir, bin string) error {
	m, err := startFleet(dir, bin, 1, usual, false)
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
	took := time.Since(began)
	if s, err = m.all[1].status(); err != nil {
		return err
	}
	if s.Accounts < r.scale.accounts {
		return fmt.Errorf("the new member answers and has %d accounts of %d", s.Accounts, r.scale.accounts)
	}
	r.caughtUp = &caught{
		accounts: r.scale.accounts, files: folderSize(filepath.Join(m.all[1].home, "state")), took: took,
		peak: [2]int{m.all[0].memory("VmHWM:"), m.all[1].memory("VmHWM:")},
	}
	progress(fmt.Sprintf("caught up with %d accounts in %.1f s", r.scale.accounts, r.caughtUp.took.Seconds()))
	return nil
}
