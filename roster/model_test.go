package roster_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"keepsake.example/roster"
)

// fleet is a roster, and what must be so of it in plain sets.
type fleet struct {
	*roster.Roster
	ever   map[uint64]bool            // machines that there ever were
	groups map[uint32]map[uint64]bool // who is in a group that has a place; true: a learner
	past   map[uint32]map[uint64]bool // who was, and is not
	first  roster.Policy
}

func newFleet(r *roster.Roster) *fleet {
	f := &fleet{Roster: r, ever: map[uint64]bool{}, groups: map[uint32]map[uint64]bool{0: {}}, past: map[uint32]map[uint64]bool{}, first: r.Clone().Policy}
	for _, m := range r.Members {
		f.ever[m.Number], f.groups[0][m.Number] = true, m.Learner
	}
	return f
}

// draw draws a change, which may be one that is refused.
func (f *fleet) draw(r *rapid.T) *roster.Change {
	c := f.Next(rapid.SampledFrom([]roster.Kind{
		roster.Add, roster.Add, roster.Promote, roster.Promote, roster.Demote, roster.Remove, roster.Remove, roster.SetAddress, roster.SetPolicy,
		roster.SetPolicy, roster.SetMinVersion, roster.SetTolerate, roster.SetOperators, roster.Void,
	}).Draw(r, "kind"))
	c.Serial += rapid.SampledFrom([]uint64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}).Draw(r, "ahead")
	switch c.Kind {
	case roster.Add, roster.Promote, roster.Demote, roster.Remove:
		c.Group = rapid.SampledFrom([]uint32{0, 0, 0, 1, 1, 3, 4}).Draw(r, "group")
	}
	c.Member.Number = f.drawMember(r, c)
	switch c.Kind {
	case roster.Add:
		if c.Group == 0 {
			c.Member = machine(c.Member.Number)
		}
	case roster.SetAddress:
		c.Member.Address = machine(rapid.Uint64Range(1, 20).Draw(r, "address")).Address
	case roster.SetPolicy:
		c.Policy = f.drawPolicy(r)
	case roster.SetMinVersion:
		c.MinVersion = rapid.Uint32Range(0, 5).Draw(r, "version")
	case roster.SetTolerate:
		c.Tolerate = rapid.Uint8Range(0, 3).Draw(r, "tolerate")
	case roster.SetOperators:
		c.Operators = operators(rapid.SampledFrom([][]string{{"alice", "bob", "carol"}, {"alice", "bob", "carol", "dave", "eve"}, {"alice"}, {"zoe"}}).Draw(r, "operators")...)
		c.Quorum = uint8(rapid.IntRange(1, len(c.Operators)).Draw(r, "quorum"))
	}
	return c
}

// drawMember draws one that the change may well be about, or any.
func (f *fleet) drawMember(r *rapid.T, c *roster.Change) uint64 {
	likely := f.In(c.Group)
	if c.Kind == roster.Add && c.Group == 0 {
		likely = []roster.Member{{Number: f.Highest + 1}}
	}
	if len(likely) == 0 || rapid.IntRange(0, 7).Draw(r, "any") == 0 {
		return rapid.Uint64Range(1, f.Highest+2).Draw(r, "member")
	}
	return rapid.SampledFrom(likely).Draw(r, "likely").Number
}

// drawSigners draws enough, or some.
func (f *fleet) drawSigners(r *rapid.T, c *roster.Change) []string {
	if rapid.IntRange(0, 7).Draw(r, "some") == 0 {
		return rapid.SampledFrom([][]string{{}, {"alice"}, {"alice", "bob", "carol"}, {"alice", "bob", "carol", "zoe"}}).Draw(r, "signers")
	}
	var names []string
	for _, o := range append(slices.Clone(f.Operators), c.Operators...) {
		names = append(names, o.Name)
	}
	return slices.Compact(sorted(names))
}

// drawPolicy draws one near the present, stricter, weaker or both.
func (f *fleet) drawPolicy(r *rapid.T) roster.Policy {
	p := f.Clone().Policy
	p.MaxAttempts = uint8(rapid.IntRange(1, min(int(p.MaxAttempts)+1, 10)).Draw(r, "m"))
	near := func(d uint64, name string) uint64 {
		return d + rapid.SampledFrom([]uint64{0, 0, hour, ^uint64(0)}).Draw(r, name)*min(1, d)
	}
	for len(p.Waits) < int(p.MaxAttempts)-1 {
		p.Waits = append(p.Waits, day)
	}
	p.Waits = p.Waits[:p.MaxAttempts-1]
	for i := range p.Waits {
		p.Waits[i] = near(p.Waits[i], "wait")
	}
	slices.Sort(p.Waits)
	p.CoolDown, p.Grace = near(p.CoolDown, "cool-down"), near(p.Grace, "grace")
	p.Insecure = rapid.IntRange(0, 9).Draw(r, "insecure") == 0
	return p
}

// follow does what an accepted change must have done to the sets.
func (f *fleet) follow(r *rapid.T, c *roster.Change) {
	n, g := c.Member.Number, c.Group
	if g != 0 && f.groups[g] == nil {
		f.groups[g], f.past[g] = map[uint64]bool{}, map[uint64]bool{}
		for m, learner := range f.groups[0] {
			f.groups[g][m] = learner
		}
	}
	was, there := f.groups[g][n]
	switch c.Kind {
	case roster.Add:
		if there || f.past[g][n] || g == 0 && f.ever[n] {
			r.Fatalf("member %d came to group %d a second time", n, g)
		}
		f.groups[g][n], f.ever[n] = true, true
	case roster.Promote, roster.Demote:
		if !there || was == (c.Kind == roster.Demote) {
			r.Fatalf("member %d of group %d was made what it was", n, g)
		}
		f.groups[g][n] = !was
	case roster.Remove:
		if !there {
			r.Fatalf("member %d of group %d was removed, and was not there", n, g)
		}
		delete(f.groups[g], n)
		if g != 0 {
			f.past[g][n] = true
		}
	}
}

// holds checks what must be so after every change.
func (f *fleet) holds(r *rapid.T, before *roster.Roster) {
	p, old := f.Policy, before.Policy
	for i := range p.Waits {
		if p.Waits[i] < old.Waits[i] || p.Waits[i] < f.first.Waits[i] {
			r.Fatalf("wait %d is shorter", i)
		}
	}
	if p.MaxAttempts > old.MaxAttempts || p.CoolDown < old.CoolDown || p.Grace > old.Grace || p.Insecure != f.first.Insecure {
		r.Fatalf("the policy got weaker: %+v, before %+v", p, old)
	}
	if f.MinVersion < before.MinVersion || f.Tolerate < before.Tolerate || f.Highest < before.Highest || f.Serial != before.Serial+1 {
		r.Fatalf("a number went down")
	}
	for g := range f.Groups {
		f.sees(r, before, g)
	}
}

// sees compares a group with the sets, and with what it was.
func (f *fleet) sees(r *rapid.T, before *roster.Roster, g uint32) {
	want, own := f.groups[g]
	if !own {
		want = f.groups[0]
	}
	var voters, changed int
	for _, m := range f.In(g) {
		learner, there := want[m.Number]
		if !there || learner != m.Learner {
			r.Fatalf("member %d of group %d: %v, want %v", m.Number, g, m.Learner, want)
		}
		if !m.Learner {
			voters++
		}
	}
	if len(f.In(g)) != len(want) || voters < 1 || voters > roster.MaxVoters || f.Tolerate > 0 && roster.Needed(voters, int(f.Tolerate)) >= voters {
		r.Fatalf("group %d has %d members, want %d; %d voters", g, len(f.In(g)), len(want), voters)
	}
	for n := range f.ever {
		if isVoter(f.Roster, g, n) != isVoter(before, g, n) {
			changed++
		}
	}
	if changed > 1 {
		r.Fatalf("%d voters of group %d changed in one step", changed, g)
	}
}

func isVoter(r *roster.Roster, group uint32, n uint64) bool {
	return slices.ContainsFunc(r.In(group), func(m roster.Member) bool { return m.Number == n && !m.Learner })
}

// TestModel runs random histories of changes, most of which are refused, against the
// sets: no sequence weakens the policy, brings a number back, or leaves a group
// without the voters that it needs.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFleet(founded(rapid.IntRange(1, 7).Draw(r, "voters")))
		for range rapid.IntRange(10, 40).Draw(r, "changes") {
			c := f.draw(r)
			if _, err := c.Text(); err != nil {
				continue
			}
			before := f.Clone()
			got, err := f.Apply(signed(c, f.drawSigners(r, c)...))
			var refusal *roster.Refusal
			if err != nil {
				if !errors.As(err, &refusal) || !bytes.Equal(before.Encode(), f.Encode()) {
					r.Fatalf("refused with %v, and changed", err)
				}
				continue
			}
			f.follow(r, got)
			f.holds(r, before)
			again, err := roster.Decode(f.Encode())
			if err != nil || !bytes.Equal(again.Encode(), f.Encode()) {
				r.Fatalf("encoded and decoded: %v", err)
			}
			f.Roster = again
		}
	})
}

// The arithmetic of tolerated rollbacks (spec/replication.md §12), counted out: of
// n voters any q acknowledged, any r of those forgot it, and any q elect. The
// election meets one who remembers; and two elections meet in more than r members,
// so that none of them is won twice by who forgot.
func TestNeeded(t *testing.T) {
	for n := 1; n <= roster.MaxVoters; n++ {
		for r := range n {
			q := roster.Needed(n, r)
			if q > n {
				continue
			}
			for a := range 1 << n {
				for b := range 1 << n {
					if ones(a) != q || ones(b) != q {
						continue
					}
					if both := ones(a & b); both <= r {
						t.Fatalf("n %d, r %d, q %d: %b and %b meet in %d", n, r, q, a, b, both)
					}
				}
			}
			if r == 0 && q != n/2+1 {
				t.Errorf("n %d: %d, want the majority", n, q)
			}
			if m := n/2 + 1; q > m && n-m+r+1 < q && 2*(q-1)-n > r {
				t.Errorf("n %d, r %d: %d is more than needed", n, r, q)
			}
		}
	}
}

func ones(x int) (n int) {
	for ; x > 0; x &= x - 1 {
		n++
	}
	return n
}

// A change of one voter keeps what was tolerated: the quorums before and after meet
// in more than r members.
func TestNeededOverAChange(t *testing.T) {
	for n := 1; n < roster.MaxVoters; n++ {
		for r := range n {
			was, will := roster.Needed(n, r), roster.Needed(n+1, r)
			if was <= n && will <= n+1 && was+will-(n+1) <= r {
				t.Errorf("from %d to %d voters, tolerating %d: %d and %d can miss each other", n, n+1, r, was, will)
			}
		}
	}
}
