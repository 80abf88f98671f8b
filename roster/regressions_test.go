package roster_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"keepsake.example/roster"
)

// Defects that were real in systems like this one (design/regressions.md), one test each.

// Membership and code that can never change, so that hardware wear eats the quorum
// (WhatsApp, Juicebox). Every machine, every operator and the version of the program
// are replaced, again and again, and the fleet never has fewer than five voters.
func TestMembershipAndCodeThatCanNeverChange(t *testing.T) {
	r := founded(5)
	for round := range uint64(20) {
		dead, fresh := round+1, round+6
		accept(t, r, roster.Add, newcomer(fresh))
		accept(t, r, roster.Promote, about(0, fresh))
		accept(t, r, roster.Remove, about(0, dead))
		accept(t, r, roster.SetMinVersion, func(c *roster.Change) { c.MinVersion = uint32(round) + 2 })
		if got := numbers(r, 0); len(got) != 5 || slices.Min(got) != int(dead)+1 {
			t.Fatalf("round %d: members %v", round, got)
		}
	}
	names := []string{"alice", "bob", "carol", "dave", "eve"}
	for i := range 10 {
		fresh := append(slices.Clone(names[1:]), fmt.Sprintf("operator-%d", i))
		c := next(r, roster.SetOperators, func(c *roster.Change) { c.Operators, c.Quorum = operators(sorted(fresh)...), 3 })
		if _, err := r.Apply(signed(c, names[1:4]...)); err != nil {
			t.Fatal(err)
		}
		names = fresh
	}
	refused(t, r, signed(next(r, roster.Void, nil), "alice", "bob", "carol"), roster.Stranger)
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

// Version minimums not enforced (Signal). The minimum is in the replicated state and
// only grows, whoever signs.
func TestVersionMinimumsNotEnforced(t *testing.T) {
	r := founded(5)
	to := func(v uint32) *roster.Change {
		return next(r, roster.SetMinVersion, func(c *roster.Change) { c.MinVersion = v })
	}
	refused(t, r, signed(to(0), "alice", "bob", "carol"), roster.Weaker)
	must(r.Apply(signed(to(3), "alice", "bob", "carol")))
	for _, v := range []uint32{0, 1, 2} {
		refused(t, r, signed(to(v), "alice", "bob", "carol", "dave", "eve"), roster.Weaker)
	}
	if r = must(roster.Decode(r.Encode())); r.MinVersion != 3 {
		t.Errorf("minimum %d", r.MinVersion)
	}
}

// The cap on guesses raised, or a wait shortened, by who runs the service (Juicebox
// and Google: a limit without a cap). All operators together cannot.
func TestCapRaised(t *testing.T) {
	r := founded(5)
	for name, weaken := range map[string]func(*roster.Policy){
		"a shorter wait":              func(p *roster.Policy) { p.Waits[8]-- },
		"shorter waits, and fewer":    func(p *roster.Policy) { p.MaxAttempts, p.Waits = 5, []uint64{0, 0, 0, 0} },
		"a shorter cool-down":         func(p *roster.Policy) { p.CoolDown-- },
		"a longer grace":              func(p *roster.Policy) { p.Grace++ },
		"insecure":                    func(p *roster.Policy) { p.Insecure = true },
		"stricter and weaker at once": func(p *roster.Policy) { p.Waits[2], p.Grace = second, p.Grace+1 },
	} {
		c := next(r, roster.SetPolicy, func(c *roster.Change) { c.Policy = policy(); weaken(&c.Policy) })
		t.Run(name, func(t *testing.T) {
			refused(t, r, signed(c, "alice", "bob", "carol", "dave", "eve"), roster.Weaker)
		})
	}
	accept(t, r, roster.SetPolicy, func(c *roster.Change) {
		c.Policy = policy()
		c.Policy.MaxAttempts, c.Policy.Waits = 5, policy().Waits[:4]
	})
	back := signed(next(r, roster.SetPolicy, func(c *roster.Change) { c.Policy = policy() }), "alice", "bob", "carol", "dave", "eve")
	refused(t, r, back, roster.Weaker)
	r.Policy.Insecure = true // a fleet that was founded so stays so
	called := next(r, roster.SetPolicy, func(c *roster.Change) { c.Policy = r.Clone().Policy; c.Policy.Insecure = false })
	refused(t, r, signed(called, "alice", "bob", "carol"), roster.Weaker)
	r.Tolerate = 1
	refused(t, r, signed(next(r, roster.SetTolerate, nil), "alice", "bob", "carol"), roster.Weaker)
}

// Length prefix overflow; integers narrowed to 8 or 16 bits. A number that is too
// large for its field is refused and does not become a small one.
func TestIntegersNarrowed(t *testing.T) {
	text := must(next(founded(5), roster.Remove, about(3, 4)).Text())
	for _, big := range []string{"256", "260", "65536", "65540", "4294967296", "4294967300", "18446744073709551620"} {
		for _, field := range []string{"group 3", "member 4", "serial 1"} {
			word, n, _ := strings.Cut(field, " ")
			c, err := roster.ParseChange(strings.Replace(text, field, word+" "+big, 1))
			if err == nil && (c.Group != 3 || c.Member.Number != 4 && fmt.Sprint(c.Member.Number) != big || c.Serial != 1 && fmt.Sprint(c.Serial) != big) {
				t.Errorf("%s instead of %s is read as %+v", big, n, c)
			}
		}
	}
	// A length of 65535 bytes, and a count of 255, with nothing behind them.
	for _, b := range [][]byte{{1, 0xff, 0xff}, {1, 0, 1, 'x', 0xff}} {
		if s, err := roster.DecodeSigned(b); !errors.Is(err, roster.ErrSigned) {
			t.Errorf("%x: %v, %v", b, s, err)
		}
	}
}

// No size limit on a message or a decode (WhatsApp: Raft and bincode).
func TestNoSizeLimit(t *testing.T) {
	huge := make([]byte, 64<<20)
	if _, err := roster.DecodeSigned(huge); !errors.Is(err, roster.ErrSigned) {
		t.Error(err)
	}
	if _, err := roster.Decode(huge); !errors.Is(err, roster.ErrRoster) {
		t.Error(err)
	}
	if _, err := roster.ParseChange(string(huge)); !errors.Is(err, roster.ErrText) {
		t.Error(err)
	}
	claims := bytes.Clone(founded(1).Encode()[:16+32+4+8+32+1])
	if got := testing.AllocsPerRun(1, func() { roster.Decode(append(claims, 0xff)) }); got > 100 {
		t.Errorf("%v allocations for 255 operators that are not there", got)
	}
}

// Keys fetched at first use and trusted (WhatsApp, first design). A machine's keys
// are in the text that operators sign; none is ever learned from the machine.
func TestKeysFetchedAtFirstUse(t *testing.T) {
	r := founded(5)
	add := must(next(r, roster.Add, newcomer(6)).Text())
	m := machine(6)
	if !strings.Contains(add, fmt.Sprintf("identity %x\n", m.Identity)) || !strings.Contains(strings.ReplaceAll(add, "\nsealing ", ""), fmt.Sprintf("%x", m.Sealing)) {
		t.Errorf("the text does not show the keys:\n%s", add)
	}
	accept(t, r, roster.Add, newcomer(6))
	if got, _ := r.Member(6); got.Identity != m.Identity || !bytes.Equal(got.Sealing, m.Sealing) || !got.Learner {
		t.Errorf("added as %+v", got)
	}
}

// A change that operators signed and gave up stays good for whoever kept it, until
// its serial is used: Void uses it and changes nothing else.
func TestGivenUpChange(t *testing.T) {
	r := founded(5)
	given := signed(next(r, roster.Remove, about(0, 1)), "alice", "bob", "carol")
	accept(t, r, roster.Void, nil)
	refused(t, r, given, roster.Serial)
	if got := numbers(r, 0); len(got) != 5 {
		t.Errorf("members %v", got)
	}
}
