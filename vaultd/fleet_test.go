package vaultd_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// askAt has a machine asked from here on.
func (f *fleetOf) askAt(m *machine) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = m
}

// Every request may be brought to any member, and is answered by it, whoever leads:
// with the same bundle, the same counts and the same record.
func TestAnyReplicaAnswers(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	leader := f.leader()
	for _, m := range f.machines {
		f.askAt(m)
		name := fmt.Sprint("person-", m.number)
		p := f.registered(name, "right")
		g := newGuess("right")
		if err := p.finish(g, wants(t, p.ask(g.body), vaultapi.OK)); err != nil {
			t.Fatal(err)
		}
		for _, other := range f.machines {
			f.askAt(other)
			if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 9 {
				t.Errorf("machine %d: %d left, want 9", other.number, st.Left)
			}
			// The attempt again, elsewhere: at no cost.
			if err := p.finish(g, wants(t, p.ask(g.body), vaultapi.OK)); err != nil {
				t.Errorf("machine %d: %v", other.number, err)
			}
		}
		f.askAt(m)
		wants(t, p.ask(p.prove(g)), vaultapi.OK)
		next := f.person(name)
		wants(t, p.ask(next.proposal("new")), vaultapi.OK)
		wants(t, p.ask(&vaultapi.ConfirmBody{Record: next.record}), vaultapi.Wait)
		wants(t, p.ask(&vaultapi.CancelBody{Record: next.record, Authority: vaultapi.Authority{Kind: vaultapi.ByUnlock}}), vaultapi.Unauthorised)
		old := p.record
		wants(t, p.ask(&vaultapi.DeleteBody{Record: old}), vaultapi.Wait)
		if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 10 || st.Body.(*vaultapi.StatusReport).Pending != vaultapi.PendingDeletion {
			t.Errorf("machine %d: %+v", m.number, st)
		}
	}
	for _, m := range f.machines {
		if !bytes.Equal(m.server.Bundle(), leader.server.Bundle()) {
			t.Errorf("machine %d has another bundle than the leader", m.number)
		}
	}
}

// The status of any member shows them all: who leads, how far each is, and how the links are.
func TestFleetStatus(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	leader := f.leader()
	var st vaultd.Status
	eventually(t, "the leader sees all", func() error {
		leader = f.leader() // on a busy machine another may lead by now
		st = leader.server.Status(t.Context())
		for _, m := range st.Members {
			if m.Report == nil || m.Leads != (m.Number == leader.number) || (m.Report.Role == "leader") != m.Leads || !m.Active || m.Link == "down" || m.Lag != 0 || m.Match == 0 {
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
	if len(st.Members) != 3 || st.Roster.Operators != 3 || st.Roster.Quorum != 2 || st.Roster.Serial != 4 || len(st.Problems) != 0 {
		t.Errorf("status %+v", st)
	}
	for i, m := range st.Members {
		if m.Number != uint64(i+1) || m.Name != fmt.Sprint("machine-", i+1) || m.DataCenter != fmt.Sprint("dc-", i+1) || m.Leads != (m.Number == leader.number) || m.Learner {
			t.Errorf("row %d: %+v", i, m)
		}
		if m.Report.Version != vaultd.Version || m.Report.Anchor == "" || !m.Report.Ready || m.Report.Serial != 4 || (m.Report.Role == "leader") != m.Leads {
			t.Errorf("report %d: %+v", i, m.Report)
		}
	}
	// One that is down is seen, and the others go on.
	down := f.followers()[0]
	down.stop()
	eventually(t, "the loss is seen", func() error {
		m := f.leader().server.Status(t.Context()).Members[down.number-1]
		if m.Active || m.Link != "down" || m.Report != nil {
			return fmt.Errorf("%+v", m)
		}
		return nil
	})
	want := []string{
		`vaultd_group_leads{group="0"} 1`, `vaultd_group_led{group="0"} `, `vaultd_group_term{group="0"}`, `vaultd_member_lag_entries{group="0",member="2"}`,
		fmt.Sprintf(`vaultd_member_active{group="0",member="%d"} 0`, down.number), fmt.Sprintf(`vaultd_link_up{member="%d"} 0`, down.number),
		"vaultd_roster_serial 4", "vaultd_clock_skew_seconds",
	}
	eventually(t, "the leader publishes it", func() error {
		text := f.admin(f.leader(), "GET", "/metrics", nil).Body.String()
		for _, want := range want {
			if !strings.Contains(text, want) {
				return fmt.Errorf("no metric %s", want)
			}
		}
		return nil
	})
}

// admin asks the admin handler of a machine.
func (f *fleetOf) admin(m *machine, method, path string, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	m.server.Admin().ServeHTTP(rec, httptest.NewRequest(method, path, bytes.NewReader(body)))
	return rec
}

// propose brings a change over HTTP, as the operators' tools do, and again where there was no decision in time.
func (f *fleetOf) propose(signed []byte) (r *httptest.ResponseRecorder) {
	f.t.Helper()
	eventually(f.t, "there is a decision", func() error {
		if r = f.admin(f.asked, "POST", "/change", signed); r.Code == http.StatusServiceUnavailable {
			return errors.New(r.Body.String())
		}
		return nil
	})
	return r
}

// deliverAnywhere brings one question to members in turn until one answers it.
func (f *fleetOf) deliverAnywhere(q question) (*vaultapi.Answer, error) {
	end := time.Now().Add(patience)
	for n := 0; time.Now().Before(end); n++ {
		up := f.serving()
		if len(up) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		rec := httptest.NewRecorder()
		up[n%len(up)].Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/v1/request", bytes.NewReader(q.bytes)))
		if rec.Code != http.StatusOK {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		a, err := q.open(rec.Body.Bytes())
		if err != nil || a.Code != vaultapi.Busy {
			return a, err
		}
	}
	return nil, errors.New("nobody answered for twenty seconds")
}

func (f *fleetOf) serving() (list []*vaultd.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.machines {
		if m.server != nil && m.server.Err() == nil {
			list = append(list, m.server)
		}
	}
	return list
}

// The leader ends in the middle of a load, by a signal and as if it were killed: every
// attempt, repeated elsewhere with the same bytes, is answered and counted once.
func TestLeaderLost(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 5, 1)
	const people = 4
	all := make([]*person, people)
	f.askAt(f.leader())
	for i := range all {
		all[i] = f.registered(fmt.Sprint("person-", i), "right")
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	attempts := make([]int, people)
	for i, p := range all {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				g := newGuess("right")
				a, err := f.deliverAnywhere(p.question(g.body))
				if err != nil || a.Code != vaultapi.OK || a.Left != 9 || p.finish(g, a) != nil {
					t.Errorf("person %d, attempt %d: %+v, %v", i, n, a, err)
					return
				}
				if a, err = f.deliverAnywhere(p.question(p.prove(g))); err != nil || a.Code != vaultapi.OK {
					t.Errorf("person %d, proof %d: %+v, %v", i, n, a, err)
					return
				}
				attempts[i] = n + 1
			}
		})
	}
	for range 2 {
		leader := f.leader()
		f.mu.Lock()
		server := leader.server
		f.mu.Unlock()
		// Questions are sealed to a bundle, which any other shows as well.
		f.askAt(f.followers()[0])
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		leader.server = nil
		f.mu.Unlock()
		leader.anchor.Close()
		leader.anchor = nil
		f.leader()
	}
	close(stop)
	load.Wait()
	for i, n := range attempts {
		if n == 0 {
			t.Errorf("person %d did nothing", i)
		}
	}
}

// Without a majority nothing is decided, and that is said as 503 to everything; with
// one again all goes on.
func TestNoMajority(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	q := p.question(newGuess("right").body)
	rest := f.followers()
	for _, m := range rest {
		m.stop()
	}
	last := f.asked
	eventually(t, "the last one notices", func() error {
		if status, _, _ := f.post(q.bytes); status != http.StatusServiceUnavailable {
			return fmt.Errorf("HTTP %d", status)
		}
		return nil
	})
	rec := httptest.NewRecorder()
	last.server.Handler().ServeHTTP(rec, httptest.NewRequest("HEAD", "/v1/bundle", nil))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("bundle without a majority: HTTP %d", rec.Code)
	}
	if st := last.server.Status(t.Context()); st.Ready || len(st.Problems) == 0 {
		t.Errorf("status without a majority: ready %v, problems %q", st.Ready, st.Problems)
	}
	rest[0].start()
	f.leader()
	if a := wants(t, f.deliver(q), vaultapi.OK); a.Left != 9 {
		t.Errorf("%d left", a.Left)
	}
}

// Drain: another leads, this one says 503 and goes on following; transfer: whom one names leads.
func TestTransferAndDrain(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	var old, to *machine
	f.led(func(leader *machine, others []*machine) (uint64, error) {
		old, to = leader, others[1]
		if r := f.admin(old, "POST", fmt.Sprint("/transfer?to=", to.number), nil); r.Code != http.StatusNoContent {
			return 0, fmt.Errorf("transfer: HTTP %d %s", r.Code, r.Body)
		}
		if now := f.leader(); now != to {
			return 1, fmt.Errorf("member %d leads, want %d", now.number, to.number)
		}
		return 1, nil
	})
	if r := f.admin(to, "POST", "/drain", nil); r.Code != http.StatusNoContent {
		t.Fatalf("drain: HTTP %d %s", r.Code, r.Body)
	}
	f.askAt(to)
	q := p.question(&vaultapi.StatusBody{})
	if status, _, _ := f.post(q.bytes); status != http.StatusServiceUnavailable {
		t.Errorf("a drained member answers HTTP %d", status)
	}
	if st := to.server.Status(t.Context()); st.Ready || !st.Draining || st.Replica.Role != "follower" {
		t.Errorf("status of a drained member: %+v", st.Replica)
	}
	f.askAt(old)
	eventually(t, "another leads and answers", func() error {
		if status, _, _ := f.post(q.bytes); status != http.StatusOK {
			return fmt.Errorf("HTTP %d", status)
		}
		return nil
	})
	if r := f.admin(old, "POST", "/transfer?to=x", nil); r.Code != http.StatusBadRequest {
		t.Errorf("transfer to x: HTTP %d", r.Code)
	}
}

// One member's wrong clock neither shortens a wait nor holds the time back, leads it
// or not; it says so itself.
func TestOneWrongClock(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	for range 4 {
		wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	}
	until := wants(t, p.ask(newGuess("wrong").body), vaultapi.Wait).Next
	for _, wrong := range []*machine{f.leader(), f.followers()[0]} {
		wrong.clock.advance(2 * time.Hour)
		f.askAt(wrong)
		eventually(t, "it says so", func() error {
			if st := wrong.server.Status(t.Context()); len(st.Problems) != 1 || !strings.Contains(st.Problems[0], "clock") {
				return fmt.Errorf("problems %q", st.Problems)
			}
			return nil
		})
		for _, m := range f.machines {
			f.askAt(m)
			if a := wants(t, p.ask(newGuess("wrong").body), vaultapi.Wait); a.Next != until || a.Time >= until {
				t.Errorf("machine %d: with machine %d two hours ahead the wait ends at %d, now is %d; it was %d", m.number, wrong.number, a.Next, a.Time, until)
			}
		}
		wrong.clock.back(2 * time.Hour)
	}
	// A majority goes on though one stands still.
	slow := f.followers()[0]
	slow.clock.back(time.Hour)
	for _, m := range f.machines {
		if m != slow {
			m.clock.advance(31 * time.Second)
		}
	}
	f.clock.advance(31 * time.Second)
	f.await(f.clock.Wall())
	f.askAt(slow)
	wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
}

// One member makes the channel keys, and all have them at once: a request that is
// sealed to the newest opens everywhere, and an expired key is gone everywhere.
func TestChannelKeysInAFleet(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	first := f.bundle()
	f.advance(8 * day)
	// The keeper looks every minute; in an election it has to look again.
	minute := func() {
		f.clock.advance(time.Minute)
		for _, m := range f.machines {
			m.clock.advance(time.Minute)
		}
		time.Sleep(20 * time.Millisecond)
	}
	eventually(t, "there is a second key, everywhere", func() error {
		minute()
		for _, m := range f.machines {
			f.askAt(m)
			if b := f.bundle(); len(b.Keys) != 2 || !bytes.Equal(m.server.Bundle(), f.machine(1).server.Bundle()) {
				return fmt.Errorf("machine %d: %d keys, serial %d", m.number, len(b.Keys), b.Serial)
			}
		}
		return nil
	})
	q := p.question(&vaultapi.StatusBody{})
	for _, m := range f.machines {
		f.askAt(m)
		wants(t, f.deliver(q), vaultapi.OK)
	}
	f.advance(14 * day)
	eventually(t, "the first key is gone everywhere", func() error {
		minute()
		for _, m := range f.machines {
			f.askAt(m)
			for _, k := range f.bundle().Keys {
				if k.Key.ID() == first.Keys[0].Key.ID() {
					return fmt.Errorf("machine %d has it", m.number)
				}
			}
			if m.server.KeyCount() != len(f.bundle().Keys) {
				return fmt.Errorf("machine %d has %d keys ready", m.number, m.server.KeyCount())
			}
		}
		return nil
	})
}

// All machines end and start again: nothing is lost, and nothing forgiven.
func TestFleetRestarts(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	for range 3 {
		wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	}
	before := f.bundle().Serial
	for _, m := range f.machines {
		m.stop()
	}
	for _, m := range f.machines {
		m.start()
	}
	f.askAt(f.leader())
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 7 || f.bundle().Serial != before {
		t.Errorf("%d left, want 7; serial %d, was %d", st.Left, f.bundle().Serial, before)
	}
}

// A member that starts at a date far ahead runs, tells its operator, and moves nothing.
func TestDateFarAheadInAFleet(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	m := f.followers()[0]
	m.stop()
	m.clock.advance(40 * day)
	m.start()
	f.leader()
	if at := m.time(); at.After(f.clock.Wall().Add(time.Hour)) {
		t.Errorf("the vault's time is %v", at)
	}
	if st := m.server.Status(t.Context()); st.Host != f.machine(1).server.Status(t.Context()).Host {
		t.Errorf("it believes its host: %s", st.Host)
	}
	if !bytes.Contains(f.log.Bytes(), []byte("the host's date is not believed")) {
		t.Error("nobody is told")
	}
	if st := m.server.Status(t.Context()); len(st.Problems) != 1 || !strings.Contains(st.Problems[0], "date") {
		t.Errorf("problems %q", st.Problems)
	}
}
