package outage_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// Four groups on five machines, of which the fifth has group 0 alone. Under load the other groups move to it,
// as doc/vaultd.md says, and something fails in each step of each move. What was acknowledged
// stays, as in TestOutages, and each group ends where the operators have put it.
func TestGroupsMove(t *testing.T) {
	if !mounttest.Networks(t, environment()...) {
		return
	}
	s := newGroups(t, 4)
	l := startLoad(t, s)
	for _, m := range moves {
		if t.Run(m.name, func(t *testing.T) { m.happen(t, s) }); t.Failed() {
			break
		}
		s.awaitPlaced(t)
		l.back(t, time.Now())
	}
	l.finish()
}

var moves = []struct {
	name   string
	happen func(t *testing.T, s *system)
}{
	{"the newcomer is killed while it catches up", newcomerKilled},
	{"the leader is killed in each step", leadersKilled},
	{"the leader is cut off in each step", leadersCutOff},
}

const newcomer = 5

// newGroups founds a fleet of several groups, all but group 0 on the first three machines.
func newGroups(t *testing.T, groups int) *system {
	t.Helper()
	s := foundSystem(t, programs, "--groups", strconv.Itoa(groups))
	for _, site := range s.sites[1:] {
		s.prepare(t, site, "--join", s.fleet)
		s.enter(t, site)
		s.decide(t, 1, "promote", strconv.Itoa(site.n))
		for group := 1; group < groups && site.n == newcomer-1; group++ {
			s.decide(t, 1, "remove", strconv.Itoa(site.n), "--group", strconv.Itoa(group)) // which gives the group a place of its own
		}
	}
	for _, site := range s.sites[:2] {
		s.startChat(t, site)
	}
	s.awaitPlaced(t)
	return s
}

// placing is what the tests read of where a vaultd has groups.
type placing struct {
	Roster   struct{ Serial uint64 }
	Problems []string
	Members  []struct {
		Number uint64
		Groups []struct {
			Group   int
			Learner bool
			Lag     *uint64
		}
	}
	Groups []struct {
		Group   int
		Serial  uint64 `json:"roster_serial"`
		Replica struct {
			Role            string
			Leader, Applied uint64
		}
	}
}

func (s *system) placing(n int) (st placing, ok bool) {
	code, body := s.vaults[n-1].look("/status")
	return st, code == 200 && json.Unmarshal(body, &st) == nil
}

// awaitPlaced waits until every machine has the groups that the roster places on it and no
// others, all at the same change and with a leader, and has nothing to complain of.
func (s *system) awaitPlaced(t *testing.T) {
	t.Helper()
	why := ""
	defer func() {
		if t.Failed() {
			t.Log(why)
		}
	}()
	await(t, "every group to be where it was put", func() bool {
		serial := uint64(0)
		for n := 1; n <= len(s.vaults); n++ {
			st, ok := s.placing(n)
			if n == 1 {
				serial = st.Roster.Serial
			}
			if why = st.misplaced(n, serial); !ok || why != "" {
				return false
			}
		}
		return true
	})
}

// misplaced says what is not as it should be at a machine, "" for nothing.
func (st *placing) misplaced(n int, serial uint64) string {
	var has, should []int
	for _, g := range st.Groups {
		if has = append(has, g.Group); g.Serial != serial || g.Replica.Leader == 0 {
			return fmt.Sprintf("machine %d, group %d: at change %d of %d, led by %d", n, g.Group, g.Serial, serial, g.Replica.Leader)
		}
	}
	for _, m := range st.Members {
		for _, g := range m.Groups {
			if m.Number == uint64(n) {
				should = append(should, g.Group)
			}
		}
	}
	if !slices.Equal(has, should) || len(st.Problems) > 0 {
		return fmt.Sprintf("machine %d has groups %v, and should have %v; problems: %q", n, has, should, st.Problems)
	}
	return ""
}

// awaitNoLag waits until the operator sees that the newcomer lacks nothing in a group.
func (s *system) awaitNoLag(t *testing.T, group, at int) {
	t.Helper()
	v := s.vaults[at-1]
	row := func(text string) (lag string) {
		_, table, _ := strings.Cut(text, fmt.Sprintf("in group %d:\n", group))
		for line := range strings.Lines(table) {
			if f := strings.Fields(line); len(f) > 6 && f[0] == strconv.Itoa(newcomer) {
				return f[6]
			}
		}
		return ""
	}
	await(t, fmt.Sprintf("member %d to have no lag in group %d", newcomer, group), func() bool {
		text, _ := v.site.try(t, "vaultd", "status", "--group", strconv.Itoa(group), "--config", v.config)
		return row(text) == "0"
	})
}

// awaitUse waits until more is committed in a group: it is served.
func (s *system) awaitUse(t *testing.T, group int) {
	t.Helper()
	from := s.applied(group)
	await(t, fmt.Sprintf("group %d to be used", group), func() bool { return s.applied(group) > from+5 })
}

// applied is the last entry of a group that any machine has applied.
func (s *system) applied(group int) (most uint64) {
	for n := range s.vaults {
		most = max(most, s.number(n+1, "vaultd_group_applied_index", group))
	}
	return most
}

// The newcomer has its welcome, and is parted from the others before it has the state. Then it is killed.
// It goes on where it was, and leads in the end: the others leave.
func newcomerKilled(t *testing.T, s *system) {
	const group = 1
	v := s.vaults[newcomer-1]
	s.decide(t, 1, "place", "5", "--group", "1")
	joined := fmt.Sprintf(`"msg":"joined a group","group":%d`, group)
	for end := time.Now().Add(patience); !strings.Contains(v.log.String(), joined); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not joined:\n%s", tail(v.log.String()))
		}
	}
	s.wide.part([]int{newcomer}, others(newcomer))
	st, _ := s.placing(newcomer)
	for _, g := range st.Groups {
		t.Logf("the newcomer in group %d: %s, applied %d", g.Group, g.Replica.Role, g.Replica.Applied)
		if g.Group == group && g.Replica.Role != "empty" {
			t.Error("it was not killed while it caught up")
		}
	}
	v.kill(t)
	v.run(t)
	s.wide.heal()
	s.awaitNoLag(t, group, 4)
	s.decide(t, 4, "promote", "5", "--group", "1")
	s.decide(t, 4, "remove", "1", "--group", "1")
	v.kill(t)
	v.run(t)
	s.awaitUse(t, group)
	s.decide(t, 4, "remove", "2", "--group", "1")
	s.awaitUse(t, group)
}

// Whoever leads the group is killed when the root has decided a step: the next one brings it to
// the group. At last it is the leader itself that leaves, and hears of it when it is back.
func leadersKilled(t *testing.T, s *system) {
	const group = 2
	has := []int{1, 2, 3}
	step := func(leader int, change ...string) {
		s.decide(t, 4, append(change, "--group", "2")...)
		s.vaults[leader-1].kill(t)
		s.groupLeader(t, group, without(has, leader)...)
		s.vaults[leader-1].run(t)
		s.awaitUse(t, group)
	}
	step(s.groupLeader(t, group, has...), "place", "5")
	s.awaitNoLag(t, group, 4)
	step(s.groupLeader(t, group, has...), "promote", "5")
	has = append(has, newcomer)
	leaving := s.groupLeader(t, group, has...)
	step(leaving, "remove", strconv.Itoa(leaving))
}

// Whoever leads the group is cut off from all others when a step is decided, and comes back.
func leadersCutOff(t *testing.T, s *system) {
	const group = 3
	has := []int{1, 2, 3}
	step := func(change ...string) {
		leader := s.groupLeader(t, group, has...)
		s.decide(t, 4, append(change, "--group", "3")...)
		s.wide.part([]int{leader}, others(leader))
		s.groupLeader(t, group, without(has, leader)...)
		s.wide.heal()
		s.awaitUse(t, group)
	}
	step("place", "5")
	s.awaitNoLag(t, group, 4)
	step("promote", "5")
	has = append(has, newcomer)
	step("remove", "3")
}
