package roster_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/roster"
)

// numbers lists the members of a group, learners with a minus.
func numbers(r *roster.Roster, group uint32) (all []int) {
	for _, m := range r.In(group) {
		n := int(m.Number)
		if m.Learner {
			n = -n
		}
		all = append(all, n)
	}
	return all
}

// One history through every kind of change, and who is in which group after it.
func TestHistory(t *testing.T) {
	r := founded(5)
	want := [][2][]int{ // of the root group and of group 2
		{{1, 2, 3, 4, 5, -6}, {1, 2, 3, 4, 5, -6}},
		{{1, 2, 3, 4, 5, -6, -7}, {1, 2, 3, 4, 5, -6, -7}},
		{{1, 2, 3, 4, 5, -6, -7}, {1, 2, 3, 4, 5, -6, -7}}, // group 3 lost 7
		{{1, 2, 3, 4, 5, 6, -7}, {1, 2, 3, 4, 5, 6, -7}},
		{{1, -2, 3, 4, 5, 6, -7}, {1, -2, 3, 4, 5, 6, -7}},
		{{1, -2, 3, 4, 5, 6, -7}, {1, -2, 3, 4, 5, 6}}, // a place of its own from here on
		{{1, -2, 3, 4, 5, 6, -7}, {1, 2, 3, 4, 5, 6}},
		{{1, -2, 3, 4, 5, 6, -7}, {1, 2, 3, 4, 5, -6}},
		{{1, -2, 3, 4, 5, 6, -7}, {1, 2, 3, 4, 5}},
		{{1, -2, 3, 4, 5, 6, -7, -8}, {1, 2, 3, 4, 5}},
		{{1, -2, 3, 4, 5, 6, -7, -8}, {1, 2, 3, 4, 5, -8}},
	}
	for i, make := range everyChange() {
		c := make(r)
		got, err := r.Apply(signed(c, "eve", "carol", "alice"))
		if err != nil {
			t.Fatalf("change %d: %v", i+1, err)
		}
		if got.Kind != c.Kind || r.Serial != uint64(i+1) {
			t.Errorf("change %d is %+v, serial %d", i+1, got, r.Serial)
		}
		if i < len(want) {
			if diff := cmp.Diff(want[i], [2][]int{numbers(r, 0), numbers(r, 2)}); diff != "" {
				t.Errorf("after change %d (-want +got):\n%s", i+1, diff)
			}
		}
		r = must(roster.Decode(r.Encode()))
	}
	if !slices.Equal(numbers(r, 3), []int{1, 2, 3, 4, 5, -6}) || !slices.Equal(numbers(r, 1), numbers(r, 0)) || r.In(4) != nil {
		t.Errorf("groups 3, 1, 4: %v, %v, %v", numbers(r, 3), numbers(r, 1), numbers(r, 4))
	}
	m, _ := r.Member(3)
	if m.Address != "vault-3.example.org:1" || r.MinVersion != 1<<32-1 || r.Tolerate != 1 || r.Policy.MaxAttempts != 4 || len(r.Operators) != 4 {
		t.Errorf("after all: %+v", r)
	}
}

// What is signed for another fleet or another moment is not made.
func TestExpects(t *testing.T) {
	r := founded(5)
	elsewhere := founded(5)
	elsewhere.Fleet[0] ^= 1
	refused(t, r, signed(next(elsewhere, roster.Remove, about(0, 4)), "alice", "bob", "carol"), roster.Foreign)
	first := signed(next(r, roster.Remove, about(0, 4)), "alice", "bob", "carol")
	late := next(r, roster.Remove, about(0, 4))
	late.Serial++
	refused(t, r, signed(late, "alice", "bob", "carol"), roster.Serial)
	if _, err := r.Apply(first); err != nil {
		t.Fatal(err)
	}
	refused(t, r, first, roster.Repeated)
	refused(t, r, &roster.Signed{Text: first.Text}, roster.Repeated) // nobody need sign what was made
	rival := next(founded(5), roster.Remove, about(0, 3))
	refused(t, r, signed(rival, "alice", "bob", "carol"), roster.Serial)
	accept(t, r, roster.Remove, about(0, 3))
	refused(t, r, first, roster.Serial)
}

// A quorum of different operators whose keys are listed, and nobody else.
func TestQuorum(t *testing.T) {
	r := founded(5)
	good := signed(next(r, roster.Remove, about(0, 4)), "alice", "bob", "carol", "dave", "eve")
	with := func(change func(*roster.Signed)) *roster.Signed {
		s := &roster.Signed{Text: good.Text, Signatures: slices.Clone(good.Signatures)}
		change(s)
		return s
	}
	for name, tt := range map[string]struct {
		code roster.Code
		s    *roster.Signed
	}{
		"nobody":     {roster.TooFew, with(func(s *roster.Signed) { s.Signatures = nil })},
		"one":        {roster.TooFew, with(func(s *roster.Signed) { s.Signatures = s.Signatures[:1] })},
		"two":        {roster.TooFew, with(func(s *roster.Signed) { s.Signatures = s.Signatures[:2] })},
		"one twice":  {roster.NotAChange, with(func(s *roster.Signed) { s.Signatures[1] = s.Signatures[0] })},
		"unordered":  {roster.NotAChange, with(func(s *roster.Signed) { slices.Reverse(s.Signatures) })},
		"too many":   {roster.NotAChange, with(func(s *roster.Signed) { s.Signatures = manySignatures(33) })},
		"a stranger": {roster.Stranger, signed(next(r, roster.Remove, about(0, 4)), "alice", "bob", "carol", "mallory")},
		"forged":     {roster.Forged, with(func(s *roster.Signed) { s.Signatures[4].Signature[63] ^= 1 })},
		"swapped": {roster.Forged, with(func(s *roster.Signed) {
			s.Signatures[0].Signature, s.Signatures[1].Signature = s.Signatures[1].Signature, s.Signatures[0].Signature
		})},
		"of another text": {roster.Forged, with(func(s *roster.Signed) { s.Text = strings.Replace(s.Text, "member 4", "member 3", 1) })},
		"no text":         {roster.NotAChange, with(func(s *roster.Signed) { s.Text = "" })},
		"a space more":    {roster.NotAChange, with(func(s *roster.Signed) { s.Text += " " })},
	} {
		t.Run(name, func(t *testing.T) { refused(t, r, tt.s, tt.code) })
	}
	if _, err := r.Clone().Apply(with(func(s *roster.Signed) { s.Signatures = s.Signatures[2:] })); err != nil {
		t.Error(err)
	}
	if _, err := r.Apply(good); err != nil {
		t.Error(err)
	}
}

// New operators take over when a quorum of the old ones and one of the new ones sign.
// A mistyped key would lock everybody out for good.
func TestOperatorsAreReplaced(t *testing.T) {
	r := founded(5)
	to := func(quorum uint8, names ...string) *roster.Change {
		return next(r, roster.SetOperators, func(c *roster.Change) { c.Operators, c.Quorum = operators(names...), quorum })
	}
	take := to(2, "eve", "yann", "zoe")
	refused(t, r, signed(take, "eve", "yann", "zoe"), roster.TooFew)   // one of the old
	refused(t, r, signed(take, "alice", "bob", "eve"), roster.TooFew)  // one of the new
	refused(t, r, signed(take, "alice", "bob", "dave"), roster.TooFew) // none of the new
	refused(t, r, signed(take, "alice", "bob", "eve", "zoe", "mallory"), roster.Stranger)
	rotated := to(1, "alice")
	rotated.Operators[0].Key = operator("mallory").Key // the same name with another key
	refused(t, r, signed(rotated, "alice", "bob", "carol"), roster.TooFew)
	r.Members[0].Identity = operator("zoe").Key // a machine whose key an operator has
	refused(t, r, signed(to(1, "zoe"), "alice", "bob", "carol", "zoe"), roster.Taken)
	r.Members[0].Identity = hash("identity", 1)
	refused(t, r, signed(to(3, "alice", "bob", "carol", "dave", "eve"), "alice", "bob", "carol"), roster.Unchanged)
	if _, err := r.Apply(signed(take, "alice", "bob", "eve", "zoe")); err != nil {
		t.Fatal(err)
	}
	refused(t, r, signed(next(r, roster.Void, nil), "alice", "bob", "carol"), roster.Stranger)
	refused(t, r, signed(next(r, roster.Void, nil), "zoe"), roster.TooFew)
	if _, err := r.Apply(signed(next(r, roster.Void, nil), "yann", "zoe")); err != nil {
		t.Error(err)
	}
}

// The rules of each kind. Each case is about five voters in four groups, of which
// group 1 has members 1, 2, 3 and the learner 4, and had 5.
func TestRules(t *testing.T) {
	base := founded(5)
	accept(t, base, roster.Remove, about(1, 5))
	accept(t, base, roster.Demote, about(1, 4))
	set := func(f func(*roster.Member)) func(*roster.Change) {
		return func(c *roster.Change) { c.Member = machine(6); f(&c.Member) }
	}
	for name, tt := range map[string]struct {
		code roster.Code
		kind roster.Kind
		f    func(*roster.Change)
	}{
		"a number again":            {roster.Taken, roster.Add, newcomer(5)},
		"a number left out":         {roster.Taken, roster.Add, newcomer(7)},
		"a name in use":             {roster.Taken, roster.Add, set(func(m *roster.Member) { m.Name = "vault-1" })},
		"an address in use":         {roster.Taken, roster.Add, set(func(m *roster.Member) { m.Address = "10.0.0.2:7420" })},
		"a machine again":           {roster.Taken, roster.Add, set(func(m *roster.Member) { m.Identity = hash("identity", 3) })},
		"a sealing key again":       {roster.Taken, roster.Add, set(func(m *roster.Member) { m.Sealing = machine(4).Sealing })},
		"an operator's key":         {roster.Taken, roster.Add, set(func(m *roster.Member) { m.Identity = operator("bob").Key })},
		"to no group":               {roster.Absent, roster.Add, about(4, 1)},
		"nobody to a group":         {roster.Absent, roster.Add, about(1, 6)},
		"to a group it is in":       {roster.Unchanged, roster.Add, about(1, 4)},
		"back to a group":           {roster.Taken, roster.Add, about(1, 5)},
		"promote nobody":            {roster.Absent, roster.Promote, about(0, 6)},
		"promote nobody of a group": {roster.Absent, roster.Promote, about(1, 5)},
		"promote in no group":       {roster.Absent, roster.Promote, about(9, 1)},
		"promote a voter":           {roster.Unchanged, roster.Promote, about(0, 1)},
		"demote nobody":             {roster.Absent, roster.Demote, about(0, 6)},
		"demote a learner":          {roster.Unchanged, roster.Demote, about(1, 4)},
		"remove nobody":             {roster.Absent, roster.Remove, about(0, 6)},
		"remove nobody of a group":  {roster.Absent, roster.Remove, about(1, 5)},
		"remove who serves a group": {roster.Serving, roster.Remove, about(0, 4)},
		"the same address":          {roster.Unchanged, roster.SetAddress, func(c *roster.Change) { c.Member = machine(2) }},
		"another's address":         {roster.Taken, roster.SetAddress, func(c *roster.Change) { c.Member = machine(2); c.Member.Address = "10.0.0.3:7420" }},
		"nobody's address":          {roster.Absent, roster.SetAddress, newcomer(6)},
		"the same policy":           {roster.Unchanged, roster.SetPolicy, func(c *roster.Change) { c.Policy = policy() }},
		"the same version":          {roster.Unchanged, roster.SetMinVersion, func(c *roster.Change) { c.MinVersion = 1 }},
		"tolerate as before":        {roster.Unchanged, roster.SetTolerate, nil},
		"tolerate one of three":     {roster.Voters, roster.SetTolerate, func(c *roster.Change) { c.Tolerate = 1 }},
		"tolerate 255":              {roster.Voters, roster.SetTolerate, func(c *roster.Change) { c.Tolerate = 255 }},
	} {
		t.Run(name, func(t *testing.T) {
			r := base.Clone()
			refused(t, r, signed(next(r, tt.kind, tt.f), "alice", "bob", "carol"), tt.code)
			accept(t, r, roster.Void, nil) // the serial is still free
		})
	}
}

// The last voter of a group stays, and there are never more than seven.
func TestVoters(t *testing.T) {
	r := founded(2)
	accept(t, r, roster.Demote, about(3, 1))
	refused(t, r, signed(next(r, roster.Demote, about(3, 2)), "alice", "bob", "carol"), roster.Voters)
	refused(t, r, signed(next(r, roster.Remove, about(3, 2)), "alice", "bob", "carol"), roster.Voters)
	accept(t, r, roster.Remove, about(3, 1))
	accept(t, r, roster.Remove, about(0, 1)) // a machine that only the root group has
	refused(t, r, signed(next(r, roster.Demote, about(0, 2)), "alice", "bob", "carol"), roster.Voters)
	if len(r.Placement[0].Left) != 0 {
		t.Errorf("who left the fleet is remembered by a group: %v", r.Placement[0].Left)
	}
	r = founded(7)
	accept(t, r, roster.Add, newcomer(8))
	refused(t, r, signed(next(r, roster.Promote, about(0, 8)), "alice", "bob", "carol"), roster.Voters)
	refused(t, r, signed(next(r, roster.Promote, about(2, 8)), "alice", "bob", "carol"), roster.Voters)
	for n := uint64(9); n <= roster.MaxMembers; n++ {
		accept(t, r, roster.Add, newcomer(n))
	}
	refused(t, r, signed(next(r, roster.Add, newcomer(65)), "alice", "bob", "carol"), roster.Full)
}

// Tolerated rollbacks are never promised by fewer voters than it takes, in any
// group, with one of them down.
func TestTolerateHolds(t *testing.T) {
	tolerate := func(n uint8) func(*roster.Change) { return func(c *roster.Change) { c.Tolerate = n } }
	r := founded(5)
	refused(t, r, signed(next(r, roster.SetTolerate, tolerate(2)), "alice", "bob", "carol"), roster.Voters)
	accept(t, r, roster.SetTolerate, tolerate(1))
	accept(t, r, roster.Remove, about(0, 5))
	for _, group := range []uint32{0, 2} {
		refused(t, r, signed(next(r, roster.Remove, about(group, 4)), "alice", "bob", "carol"), roster.Voters)
		refused(t, r, signed(next(r, roster.Demote, about(group, 4)), "alice", "bob", "carol"), roster.Voters)
	}
	accept(t, r, roster.Add, newcomer(6))
	accept(t, r, roster.Promote, about(0, 6))
	accept(t, r, roster.Remove, about(0, 4))
	for n, most := range map[int]uint8{1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 2, 7: 2} {
		r := founded(n)
		if most > 0 {
			accept(t, r, roster.SetTolerate, tolerate(most))
		}
		refused(t, r, signed(next(r, roster.SetTolerate, tolerate(most+1)), "alice", "bob", "carol"), roster.Voters)
	}
}

// What is accepted is kept as it was signed, whatever becomes of the caller's memory.
func TestApplyKeepsNothingOfSigned(t *testing.T) {
	r := founded(5)
	s := signed(next(r, roster.Add, newcomer(6)), "alice", "bob", "carol")
	b := s.Encode()
	decoded := must(roster.DecodeSigned(b))
	must(r.Apply(decoded))
	before := r.Encode()
	clear(b)
	clear(decoded.Signatures)
	if !bytes.Equal(before, r.Encode()) {
		t.Error("the roster shares memory with what was decoded")
	}
}
