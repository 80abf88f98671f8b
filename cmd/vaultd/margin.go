package main

import (
	"fmt"
	"slices"
	"strings"

	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

// margin is how many voters a group can still lose, as seen from the member that was asked.
type margin struct {
	Group  uint32 `json:"group"`
	Voters int    `json:"voters"`
	Up     int    `json:"voters_up"` // those that can be counted on: linked, heard by the leader, not behind, with room
	Needed int    `json:"voters_needed"`
	// Lacking are the voters that are linked and cannot be counted on, and why.
	Lacking []string `json:"voters_lacking,omitempty"`
	// Lag is the most entries that a member is behind, learners too, and Behind that member;
	// null where none of them says. Silent are the members of which nobody knows how far they are.
	Lag    *uint64  `json:"lag"`
	Behind uint64   `json:"behind,omitempty"`
	Silent []uint64 `json:"silent,omitempty"`

	secret *vaultd.SecretStatus // nil of a group that is not on the machine that was asked
}

// marginsOf are those of all groups, also of those that are not on the machine that was asked.
func marginsOf(st *vaultd.Status) []margin {
	list := []margin{}
	for number := range max(1, st.Roster.Groups) {
		i := slices.IndexFunc(st.Groups, func(g vaultd.GroupStatus) bool { return g.Group == number })
		g := vaultd.GroupStatus{Group: number, Members: placed(st.Members, number)}
		if i >= 0 {
			g = st.Groups[i]
		}
		if len(g.Members) == 0 {
			continue
		}
		m := marginOf(st, g)
		if i >= 0 {
			m.secret = &g.Secret
		}
		m.look(st.Members)
		list = append(list, m)
	}
	return list
}

// placed are the members of a group as the roster has them.
func placed(members []vaultd.MemberStatus, group uint32) (list []vaultd.GroupMember) {
	for _, m := range members {
		for _, g := range m.Groups {
			if g.Group == group {
				list = append(list, vaultd.GroupMember{Number: m.Number, Learner: g.Learner})
			}
		}
	}
	return list
}

// look finds who is furthest behind.
func (m *margin) look(members []vaultd.MemberStatus) {
	for _, member := range members {
		for _, g := range member.Groups {
			switch {
			case g.Group != m.Group:
			case g.Lag == nil:
				m.Silent = append(m.Silent, member.Number)
			case m.Lag == nil || *g.Lag > *m.Lag:
				m.Lag, m.Behind = g.Lag, member.Number
			}
		}
	}
	if m.Lag != nil && *m.Lag == 0 {
		m.Behind = 0
	}
}

func marginOf(st *vaultd.Status, g vaultd.GroupStatus) margin {
	up, lacks := map[uint64]bool{}, lacking(st.Members, g.Group)
	for _, m := range st.Members {
		up[m.Number] = m.Link != "down"
	}
	m := margin{Group: g.Group}
	for _, member := range g.Members {
		if member.Learner {
			continue
		}
		m.Voters++
		switch why := lacks[member.Number]; {
		case !up[member.Number]:
		case why != "":
			m.Lacking = append(m.Lacking, fmt.Sprintf("member %d %s", member.Number, why))
		default:
			m.Up++
		}
	}
	m.Needed = roster.Needed(m.Voters, int(st.Roster.Tolerate))
	return m
}

// lacking says which members of a group cannot be counted on though they may be linked, and
// why: by what they say of themselves, and by what the leader says of them.
func lacking(members []vaultd.MemberStatus, group uint32) map[uint64]string {
	why := map[uint64]string{}
	for _, m := range members {
		if m.Report == nil {
			continue
		}
		for _, l := range m.Report.Lacking {
			if l.Group == group {
				why[l.Member] = l.Why
			}
		}
	}
	for _, m := range members {
		if m.Report != nil && slices.Contains(m.Report.NoRoom, group) {
			why[m.Number] = "has no room for its log"
		}
	}
	return why
}

func (m margin) String() string {
	text := fmt.Sprintf("%d of %d voters up, %d needed", m.Up, m.Voters, m.Needed)
	if len(m.Lacking) > 0 {
		text = fmt.Sprintf("%d of %d voters can be counted on (%s), %d needed", m.Up, m.Voters, strings.Join(m.Lacking, "; "), m.Needed)
	}
	switch {
	case m.Up < m.Needed:
		return text + ": NOTHING IS SERVED"
	case m.Up == m.Needed && m.Voters > m.Needed:
		return text + ": ONE MORE LOSS STOPS SERVICE"
	case m.Up == m.Needed:
		return text + ": no loss is survived"
	}
	return fmt.Sprintf("%s: %d more can be lost", text, m.Up-m.Needed)
}

// line is all that is told of a group.
func (m margin) line() string {
	parts := []string{m.String()}
	if m.secret != nil {
		parts = append(parts, secretText(*m.secret))
	}
	switch {
	case m.Behind != 0:
		parts = append(parts, fmt.Sprintf("lag %d (member %d)", *m.Lag, m.Behind))
	case m.Lag != nil:
		parts = append(parts, "lag 0")
	}
	if len(m.Silent) > 0 {
		parts = append(parts, "not known how far: member "+strings.ReplaceAll(strings.Trim(fmt.Sprint(m.Silent), "[]"), " ", ", "))
	}
	return strings.Join(parts, "; ")
}
