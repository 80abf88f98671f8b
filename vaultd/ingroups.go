package vaultd

import (
	"slices"

	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// GroupReport is what a member says of its replica of one group.
type GroupReport struct {
	Group   uint32 `json:"group"`
	Role    string `json:"role"`
	Term    uint64 `json:"term"`
	Applied uint64 `json:"applied"`
	Counter uint64 `json:"anchor_counter"`
	Serial  uint64 `json:"roster_serial"` // of the changes of the fleet that it has applied; 0 without state
}

// MemberGroup is how a machine stands in one group that the roster places on it.
type MemberGroup struct {
	Group   uint32 `json:"group"`
	Learner bool   `json:"learner"`
	// What the machine says of its replica; no role where it does not answer, or has not
	// joined the group.
	Role    string `json:"role,omitempty"`
	Term    uint64 `json:"term,omitempty"`
	Applied uint64 `json:"applied,omitempty"`
	Counter uint64 `json:"anchor_counter,omitempty"`
	// Lag is how many entries others have applied and this machine has not; null where it does
	// not say, or where the group's leader does not: then nobody knows what there is.
	Lag *uint64 `json:"lag"`
}

// reportGroups is what this machine says of its groups.
func (s *Server) reportGroups() (list []GroupReport) {
	for _, g := range s.groups.list() {
		st := g.replica.Status()
		is := GroupReport{Group: g.number, Role: st.Role, Term: st.Term, Applied: st.Applied, Counter: st.Batch}
		if r := g.roster(); r != nil {
			is.Serial = r.Serial
		}
		list = append(list, is)
	}
	return list
}

// inGroups fills in how the members stand in each of their groups, from what they say.
func inGroups(r *roster.Roster, list []MemberStatus) {
	for number := range r.Groups {
		says, furthest, led := map[uint64]GroupReport{}, uint64(0), false
		for _, m := range list {
			if g, ok := m.Report.in(number); ok {
				says[m.Number] = g
				furthest, led = max(furthest, g.Applied), led || g.Role == "leader"
			}
		}
		for _, member := range r.In(number) {
			i := slices.IndexFunc(list, func(m MemberStatus) bool { return m.Number == member.Number })
			if i < 0 {
				continue
			}
			is := MemberGroup{Group: number, Learner: member.Learner}
			if g, ok := says[member.Number]; ok {
				is.Role, is.Term, is.Applied, is.Counter = g.Role, g.Term, g.Applied, g.Counter
				if led {
					is.Lag = new(furthest - g.Applied)
				}
			}
			list[i].Groups = append(list[i].Groups, is)
		}
	}
}

// in is what a report says of a group. One of an older program says of the root group alone.
func (r *Report) in(number uint32) (GroupReport, bool) {
	if r == nil {
		return GroupReport{}, false
	}
	if len(r.Groups) == 0 && number == machine.Root {
		return GroupReport{Group: machine.Root, Role: r.Role, Term: r.Term, Applied: r.Applied, Counter: r.Counter}, true
	}
	i := slices.IndexFunc(r.Groups, func(g GroupReport) bool { return g.Group == number })
	if i < 0 {
		return GroupReport{}, false
	}
	return r.Groups[i], true
}
