package roster

import (
	"fmt"
	"slices"
)

// Check refuses with a *[Refusal] a roster that no founder and no sequence of
// changes may lead to. Apply ends with it, Decode ends with it, and founders call it.
func (r *Roster) Check() error {
	switch {
	case r.Groups < 1 || r.Groups > MaxGroups || r.Groups&(r.Groups-1) != 0:
		return refuse(OutOfRange, "", "%d groups, must be a power of two up to %d", r.Groups, MaxGroups)
	case r.Serial == 0 && r.Last != [32]byte{}:
		return refuse(OutOfRange, "", "a last change before the first")
	case r.Hardened() && r.Hardening[0]&^1 != 2: // the rest the device compares
		return refuse(OutOfRange, "", "a public key of the second suite that is not compressed")
	case r.Highest > MaxNumber:
		return refuse(OutOfRange, "", "a member number over %d", uint64(MaxNumber))
	case len(r.Members) > MaxMembers:
		return refuse(Full, "remove one that is gone", "%d members, at most %d", len(r.Members), MaxMembers)
	}
	if err := checkOperators(r.Operators, r.Quorum); err != nil {
		return refuse(OutOfRange, "", "%v", err)
	}
	if err := r.Policy.check(); err != nil {
		return refuse(OutOfRange, "", "%v", err)
	}
	if err := r.checkMembers(); err != nil {
		return err
	}
	return r.checkGroups()
}

// checkMembers: each in its range, in order, and none in the place of another. An
// operator's key is no machine's: who has one has not the other.
func (r *Roster) checkMembers() error {
	taken := map[any]bool{}
	for _, o := range r.Operators {
		taken[o.Key] = true
	}
	var last uint64
	for i := range r.Members {
		m := &r.Members[i]
		if err := m.check(); err != nil {
			return refuse(OutOfRange, "", "%v", err)
		}
		if m.Number <= last || m.Number > r.Highest {
			return refuse(OutOfRange, "", "member %d out of order, or over the highest number %d", m.Number, r.Highest)
		}
		last = m.Number
		for _, v := range []any{"name " + m.Name, "address " + m.Address, m.Identity, string(m.Sealing)} {
			if taken[v] {
				return refuse(Taken, "names, addresses and keys are of one machine each",
					"member %d (%s, %s) has a name, an address or a key that is in use", m.Number, m.Name, m.Address)
			}
			taken[v] = true
		}
	}
	return nil
}

func (r *Roster) checkGroups() error {
	if err := r.checkVoters(0); err != nil {
		return err
	}
	var last uint32
	for i := range r.Placement {
		p := &r.Placement[i]
		if p.Group <= last || p.Group >= r.Groups {
			return refuse(OutOfRange, "", "place of group %d out of order, or of no group", p.Group)
		}
		last = p.Group
		if err := r.checkPlace(p); err != nil {
			return err
		}
		if err := r.checkVoters(p.Group); err != nil {
			return err
		}
	}
	return nil
}

// checkPlace: its members are of the fleet, each once, and none has left.
func (r *Roster) checkPlace(p *Place) error {
	var had []uint64
	for i, m := range p.Members {
		if i > 0 && p.Members[i-1].Number >= m.Number {
			return refuse(OutOfRange, "", "group %d: members out of order", p.Group)
		}
		had = append(had, m.Number)
	}
	for i, n := range p.Left {
		if i > 0 && p.Left[i-1] >= n || slices.Contains(had, n) {
			return refuse(OutOfRange, "", "group %d: member %d left, and is there", p.Group, n)
		}
	}
	for _, n := range append(had, p.Left...) {
		if r.member(n) == nil {
			return absent(n, 0)
		}
	}
	return nil
}

// checkVoters: there are enough for what the fleet tolerates, with one down.
func (r *Roster) checkVoters(group uint32) error {
	voters := 0
	for _, m := range r.In(group) {
		voters += count(!m.Learner)
	}
	switch {
	case voters < 1:
		return refuse(Voters, "promote another member first", "group %d would have no voter", group)
	case voters > MaxVoters:
		return refuse(Voters, "demote or remove a voter first", "group %d would have %d voters, at most %d", group, voters, MaxVoters)
	case r.Tolerate > 0 && Needed(voters, int(r.Tolerate)) >= voters:
		return refuse(Voters, "promote another member first",
			"with %d voters group %d could not tolerate %d rollbacks and go on without one of them", voters, group, r.Tolerate)
	}
	return nil
}

// Needed is how many of n voters must agree to a commit or an election if r of them
// may have lost what they acknowledged (spec/replication.md §12). It can be more
// than n.
func Needed(n, r int) int {
	majority := n/2 + 1
	return max(majority, n-majority+r+1)
}

// String returns the serial and two counts, for logs.
func (r *Roster) String() string {
	return fmt.Sprintf("roster %d: %d members, %d of %d operators sign", r.Serial, len(r.Members), r.Quorum, len(r.Operators))
}
