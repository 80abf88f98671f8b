package roster_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"keepsake.example/roster"
)

func TestRosterRoundTrip(t *testing.T) {
	after, _ := history()
	for _, r := range []*roster.Roster{founded(1), founded(7), after, fullest()} {
		b := r.Encode()
		got, err := roster.Decode(b)
		if err != nil || !bytes.Equal(got.Encode(), b) {
			t.Fatalf("%v: %v, %v", r, got, err)
		}
		if len(b) < 1<<16 { // a diff of the fullest takes a second
			if diff := cmp.Diff(r, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%v (-want +got):\n%s", r, diff)
			}
		}
		if len(b) > roster.MaxRoster {
			t.Errorf("%v: %d bytes", r, len(b))
		}
		if c := r.Clone(); !bytes.Equal(c.Encode(), b) {
			t.Errorf("%v: the clone is another", r)
		}
	}
}

// fullest has every limit reached.
func fullest() *roster.Roster {
	r := founded(7)
	r.Groups, r.Operators, r.Quorum, r.Highest, r.Tolerate = roster.MaxGroups, nil, roster.MaxOperators, roster.MaxNumber, 2
	for i := range roster.MaxOperators {
		r.Operators = append(r.Operators, operator(fmt.Sprintf("operator-%015d", i)))
	}
	for i := range r.Members {
		r.Members[i].Name += strings.Repeat("x", roster.MaxName-len(r.Members[i].Name))
	}
	for n := uint64(8); n <= roster.MaxMembers; n++ {
		m := machine(n)
		m.DataCenter = strings.Repeat("d", roster.MaxName)
		m.Address = strings.Repeat("a", roster.MaxAddress-len(m.Address)-1) + "." + "x" + m.Address[len("10.0.0."):]
		r.Members = append(r.Members, m)
	}
	var all []roster.Placed
	for _, m := range r.Members {
		all = append(all, roster.Placed{Number: m.Number, Learner: m.Learner})
	}
	for g := uint32(1); g < r.Groups; g++ {
		r.Placement = append(r.Placement, roster.Place{Group: g, Members: all})
	}
	return r
}

// What no founder and no sequence of changes leads to is not loaded.
func TestRostersRefused(t *testing.T) {
	place := func(members []roster.Placed, left ...uint64) func(*roster.Roster) {
		return func(r *roster.Roster) { r.Placement = []roster.Place{{Group: 1, Members: members, Left: left}} }
	}
	for name, tt := range map[string]struct {
		code   roster.Code
		change func(*roster.Roster)
	}{
		"no group":            {roster.OutOfRange, func(r *roster.Roster) { r.Groups = 0 }},
		"three groups":        {roster.OutOfRange, func(r *roster.Roster) { r.Groups = 3 }},
		"512 groups":          {roster.OutOfRange, func(r *roster.Roster) { r.Groups = 512 }},
		"a change before all": {roster.OutOfRange, func(r *roster.Roster) { r.Last[0] = 1 }},
		"no operators":        {roster.OutOfRange, func(r *roster.Roster) { r.Operators, r.Quorum = nil, 0 }},
		"no quorum":           {roster.OutOfRange, func(r *roster.Roster) { r.Quorum = 0 }},
		"quorum over all":     {roster.OutOfRange, func(r *roster.Roster) { r.Quorum = 6 }},
		"17 operators":        {roster.OutOfRange, func(r *roster.Roster) { r.Operators = append(fullest().Operators, operator("z")) }},
		"operators unsorted":  {roster.OutOfRange, func(r *roster.Roster) { r.Operators[0], r.Operators[1] = r.Operators[1], r.Operators[0] }},
		"one operator, twice": {roster.OutOfRange, func(r *roster.Roster) { r.Operators[1].Key = r.Operators[0].Key }},
		"no policy":           {roster.OutOfRange, func(r *roster.Roster) { r.Policy = roster.Policy{} }},
		"eleven attempts":     {roster.OutOfRange, func(r *roster.Roster) { r.Policy.MaxAttempts, r.Policy.Waits = 11, make([]uint64, 10) }},
		"no member":           {roster.Voters, func(r *roster.Roster) { r.Members = nil }},
		"learners only":       {roster.Voters, func(r *roster.Roster) { r.Members = r.Members[:1]; r.Members[0].Learner = true }},
		"eight voters":        {roster.Voters, func(r *roster.Roster) { *r = *founded(8) }},
		"65 members":          {roster.Full, func(r *roster.Roster) { *r = *fullest(); r.Members = append(r.Members, machine(65)) }},
		"member 0":            {roster.OutOfRange, func(r *roster.Roster) { r.Members[0].Number = 0 }},
		"a number twice":      {roster.OutOfRange, func(r *roster.Roster) { r.Members[0].Number = 2 }},
		"a number to come":    {roster.OutOfRange, func(r *roster.Roster) { r.Highest = 4 }},
		"a number over all":   {roster.OutOfRange, func(r *roster.Roster) { r.Highest = roster.MaxNumber + 1 }},
		"no name":             {roster.OutOfRange, func(r *roster.Roster) { r.Members[0].Name = "" }},
		"no address":          {roster.OutOfRange, func(r *roster.Roster) { r.Members[0].Address = "" }},
		"no sealing key":      {roster.OutOfRange, func(r *roster.Roster) { r.Members[0].Sealing = make([]byte, 32) }},
		"a name twice":        {roster.Taken, func(r *roster.Roster) { r.Members[1].Name = r.Members[0].Name }},
		"an address twice":    {roster.Taken, func(r *roster.Roster) { r.Members[1].Address = r.Members[0].Address }},
		"an identity twice":   {roster.Taken, func(r *roster.Roster) { r.Members[1].Identity = r.Members[0].Identity }},
		"a sealing key twice": {roster.Taken, func(r *roster.Roster) { r.Members[1].Sealing = r.Members[0].Sealing }},
		"two rollbacks":       {roster.Voters, func(r *roster.Roster) { r.Tolerate = 2 }},
		"place of the root":   {roster.OutOfRange, func(r *roster.Roster) { r.Placement = []roster.Place{{Members: []roster.Placed{{Number: 1}}}} }},
		"place of no group":   {roster.OutOfRange, func(r *roster.Roster) { place([]roster.Placed{{Number: 1}})(r); r.Placement[0].Group = 4 }},
		"a place twice": {roster.OutOfRange, func(r *roster.Roster) {
			place([]roster.Placed{{Number: 1}})(r)
			r.Placement = append(r.Placement, r.Placement[0])
		}},
		"nobody in a place":     {roster.Voters, place(nil)},
		"learners in a place":   {roster.Voters, place([]roster.Placed{{Number: 1, Learner: true}})},
		"a stranger in a place": {roster.Absent, place([]roster.Placed{{Number: 1}, {Number: 9}})},
		"a place unsorted":      {roster.OutOfRange, place([]roster.Placed{{Number: 2}, {Number: 1}})},
		"left and there":        {roster.OutOfRange, place([]roster.Placed{{Number: 1}}, 1)},
		"left twice":            {roster.OutOfRange, place([]roster.Placed{{Number: 1}}, 2, 2)},
		"a stranger left":       {roster.Absent, place([]roster.Placed{{Number: 1}}, 9)},
	} {
		r := founded(5)
		tt.change(r)
		var refusal *roster.Refusal
		if err := r.Check(); !errors.As(err, &refusal) || refusal.Code != tt.code {
			t.Errorf("%s: %v, want %q", name, err, tt.code)
		}
		if _, err := roster.Decode(r.Encode()); !errors.Is(err, roster.ErrRoster) {
			t.Errorf("%s: decoded, %v", name, err)
		}
	}
	if _, err := roster.Decode(make([]byte, roster.MaxRoster+1)); !errors.Is(err, roster.ErrRoster) {
		t.Errorf("a long one: %v", err)
	}
}

func canonicalRoster(t *testing.T, b []byte) {
	t.Helper()
	r, err := roster.Decode(b)
	if err == nil && !bytes.Equal(r.Encode(), b) {
		t.Errorf("%x is written as %x", b, r.Encode())
	}
	if err != nil && (r != nil || !errors.Is(err, roster.ErrRoster)) {
		t.Errorf("%v, %v", r, err)
	}
}

// Nothing that is cut or extended is a roster, and no two byte strings are the same one.
func TestMangledRoster(t *testing.T) {
	r := founded(2)
	accept(t, r, roster.Remove, about(1, 2))
	b := r.Encode()
	for n := range b {
		if _, err := roster.Decode(b[:n]); !errors.Is(err, roster.ErrRoster) {
			t.Errorf("%d of %d bytes: %v", n, len(b), err)
		}
		for _, x := range []byte{b[n] ^ 1, b[n] ^ 0x80, 0xff} {
			m := bytes.Clone(b)
			m[n] = x
			canonicalRoster(t, m)
		}
	}
	if _, err := roster.Decode(append(bytes.Clone(b), 0)); !errors.Is(err, roster.ErrRoster) {
		t.Errorf("a byte more: %v", err)
	}
}

// FuzzDecodeRoster fuzzes rosters in a short form, in which a sealing key is one byte
// that is repeated: the fuzzer would lose itself in 1216 bytes of it.
func FuzzDecodeRoster(f *testing.F) {
	for _, r := range []*roster.Roster{founded(1), founded(3), hardened(1)} {
		b := r.Encode()
		for i := range r.Members {
			b = bytes.Replace(b, r.Members[i].Sealing, []byte{0xee, byte(i)}, 1)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, short []byte) {
		canonicalRoster(t, short)
		var long []byte
		for len(short) > 0 && len(long) < 1<<14 {
			if len(short) > 1 && short[0] == 0xee {
				long = append(long, bytes.Repeat(short[1:2], roster.SealingSize)...)
				short = short[2:]
				continue
			}
			long, short = append(long, short[0]), short[1:]
		}
		canonicalRoster(t, long)
	})
}

// A copy shares nothing.
func TestClone(t *testing.T) {
	r, _ := history()
	before, c := r.Encode(), r.Clone()
	c.Operators[0].Name, c.Policy.Waits[0], c.Members[0].Name, c.Members[0].Sealing[0] = "x", 9, "x", ^c.Members[0].Sealing[0]
	c.Placement[0].Members[0].Learner = !c.Placement[0].Members[0].Learner
	c.Placement[0].Left[0] = 99
	if !bytes.Equal(before, r.Encode()) {
		t.Error("a changed clone changes the roster")
	}
}
