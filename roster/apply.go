package roster

import (
	"crypto/sha256"
	"slices"
)

// Apply makes a signed change, if all of spec/replication.md §15.4 holds, and
// returns it; it shares memory with the roster. Otherwise the error is a *[Refusal], and nothing is changed. Equal
// rosters decide alike, in every version of the program.
func (r *Roster) Apply(s *Signed) (*Change, error) {
	c, err := ParseChange(s.Text)
	if err != nil {
		return nil, refuse(NotAChange, "make the change with the vaultd of the fleet's version", "%v", err)
	}
	if err := r.expects(c, s); err != nil {
		return nil, err
	}
	if err := r.authorised(c, s); err != nil {
		return nil, err
	}
	next := r.Clone()
	if err := next.change(c); err != nil {
		return nil, err
	}
	next.Serial, next.Last = c.Serial, sha256.Sum256([]byte(s.Text))
	if err := next.Check(); err != nil {
		return nil, err
	}
	*r = *next
	return c, nil
}

// expects refuses what was signed for another fleet, or for another moment.
func (r *Roster) expects(c *Change, s *Signed) error {
	switch {
	case c.Fleet != r.Fleet:
		return refuse(Foreign, "sign the change for this fleet", "it is for the fleet %x, this is %x", c.Fleet, r.Fleet)
	case c.Serial == r.Serial && r.Last == sha256.Sum256([]byte(s.Text)):
		return refuse(Repeated, "", "change %d is this one: it was made", c.Serial)
	case c.Serial != r.Serial+1:
		return refuse(Serial, "look at what was changed meanwhile, then make and sign it again",
			"it is change %d, the next is %d", c.Serial, r.Serial+1)
	}
	return nil
}

// authorised refuses what too few operators signed. The new operators' quorum signs
// their list as well: with a mistyped key among them nobody could change anything
// ever again, since there is no other way.
func (r *Roster) authorised(c *Change, s *Signed) error {
	if !s.inOrder() || len(s.Signatures) > MaxSignatures {
		return refuse(NotAChange, "", "signatures out of order, or more than %d", MaxSignatures)
	}
	var now, then int
	for _, g := range s.Signatures {
		isNow, isThen := operates(r.Operators, g.Key), operates(c.Operators, g.Key)
		switch {
		case !isNow && !isThen:
			return refuse(Stranger, "leave that signature out", "it is signed with %x, which is no operator's key", g.Key)
		case !g.holds(s.Text):
			return refuse(Forged, "leave that signature out", "the signature by %x does not hold for this text", g.Key)
		}
		now, then = now+count(isNow), then+count(isThen)
	}
	switch {
	case now < int(r.Quorum):
		return refuse(TooFew, "let more operators sign the same text", "%d of %d operators signed, %d must", now, len(r.Operators), r.Quorum)
	case c.Kind == SetOperators && then < int(c.Quorum):
		return refuse(TooFew, "let the new operators sign the same text, to show that they have their keys",
			"%d of the %d new operators signed, %d must", then, len(c.Operators), c.Quorum)
	}
	return nil
}

func operates(all []Operator, key [32]byte) bool {
	return slices.ContainsFunc(all, func(o Operator) bool { return o.Key == key })
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// change does what the change says. What it says of the members of a group is left
// to Check, where it holds of founders' rosters too.
func (r *Roster) change(c *Change) error {
	switch c.Kind {
	case Add:
		return r.add(c)
	case Promote, Demote:
		return r.setRole(c, c.Kind == Demote)
	case Remove:
		return r.remove(c)
	case SetAddress:
		return r.setAddress(c)
	case SetPolicy:
		return r.setPolicy(c.Policy)
	case SetMinVersion:
		return raise(&r.MinVersion, c.MinVersion, "minimum version")
	case SetTolerate:
		return raise(&r.Tolerate, c.Tolerate, "number of tolerated rollbacks")
	case Void:
		return nil
	}
	if r.Quorum == c.Quorum && slices.Equal(r.Operators, c.Operators) {
		return unchanged()
	}
	r.Operators, r.Quorum = c.Operators, c.Quorum
	return nil
}

func unchanged() error { return refuse(Unchanged, "", "that is so already") }

func absent(number uint64, group uint32) error {
	return refuse(Absent, "", "group %d has no member %d", group, number)
}

// add adds a machine to the fleet, or one of the fleet's to another group.
func (r *Roster) add(c *Change) error {
	n := c.Member.Number
	if c.Group == 0 {
		if n != r.Highest+1 {
			return refuse(Taken, "numbers are given in order and never again", "the next member is number %d, not %d", r.Highest+1, n)
		}
		r.Members, r.Highest = append(r.Members, c.Member), n
		return nil
	}
	p, err := r.settle(c.Group)
	if err != nil {
		return err
	}
	at, found := p.find(n)
	switch {
	case r.member(n) == nil:
		return absent(n, 0)
	case found:
		return unchanged()
	case slices.Contains(p.Left, n):
		return refuse(Taken, "let the machine join the fleet anew, under a new number",
			"member %d was in group %d before: what it promised there under this number may be lost", n, c.Group)
	}
	p.Members = slices.Insert(p.Members, at, Placed{n, true})
	return nil
}

// setRole makes a voter a learner, or the other way round.
func (r *Roster) setRole(c *Change, learner bool) error {
	role, err := r.role(c.Group, c.Member.Number)
	if err != nil {
		return err
	}
	if *role == learner {
		return unchanged()
	}
	*role = learner
	return nil
}

// role is where it says whether a member of a group is a learner.
func (r *Roster) role(group uint32, number uint64) (*bool, error) {
	if group == 0 {
		if m := r.member(number); m != nil {
			return &m.Learner, nil
		}
		return nil, absent(number, group)
	}
	p, err := r.settle(group)
	if err != nil {
		return nil, err
	}
	if i, found := p.find(number); found {
		return &p.Members[i].Learner, nil
	}
	return nil, absent(number, group)
}

// remove takes a member out of a group, or out of the fleet.
func (r *Roster) remove(c *Change) error {
	n := c.Member.Number
	if _, err := r.role(c.Group, n); err != nil {
		return err
	}
	if c.Group != 0 {
		p := r.place(c.Group)
		i, _ := p.find(n)
		p.Members, p.Left = slices.Delete(p.Members, i, i+1), append(p.Left, n)
		slices.Sort(p.Left)
		return nil
	}
	for i := range r.Placement {
		p := &r.Placement[i]
		if _, found := p.find(n); found {
			return refuse(Serving, "remove it from that group first", "member %d is still in group %d", n, p.Group)
		}
		p.Left = slices.DeleteFunc(p.Left, func(l uint64) bool { return l == n })
	}
	r.Members = slices.DeleteFunc(r.Members, func(m Member) bool { return m.Number == n })
	return nil
}

// settle returns the place of a group. One that has followed the root group until
// now gets what it has as its own.
func (r *Roster) settle(group uint32) (*Place, error) {
	if group == 0 || group >= r.Groups {
		return nil, refuse(Absent, "", "there is no group %d: the fleet has %d", group, r.Groups)
	}
	if p := r.place(group); p != nil {
		return p, nil
	}
	p := Place{Group: group}
	for _, m := range r.Members {
		p.Members = append(p.Members, Placed{m.Number, m.Learner})
	}
	at, _ := slices.BinarySearchFunc(r.Placement, group, func(p Place, g uint32) int { return int(p.Group) - int(g) })
	r.Placement = slices.Insert(r.Placement, at, p)
	return &r.Placement[at], nil
}

// find is where a member is, or would be.
func (p *Place) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(p.Members, number, func(m Placed, n uint64) int {
		if m.Number < n {
			return -1
		}
		return count(m.Number > n)
	})
}

func (r *Roster) setAddress(c *Change) error {
	m := r.member(c.Member.Number)
	switch {
	case m == nil:
		return absent(c.Member.Number, 0)
	case m.Address == c.Member.Address:
		return unchanged()
	}
	m.Address = c.Member.Address
	return nil
}

// raise sets a number that only grows.
func raise[T uint8 | uint32](field *T, to T, name string) error {
	switch {
	case to < *field:
		return refuse(Weaker, "", "the %s is %d and only grows", name, *field)
	case to == *field:
		return unchanged()
	}
	*field = to
	return nil
}
