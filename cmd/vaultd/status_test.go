package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"keepsake.example/internal/command"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

// paperFleet is what member 1 says of a fleet with so many voters, of which some are down, and
// one learner.
func paperFleet(voters int, down ...uint64) *vaultd.Status {
	st := &vaultd.Status{Fleet: strings.Repeat("ab", 32), Member: 1, Ready: true, Groups: []vaultd.GroupStatus{{}}}
	for n := uint64(1); n <= uint64(voters)+1; n++ {
		m := vaultd.MemberStatus{Number: n, Name: "m\x1b[2J", DataCenter: "d", Link: "up", Report: &vaultd.Report{Role: "follower", Applied: 90 + n, Version: 1}}
		m.Learner = n == uint64(voters)+1
		for _, gone := range down {
			if n == gone {
				m.Link, m.Since, m.Problem, m.Report = "down", "2026-11-22T12:00:00Z", "refused\x1b[2J", nil
			}
		}
		if n == 1 {
			m.Link = "self"
		}
		m.Groups = []vaultd.MemberGroup{{Learner: m.Learner}}
		if m.Report != nil {
			m.Groups[0] = vaultd.MemberGroup{Learner: m.Learner, Role: "follower", Applied: 90 + n, Lag: new(uint64(voters) + 1 - n)}
		}
		if n == 4 && m.Report != nil { // it lies
			m.Report.Anchor, m.Groups[0].Role = "tpm\t1\n6\x1b[2J", "leader\x1b[2J\n5"
		}
		st.Members = append(st.Members, m)
		st.Groups[0].Members = append(st.Groups[0].Members, vaultd.GroupMember{Number: n, Learner: m.Learner})
	}
	return st
}

// asked is what vaultd status prints of a fleet.
func asked(t *testing.T, st *vaultd.Status, args ...string) result {
	t.Helper()
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(st) }))
	defer admin.Close()
	return vault(t, append([]string{"status", "--admin", strings.TrimPrefix(admin.URL, "http://")}, args...)...)
}

// How many may still be lost is said before it is too late, and learners do not count.
func TestStatusSaysHowManyMayBeLost(t *testing.T) {
	for _, c := range []struct {
		voters, tolerate uint8
		down             []uint64
		want             string
	}{
		{1, 0, nil, "1 of 1 voters up, 1 needed: no loss is survived"},
		{2, 0, nil, "2 of 2 voters up, 2 needed: no loss is survived"},
		{3, 0, nil, "3 of 3 voters up, 2 needed: 1 more can be lost"},
		{3, 0, []uint64{4}, "1 more can be lost"},
		{3, 0, []uint64{2}, "2 of 3 voters up, 2 needed: ONE MORE LOSS STOPS SERVICE"},
		{3, 0, []uint64{2, 3}, "1 of 3 voters up, 2 needed: NOTHING IS SERVED"},
		{5, 0, nil, "2 more can be lost"},
		{5, 1, nil, "5 of 5 voters up, 4 needed: 1 more can be lost"},
		{5, 1, []uint64{5}, "ONE MORE LOSS STOPS SERVICE"},
	} {
		st := paperFleet(int(c.voters), c.down...)
		st.Roster.Tolerate = c.tolerate
		asked(t, st).wants(t, command.Done, c.want)
		var j struct{ Margins []margin }
		if err := json.Unmarshal([]byte(asked(t, st, "--json").out), &j); err != nil || len(j.Margins) != 1 || !strings.HasSuffix(j.Margins[0].String(), c.want) {
			t.Errorf("%+v, %v", j, err)
		}
	}
}

// A voter that is linked and acknowledges nothing is not one that can be counted on, whoever
// says so: the member that has no room, or the leader that does not hear it.
func TestStatusCountsWhoCanBeCountedOn(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(st *vaultd.Status)
		want string
	}{
		{"no room", func(st *vaultd.Status) { st.Members[2].Report.NoRoom = []uint32{0} },
			"3 of 4 voters can be counted on (member 3 has no room for its log), 3 needed: ONE MORE LOSS STOPS SERVICE"},
		{"no room in another group", func(st *vaultd.Status) { st.Members[2].Report.NoRoom = []uint32{1} }, "4 of 4 voters up, 3 needed: 1 more can be lost"},
		{"a learner", func(st *vaultd.Status) { st.Members[4].Report.NoRoom = []uint32{0} }, "4 of 4 voters up, 3 needed: 1 more can be lost"},
		{"the one that is asked", func(st *vaultd.Status) { st.Members[0].Report.NoRoom = []uint32{0} }, "(member 1 has no room for its log)"},
		{"behind", func(st *vaultd.Status) {
			st.Members[1].Report.Lacking = []vaultd.Lacking{{Group: 0, Member: 3, Why: "is 2000 entries behind"}, {Group: 1, Member: 4, Why: "is not heard of"}}
		}, "3 of 4 voters can be counted on (member 3 is 2000 entries behind), 3 needed: ONE MORE LOSS STOPS SERVICE"},
		{"two", func(st *vaultd.Status) {
			st.Members[1].Report.Lacking = []vaultd.Lacking{{Group: 0, Member: 3, Why: "is not heard of"}}
			st.Members[3].Report.NoRoom = []uint32{0}
		}, "2 of 4 voters can be counted on (member 3 is not heard of; member 4 has no room for its log), 3 needed: NOTHING IS SERVED"},
		{"down", func(st *vaultd.Status) {
			st.Members[2].Link, st.Members[2].Report = "down", nil
			st.Members[1].Report.Lacking = []vaultd.Lacking{{Group: 0, Member: 3, Why: "is not heard of"}}
		}, "3 of 4 voters up, 3 needed: ONE MORE LOSS STOPS SERVICE"},
	} {
		st := paperFleet(4)
		st.Roster.Tolerate = 1
		c.edit(st)
		if r := asked(t, st); !strings.Contains(r.out, c.want) {
			t.Errorf("%s: no %q in\n%s", c.name, c.want, r.out)
		}
	}
}

// The table has a line for each member, also for one that does not answer, and nothing in it
// makes a terminal do anything.
func TestStatusTable(t *testing.T) {
	r := asked(t, paperFleet(3, 2)).wants(t, command.Done, "1*", "DOWN since 2026-11-22T12:00:00Z: refused?[2J", "data center", "lag")
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("printed: %q", r.out)
	}
	_, table, _ := strings.Cut(r.out, "\n\n")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), table)
	}
	for i, want := range []string{"", " 91       3 ", " - ", " 93       1 ", " 94       0 "} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("no %q in %q", want, lines[i])
		}
	}
	halted := paperFleet(3)
	halted.Halted = "no disk"
	asked(t, halted).wants(t, exitHalted, "no disk", "hint: restart")
	lost := paperFleet(3)
	lost.Time = "1970-01-01T00:00:00Z" // of a member that has heard no majority since its start
	if r := asked(t, lost).wants(t, command.Done, "time          not known yet"); strings.Contains(r.out, "1970") {
		t.Errorf("a time that nobody has:\n%s", r.out)
	}
	draining := paperFleet(3)
	draining.Draining, draining.Problems = true, []string{"clock is off"}
	asked(t, draining).wants(t, command.Done, "NO: draining", "PROBLEM       clock is off")
}

// threeGroups is what member 1 says of a fleet of three groups: 0 is everybody's, 1 is on
// members 1 to 3, of whom 3 is a learner that is behind, and 2 is on 2 and 3, which is a learner and does
// not say how it stands. Of a group 3 it does not say where it is, as an older program.
func threeGroups() *vaultd.Status {
	st := paperFleet(2)
	st.Roster.Groups = 4
	st.Groups = append(st.Groups, vaultd.GroupStatus{Group: 1, Members: []vaultd.GroupMember{{Number: 1}, {Number: 2}, {Number: 3, Learner: true}}})
	in := func(member int, g vaultd.MemberGroup) {
		st.Members[member-1].Groups = append(st.Members[member-1].Groups, g)
	}
	for n := 1; n <= 3; n++ {
		st.Members[n-1].Groups = []vaultd.MemberGroup{{Role: "follower", Term: 2, Applied: 90, Lag: new(uint64)}}
	}
	in(1, vaultd.MemberGroup{Group: 1, Role: "leader", Term: 7, Applied: 5000, Lag: new(uint64)})
	in(2, vaultd.MemberGroup{Group: 1, Role: "follower", Term: 7, Applied: 4999, Lag: new(uint64(1))})
	in(3, vaultd.MemberGroup{Group: 1, Learner: true, Role: "learner", Term: 7, Applied: 3800, Lag: new(uint64(1200))})
	in(2, vaultd.MemberGroup{Group: 2, Role: "leader", Term: 4, Applied: 60, Lag: new(uint64)})
	in(3, vaultd.MemberGroup{Group: 2, Learner: true})
	return st
}

// Who moves a group sees how far its members are, at whichever member he asks: the worst of each
// group at once, and all of one with --group.
func TestStatusOfGroups(t *testing.T) {
	st := threeGroups()
	asked(t, st).wants(t, command.Done, "group 0       2 of 2 voters up, 2 needed: no loss is survived; secret 0; lag 0\n",
		"group 1       2 of 2 voters up, 2 needed: no loss is survived; secret 0; lag 1200 (member 3)\n",
		"group 2       1 of 1 voters up, 1 needed: no loss is survived; lag 0; not known how far: member 3\n", "\nin group 0:\n")
	for group, want := range map[string][]string{
		"1": {"in group 1:", "leader    7     5000     0 ", "follower  7     4999     1 ", "learner   7     3800     1200 "},
		"2": {"in group 2:", "leader   4     60       0 ", "learner  -     -        -    - "},
	} {
		r := asked(t, st, "--group", group).wants(t, command.Done, want...)
		_, table, _ := strings.Cut(r.out, "link\n")
		if lines := strings.Count(table, "\n"); lines != len(want)-1 {
			t.Errorf("group %s: %d members in\n%s", group, lines, r.out)
		}
	}
	asked(t, st, "--group", "4").wants(t, command.Misused, "no such group", "hint: the groups of this fleet are 0 to 3")
	var j struct {
		Margins []margin
		Members []vaultd.MemberStatus
	}
	if err := json.Unmarshal([]byte(asked(t, st, "--json").out), &j); err != nil || len(j.Margins) != 3 || len(j.Members) != 3 {
		t.Fatalf("%+v, %v", j, err)
	}
	if m := j.Margins[1]; m.Lag == nil || *m.Lag != 1200 || m.Behind != 3 {
		t.Errorf("group 1: %+v", m)
	}
	if g := j.Members[2].Groups; len(g) != 3 || *g[1].Lag != 1200 || g[2].Lag != nil {
		t.Errorf("member 3: %+v", g)
	}
}

// An order that finds no leader, or no quorum, says so; each answer has its exit code.
func TestOrders(t *testing.T) {
	code, body := http.StatusNoContent, ""
	st := paperFleet(3)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			json.NewEncoder(w).Encode(st)
			return
		}
		http.Error(w, body, code)
	}))
	defer admin.Close()
	address := "--admin=" + strings.TrimPrefix(admin.URL, "http://")
	vault(t, "transfer", address).wants(t, exitNoQuorum, "knows no leader", "hint: wait until")
	st.Replica.Leader = 2
	vault(t, "transfer", address).wants(t, command.Failed, "leads nothing", "ask the leader, which is member 2")
	vault(t, "drain", address).wants(t, command.Done, "drained")
	st.Groups[0].Replica.Role = "leader"
	vault(t, "transfer", address, "--to", "2").wants(t, command.Done, "given away")
	code, body = http.StatusServiceUnavailable, "no quorum"
	vault(t, "transfer", address).wants(t, exitNoQuorum, "no quorum", "hint: see: vaultd status")
	code, body = http.StatusConflict, "member 2 is not heard of"
	vault(t, "transfer", address, "--to", "2").wants(t, exitRefused, "member 2 is not heard of", "hint: see: vaultd status")
	code, body = http.StatusGatewayTimeout, "nobody took it in time"
	vault(t, "transfer", address, "--to", "2").wants(t, command.Failed, "nobody took it in time", "hint: nothing is lost")
	code, body = http.StatusInternalServerError, "no quorum"
	vault(t, "drain", address).wants(t, command.Failed, "no quorum")
}

// What the leader alone refuses has a hint of its own, by what was to be changed.
func TestRefusedByTheLeader(t *testing.T) {
	body := (&roster.Refusal{Code: vaultd.Behind, Reason: "group 1 needs member 2"}).Error()
	for kind, want := range map[roster.Kind]string{roster.Promote: "wait until vaultd status shows the member active", roster.Remove: "demote member 2 first"} {
		err := new(app).refusedChange(t.Context(), "", &roster.Change{Kind: kind, Member: roster.Member{Number: 2}}, nil, body)
		if f, ok := errors.AsType[*command.Failure](err); !ok || !strings.HasPrefix(f.Hint, want) {
			t.Errorf("%v: %+v", kind, err)
		}
	}
}
