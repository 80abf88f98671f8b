package replica_test

import (
	"errors"
	"slices"
	"testing"

	"keepsake.example/replica"
)

func fiveBut(out ...uint64) (numbers []uint64) {
	for n := uint64(1); n <= 5; n++ {
		if !slices.Contains(out, n) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// A group goes over to a new secret while it works, twice, and has it after everybody was
// started again; so has a member that joins afterwards.
func TestSecretIsReplaced(t *testing.T) {
	g := rekeyed(t, 21, 3)
	first := g.secretOf(1)
	for generation := uint64(1); generation <= 2; generation++ {
		secret := g.rekey(generation)
		g.under(secret, generation, 1, 2, 3)
		for n := uint64(1); n <= 3; n++ {
			g.must(n, 10)
			check(t, g.read(n))
		}
		for n := uint64(1); n <= 3; n++ {
			g.crash(n)
		}
		opened := g.locks.opened
		for n := uint64(1); n <= 3; n++ {
			g.start(n)
		}
		g.tick(40)
		g.under(secret, generation, 1, 2, 3)
		if g.locks.opened != opened {
			t.Errorf("%d boxes were opened after the checkpoint that has the secret", g.locks.opened-opened)
		}
		if secret == first {
			t.Error("the secret is the first one")
		}
	}
	g.change(1, "add 4")
	g.join(4)
	g.tick(30)
	g.under(g.secretOf(1), 2, 1, 2, 3, 4)
	g.agree()
}

// Once all are met under the new secret, no disk has the old one any more: the checkpoint was made.
func TestOldSecretLeavesTheDisk(t *testing.T) {
	g := rekeyed(t, 22, 3)
	before := g.seats[2].node.Status().Checkpoint
	secret := g.rekey(1)
	if at := g.seats[2].node.Status().Checkpoint; at <= before {
		t.Errorf("the checkpoint is at %d, and was at %d", at, before)
	}
	g.crash(2)
	g.locks.broken[2] = true // it must not need its box any more
	g.start(2)
	g.tick(40)
	g.under(secret, 1, 1, 2, 3)
}

// A crash between the entry and the new secret loses nothing: the box is in the log or in
// the picture, and opened again.
func TestCrashBeforeTheNewSecret(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		g := rekeyed(t, 23, 3)
		g.seats[2].manual = true // its box waits
		entry, secret := g.rekeyEntry(1)
		check(t, g.tell(1, entry))
		g.tick(10)
		st := g.seats[2].node.Status()
		if !st.Secret.Behind || g.secretOf(2) == secret {
			t.Fatalf("member 2 did not wait: %+v", st.Secret)
		}
		if g.seats[1].node.Status().Secret.Turning != true {
			t.Error("member 1 dropped the secret that member 2 needs")
		}
		if checkpoint {
			g.seats[2].node.Checkpoint(func(error) {})
			for range 20 {
				g.seats[2].later = slices.DeleteFunc(g.seats[2].later, func(part func()) bool { part(); return true })
				g.tick(1)
			}
		}
		g.crash(2)
		g.seats[2].manual = false
		g.start(2)
		g.tick(40)
		g.under(secret, 1, 1, 2, 3)
		g.must(2, 10)
		g.agree()
	}
}

// The leader that made the new secret is lost before the others have it, and two secrets
// follow each other under another leader.
func TestLeaderLostWhileTheSecretChanges(t *testing.T) {
	g := rekeyed(t, 24, 5)
	lead := g.leader().number
	entry, _ := g.rekeyEntry(lead)
	g.seats[lead].node.Propose([]byte(entry), func(any, error) {})
	for range 4 {
		g.work(g.seats[lead])
		due := g.wires
		g.wires = nil
		for _, p := range due {
			g.seats[p.to].node.Receive(p.data)
			g.work(g.seats[p.to])
		}
	}
	g.crash(lead)
	other := g.leader().number
	g.tick(700)
	generation := g.seats[other].node.Status().Secret.Generation
	for range 2 {
		generation++
		secret := g.rekey(other)
		g.start(lead)
		g.tick(40)
		check(t, g.seats[lead].node.AdoptSecret(&secret)) // it asked, as vaultd does
		g.tick(60)
		g.under(secret, generation, fiveBut()...)
		g.crash(lead)
	}
	g.start(lead)
	g.tick(60)
	g.must(lead, 10)
	g.agree()
}

// A member whose box does not open halts nobody, itself included; it follows when it does.
func TestBoxThatDoesNotOpen(t *testing.T) {
	g := rekeyed(t, 25, 3)
	g.locks.broken[3] = true
	secret := g.rekey(1)
	st := g.seats[3].node.Status()
	if st.Halted != nil || st.Secret.Problem == nil || !st.Secret.Behind {
		t.Fatalf("member 3: %+v", st.Secret)
	}
	g.must(3, 10) // under the secret before
	delete(g.locks.broken, 3)
	g.tick(250)
	g.under(secret, 1, 1, 2, 3)
	g.agree()
}

// Where most boxes do not open the group goes on under the secret before, however long it takes.
func TestMostBoxesDoNotOpen(t *testing.T) {
	g := rekeyed(t, 26, 3)
	g.locks.broken[2], g.locks.broken[3] = true, true
	secret := g.rekey(1)
	g.tick(1500)
	for n := uint64(1); n <= 3; n++ {
		g.must(n, 10)
	}
	clear(g.locks.broken)
	g.tick(250)
	g.under(secret, 1, 1, 2, 3)
}

// A member that slept cannot hear the others any more, and knows that there is something to
// ask. With what it was told it goes on, by the log or by a picture; a lie does not last.
func TestMemberThatSleptWhileTheSecretChanged(t *testing.T) {
	for name, picture := range map[string]bool{"by the log": false, "by a picture": true} {
		t.Run(name, func(t *testing.T) {
			g := rekeyed(t, 27, 3)
			old := g.rekey(1)
			g.crash(3)
			secret := g.rekey(1)
			g.tick(700)
			g.under(secret, 2, 1, 2)
			if picture {
				for range 3 {
					g.must(1, 100)
					g.seats[1].node.Checkpoint(func(error) {})
					g.seats[2].node.Checkpoint(func(error) {})
					g.tick(5)
				}
			}
			g.must(1, 10)
			g.start(3)
			g.tick(60)
			st := g.seats[3].node.Status()
			if st.Secret.Strangers == 0 || st.Leader != 0 || g.secretOf(3) != old {
				t.Fatalf("member 3 hears %d: %+v", st.Leader, st.Secret)
			}
			lie := [32]byte{66}
			check(t, g.seats[3].node.AdoptSecret(&lie))
			g.tick(20)
			check(t, g.seats[3].node.AdoptSecret(&secret))
			g.tick(60)
			g.under(secret, 2, 1, 2, 3)
			g.must(3, 10)
			g.agree()
		})
	}
}

// Lies, however many, do not take a member from the secret that its state has.
func TestLiesAboutTheSecret(t *testing.T) {
	g := rekeyed(t, 33, 3)
	secret := g.rekey(1)
	for n := range byte(3) {
		lie := [32]byte{n + 1}
		check(t, g.seats[3].node.AdoptSecret(&lie))
		g.tick(5)
		g.must(3, 10)
	}
	g.tick(700)
	g.must(3, 10)
	next := g.rekey(1)
	g.under(next, 2, 1, 2)
	if secret == next || g.secretOf(3) != next || g.seats[3].node.Status().Secret.Behind {
		t.Errorf("member 3: %+v", g.seats[3].node.Status().Secret)
	}
	g.under(next, 2, 3)
	g.agree()
}

// Who has no state takes no secret but that of its welcome.
func TestNoSecretWithoutState(t *testing.T) {
	g := rekeyed(t, 28, 1)
	g.change(1, "add 2")
	g.cut = func(uint64, uint64) bool { return true }
	g.join(2)
	secret := [32]byte{1}
	if err := g.seats[2].node.AdoptSecret(&secret); !errors.Is(err, replica.ErrEmpty) {
		t.Errorf("an empty member took a secret: %v", err)
	}
}

// The removed member's keys, disk and secret are good for nothing after the rekey: what the
// others say cannot be read with them, what is made with them is not taken, in nobody's name, and
// nothing can be joined.
func TestRemovedMemberIsUseless(t *testing.T) {
	g := rekeyed(t, 29, 5)
	g.must(1, 10)
	stolen, old := g.seats[2], g.secretOf(2)
	image := stolen.w.after(g.random)
	g.change(1, "remove 2")
	g.tick(80)
	secret := g.rekey(1)
	g.under(secret, 1, fiveBut(2)...)
	rest := fiveBut(2)

	for n := range g.seats {
		if m, ok := g.seats[n].node.Peek().(*safe); ok && n != 2 && m.Rekeying(2).Box != nil {
			t.Errorf("member %d has a box for the member that was removed", n)
		}
	}
	if opens := g.overheard(old, rest); opens > 0 {
		t.Errorf("%d messages are read with the old secret", opens)
	}
	// It starts from its disk; and an impostor of every other member, with the secret and without state.
	stolen.w, stolen.err = image, nil
	g.may = replica.ErrRemoved
	if err := g.tryStart(2); err != nil {
		t.Fatal(err)
	}
	for _, n := range rest {
		g.impostor(n, old, rest)
	}
	g.tick(100)
	if st := stolen.node.Status(); st.Leader != 0 || st.Applied == g.seats[1].node.Status().Applied {
		t.Errorf("the removed member takes part: %+v", st)
	}
	g.under(secret, 1, rest...)
	g.must(1, 10)
}

// overheard lets the group work, and tries a secret on everything that it says. With the
// group's own secret everything opens, so that this shows something.
func (g *group) overheard(secret [32]byte, members []uint64) (opens int) {
	g.t.Helper()
	var said []packet
	g.cut = func(uint64, uint64) bool { return false }
	now, control := g.secretOf(members[0]), 0
	g.listen = func(p packet) { said = append(said, p) }
	g.must(members[0], 10)
	g.tick(10)
	g.listen, g.cut = nil, nil
	for _, p := range said {
		if replica.OpensUnder(secret, p.data) {
			opens++
		}
		if replica.OpensUnder(now, p.data) {
			control++
		}
	}
	if control == 0 || control != len(said) {
		g.t.Errorf("%d of %d messages open under the group's secret", control, len(said))
	}
	return opens
}

// impostor sends the others whatever an empty member with a secret says in somebody's name, and gives it
// their answers.
func (g *group) impostor(number uint64, secret [32]byte, to []uint64) {
	g.t.Helper()
	s := &seat{number: number, w: newWorld(), clock: 1000}
	c := g.config(s)
	var said [][]byte
	c.Send = func(_ uint64, m []byte) { said = append(said, m) }
	check(g.t, replica.Join(g.t.Context(), c, number, &secret))
	n := must(replica.OpenNode(g.t.Context(), c))
	defer n.Close()
	for _, other := range to {
		if other == number {
			continue
		}
		dropped := g.seats[other].node.Status().Dropped
		hello := replica.HelloUnder(secret, number, other)
		g.seats[other].node.Receive(hello)
		check(g.t, g.seats[other].node.Step())
		if now := g.seats[other].node.Status().Dropped; now != dropped+1 {
			g.t.Errorf("member %d takes a hello of member %d under the old secret", other, number)
		}
	}
	for _, p := range slices.Clone(g.wires) {
		if p.to == number && len(p.data) > 0 {
			n.Receive(slices.Clone(p.data))
		}
	}
	check(g.t, n.Step())
	if st := n.Status(); st.Role != "empty" || len(said) > 0 {
		g.t.Errorf("the impostor of member %d is %s, and has %d answers", number, st.Role, len(said))
	}
}

// A checkpoint that is under way while the secret changes is one of the secret before, and is good.
func TestSecretChangesDuringACheckpoint(t *testing.T) {
	g := rekeyed(t, 30, 3)
	g.seats[2].manual = true
	g.seats[2].node.Checkpoint(func(error) {})
	g.work(g.seats[2])
	entry, secret := g.rekeyEntry(1)
	check(t, g.tell(1, entry))
	for range 30 {
		if later := g.seats[2].later; len(later) > 0 {
			last := later[len(later)-1] // the box first, then the checkpoint
			g.seats[2].later = later[:len(later)-1]
			last()
		}
		g.tick(1)
	}
	g.seats[2].manual = false
	g.crash(2)
	g.start(2)
	g.tick(40)
	g.under(secret, 1, 1, 2, 3)
}

// While both secrets are good, who was met under the new one is not heard under the old one any more.
func TestMetMemberIsNotHeardUnderTheOldSecret(t *testing.T) {
	g := rekeyed(t, 31, 3)
	old := g.secretOf(1)
	g.seats[2].manual = true // its box waits
	entry, _ := g.rekeyEntry(1)
	check(t, g.tell(1, entry))
	g.tick(20)
	one := g.seats[1].node
	if st := one.Status().Secret; !st.Turning || st.Behind {
		t.Fatalf("%+v", st)
	}
	for from, want := range map[uint64]int{2: 2, 3: 1} {
		count := 0
		if one.SecretsOf(from, func([]byte) bool { count++; return false }); count != want {
			t.Errorf("member %d may use %d secrets", from, count)
		}
		one.SecretFor(from, func(b []byte) {
			if ([32]byte(b) == old) != (want == 2) {
				t.Errorf("member %d is spoken to under another secret", from)
			}
		})
	}
	for from, heard := range map[uint64]bool{2: true, 3: false} {
		dropped := one.Status().Dropped
		one.Receive(replica.HelloUnder(old, from, 1))
		if now := one.Status().Dropped; (now == dropped) != heard {
			t.Errorf("a hello of member %d under the old secret: heard %t", from, now == dropped)
		}
	}
	g.change(1, "demote 3") // raft is told of it again, and it is let in no further
	dropped := one.Status().Dropped
	if one.Receive(replica.HelloUnder(old, 3, 1)); one.Status().Dropped == dropped {
		t.Error("a hello of member 3 under the old secret is heard after its demotion")
	}
}

// Who is removed after it got a box stays removed for a member that opens its own box later.
func TestRemovedBeforeTheBoxIsOpened(t *testing.T) {
	g := rekeyed(t, 32, 5)
	g.seats[2].manual = true
	entry, secret := g.rekeyEntry(1)
	check(t, g.tell(1, entry))
	g.tick(5)
	g.change(1, "remove 3")
	g.tick(5)
	two := g.seats[2]
	two.manual = false
	for _, part := range two.later {
		part()
	}
	g.tick(5)
	if g.secretOf(2) != secret {
		t.Fatal("the box was not opened")
	}
	dropped := two.node.Status().Dropped
	if two.node.Receive(replica.HelloUnder(secret, 3, 2)); two.node.Status().Dropped == dropped {
		t.Error("member 2 hears who was removed")
	}
}

// A box that holds another secret than the group agreed on is not used: the maker of the entry was wrong, or lied.
func TestBoxWithAnotherSecret(t *testing.T) {
	g := rekeyed(t, 34, 3)
	old := g.secretOf(3)
	entry, _ := g.rekeyEntry(1)
	entry = entry[:len(entry)-1] + string("0123456789abcdef"[(entry[len(entry)-1]+1)%16]) // the last box is member 3's
	check(t, g.tell(1, entry))
	g.tick(20)
	if st := g.seats[3].node.Status().Secret; st.Problem == nil || !st.Behind || g.secretOf(3) != old {
		t.Errorf("member 3: %+v", st)
	}
	g.must(3, 10)
	g.tick(700) // the others have dropped the secret that it has
	secret := g.rekey(1)
	check(t, g.seats[3].node.AdoptSecret(&secret)) // it asked
	g.tick(60)
	g.under(secret, 2, 1, 2, 3)
	g.agree()
}
