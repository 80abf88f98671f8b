package vaultd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// askAt has a machine asked from here on.
func (f *fleetOf) askAt(m *machine) { f.asked = m }

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
		st = leader.server.Status(t.Context())
		for _, m := range st.Members {
			if m.Report == nil || !m.Active || m.Link == "down" || m.Lag != 0 || m.Match == 0 {
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
	text := f.admin(leader, "GET", "/metrics", nil).Body.String()
	for _, want := range []string{
		`vaultd_group_leads{group="0"} 1`, `vaultd_group_led{group="0"} 1`, `vaultd_group_term{group="0"}`, `vaultd_member_lag_entries{group="0",member="2"}`,
		fmt.Sprintf(`vaultd_member_active{group="0",member="%d"} 0`, down.number), fmt.Sprintf(`vaultd_link_up{member="%d"} 0`, down.number),
		"vaultd_roster_serial 4", "vaultd_clock_skew_seconds",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no metric %s", want)
		}
	}
}

// admin asks the admin handler of a machine.
func (f *fleetOf) admin(m *machine, method, path string, body []byte) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	m.server.Admin().ServeHTTP(rec, httptest.NewRequest(method, path, bytes.NewReader(body)))
	return rec
}

// deliverAnywhere brings one question to members in turn until one answers it.
func (f *fleetOf) deliverAnywhere(q question) (*vaultapi.Answer, error) {
	end := time.Now().Add(20 * time.Second)
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
	old := f.leader()
	to := f.followers()[1]
	if r := f.admin(old, "POST", fmt.Sprint("/transfer?to=", to.number), nil); r.Code != http.StatusNoContent {
		t.Fatalf("transfer: HTTP %d %s", r.Code, r.Body)
	}
	if now := f.leader(); now != to {
		t.Errorf("member %d leads, want %d", now.number, to.number)
	}
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

// The operators' signatures decide who belongs, and nothing else does.
func TestMembership(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.followers()[0])
	leave := f.next(roster.Remove)
	leave.Member = roster.Member{Number: 3}
	// Over HTTP, as the operators' tools bring it.
	if r := f.admin(f.asked, "POST", "/change", f.signed(leave, f.operators[0])); r.Code != http.StatusConflict || !strings.Contains(r.Body.String(), "refused") {
		t.Errorf("one signature of two: HTTP %d %s", r.Code, r.Body)
	}
	if r := f.admin(f.asked, "POST", "/change", []byte("nothing")); r.Code != http.StatusBadRequest {
		t.Errorf("no change at all: HTTP %d", r.Code)
	}
	f.askAt(f.machine(1))
	p := f.registered("alice", "right")
	leave.Because = "its disk was stolen"
	r := f.admin(f.asked, "POST", "/change", f.signed(leave))
	if r.Code != http.StatusOK || r.Body.String() != must(leave.Text()) {
		t.Fatalf("two signatures: HTTP %d %s", r.Code, r.Body)
	}
	if r := f.admin(f.asked, "POST", "/change", f.signed(leave)); r.Code != http.StatusOK {
		t.Errorf("the same again, after an answer that was lost: HTTP %d %s", r.Code, r.Body)
	}
	gone := f.machine(3)
	if text := f.admin(f.asked, "GET", "/changes", nil).Body.String(); !strings.Contains(text, must(leave.Text())) || strings.Count(text, "keepsake fleet change") != 5 {
		t.Errorf("the changes are told as %q", text)
	}
	eventually(t, "the others let it go", func() error {
		if st := f.machine(1).server.Status(t.Context()); len(st.Members) != 2 {
			return fmt.Errorf("%d members", len(st.Members))
		}
		return nil
	})
	f.askAt(gone)
	if status, _, _ := f.post(p.question(&vaultapi.StatusBody{}).bytes); status == http.StatusOK {
		eventually(t, "the removed one stops", func() error {
			if status, _, _ := f.post(p.question(&vaultapi.StatusBody{}).bytes); status == http.StatusOK {
				return errors.New("it still answers")
			}
			return nil
		})
	}
	// Its number never comes back; the machine, emptied, is a new member.
	f.askAt(f.machine(1))
	gone.stop()
	f.join(4)
	f.promote(4)
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 10 {
		t.Errorf("%d left", st.Left)
	}
}

// A stricter policy is in every member's bundle, and rules at once; a weaker one is refused.
func TestPolicyChange(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.leader())
	p := f.registered("alice", "right")
	c := f.next(roster.SetPolicy)
	c.Policy = roster.Policy(testPolicy())
	c.Policy.Waits = append([]uint64{}, c.Policy.Waits...)
	c.Policy.Waits[0], c.Policy.Waits[1], c.Policy.Waits[2] = 1000, 5000, 10000
	c.Policy.CoolDown *= 2
	f.decide(c)
	eventually(t, "all bundles have it", func() error {
		for _, m := range f.machines {
			f.askAt(m)
			if b := f.bundle(); b.Policy.Waits[0] != 1000 || b.Policy.CoolDown != c.Policy.CoolDown || !bytes.Equal(m.server.Bundle(), f.machine(1).server.Bundle()) {
				return fmt.Errorf("machine %d: %+v", m.number, b.Policy)
			}
		}
		return nil
	})
	wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	wants(t, p.ask(newGuess("wrong").body), vaultapi.Wait)
	weaker := f.next(roster.SetPolicy)
	weaker.Policy = roster.Policy(testPolicy())
	_, err := f.asked.server.Change(t.Context(), f.signed(weaker))
	if refusal, ok := errors.AsType[*roster.Refusal](err); !ok {
		t.Errorf("a weaker policy: %v", err)
	} else if !strings.Contains(refusal.Error(), "refused") {
		t.Errorf("it says %q", refusal)
	}
	// A fleet that asks for a newer program has none of this one.
	newer := f.next(roster.SetMinVersion)
	newer.MinVersion = vaultd.Version + 1
	if _, err := f.asked.server.Change(t.Context(), f.signed(newer)); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.machines {
		<-m.server.Done()
		if _, ok := errors.AsType[*vaultd.VersionError](m.server.Err()); !ok {
			t.Errorf("machine %d: %v", m.number, m.server.Err())
		}
	}
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
	eventually(t, "there is a second key, everywhere", func() error {
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

// What is not signed by the fleet, or not for this machine, is no way in.
func TestJoinRefuses(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 1, 1)
	m := f.newMachine(2)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	join := func(r []byte) error {
		_, err := vaultd.Join(ctx, vaultd.Joining{Dir: m.config.Dir, Anchor: m.anchor, Fleet: f.fleet, Roster: r, Keys: m.keys, Peers: m.listen()})
		return err
	}
	good := must(f.asked.server.Roster())
	if err := join(good); err == nil || !strings.Contains(err.Error(), "card") {
		t.Errorf("joined without having been added: %v", err)
	}
	for n := range good {
		if n%7 != 0 && n > 200 {
			continue
		}
		good[n] ^= 4
		if _, err := vaultd.OpenRoster(good, f.fleet); err == nil {
			t.Fatalf("a roster with byte %d changed", n)
		}
		if _, err := vaultd.OpenRoster(good[:n], f.fleet); err == nil {
			t.Fatalf("%d bytes of a roster", n)
		}
		good[n] ^= 4
	}
	elsewhere := newFleet(t, 1, 1)
	if err := join(must(elsewhere.asked.server.Roster())); err == nil {
		t.Error("joined by another fleet's roster")
	}
}

// A host empties disk and anchor of members, keeps their key files, and has them join
// again under their numbers: empty, they would elect a leader that lacks what they had
// acknowledged. A number is welcomed once.
func TestEmptiedMemberIsNotWelcomedAgain(t *testing.T) {
	t.Parallel() // it waits for elections more than it computes
	f := newFleet(t, 3, 1)
	f.askAt(f.machine(1))
	for _, m := range f.machines[1:] {
		m.stop()
		m.start() // the same disk and anchor: no question
	}
	f.leader()
	emptied := f.machine(3)
	emptied.stop()
	emptied.empty()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := vaultd.Join(ctx, vaultd.Joining{
		Dir: emptied.config.Dir, Anchor: emptied.anchor, Fleet: f.fleet, Roster: must(f.asked.server.Roster()), Keys: emptied.keys, Peers: emptied.listen(),
	})
	if !errors.Is(err, vaultd.ErrWelcomed) {
		t.Fatalf("joined again: %v", err)
	}
	// As a new member it is welcome.
	gone := f.next(roster.Remove)
	gone.Member = roster.Member{Number: 3}
	f.decide(gone)
	f.join(4)
	f.promote(4)
}
