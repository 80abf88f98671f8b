package sim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// fleet is who belongs to it, and the operators, who replace what is lost and
// change the members meanwhile. One change at a time, as people do.
type fleet struct {
	*run
	roster     *roster.Roster  // after the last change in the history
	sufficient map[uint64]bool // by the sum of a signed change: enough operators signed it
	last       uint64          // place of the last change
	busy       bool
	shrinks    uint64 // serial of the last change that was to take a voter
	grows      uint64 // serial of the last change that was to make one
	promoted   uint64 // of whom
	target     int    // how many voters there should be
	churn      float64
	hostile    float64
	keys       []ed25519.PrivateKey
}

func newFleet(r *run) *fleet {
	return &fleet{run: r, sufficient: map[uint64]bool{}, keys: r.pool.operators}
}

// member is a machine as the roster has it.
func member(number uint64, learner bool) roster.Member {
	name := fmt.Sprint("m", number)
	sealing := make([]byte, roster.SealingSize)
	copy(sealing, name)
	return roster.Member{
		Number: number, Name: name, DataCenter: fmt.Sprint("dc", number%places), Address: name + ".example:1",
		Identity: sha256.Sum256([]byte(name)), Sealing: sealing, Learner: learner,
	}
}

// hardened says whether a run's fleet has a key of the second suite: three in four have.
func hardened(r *run) bool { return r.policy.MaxAttempts != 3 }

// newRoster is the roster that a group of one member is founded with.
func newRoster(r *run) *roster.Roster {
	x := &roster.Roster{Fleet: r.pool.fleet, Groups: 1, Quorum: 2, MinVersion: 1, Policy: roster.Policy(r.policy), Members: []roster.Member{member(1, false)}, Highest: 1}
	if hardened(r) {
		x.Hardening = r.pool.hardening
	}
	for i, k := range r.pool.operators {
		x.Operators = append(x.Operators, roster.Operator{Name: fmt.Sprint("op", i), Key: *public(k)})
	}
	return x
}

// changed is told of a change that came into the history.
func (f *fleet) changed(m *wrapper, accepted bool) {
	if accepted {
		f.roster, f.last = m.Roster(), m.at
		f.note("members", f.roster.Serial, uint64(len(f.roster.Members)))
		f.arrange()
	}
}

// arrange makes the machines of new members, and takes some of those that were removed away;
// others go on as if nothing had happened.
func (f *fleet) arrange() {
	for _, y := range f.relays {
		f.after(f.between(0, 2*second), y.open)
	}
	for _, m := range f.roster.Members {
		if f.host(m.Number) == nil {
			f.after(f.between(0, 200*millisecond), func() { f.admit(m.Number) })
		}
	}
	for _, h := range f.hosts {
		if !f.belongs(h) && !h.lost && f.chance(0.5) {
			f.after(f.between(0, 2*second), h.lose)
		}
	}
}

// belongs says whether a host is a member.
func (f *fleet) belongs(h *host) bool {
	_, is := f.roster.Member(h.number)
	return is
}

func (f *fleet) voters() (n int) {
	for _, m := range f.roster.Members {
		if !m.Learner {
			n++
		}
	}
	return n
}

// least is how few voters there may be by the next change.
func (f *fleet) least() int {
	if f.shrinks > f.roster.Serial {
		return f.voters() - 1
	}
	return f.voters()
}

// spare is how many voters can be lost now and the others still decide. One that
// was rolled back may halt when it sees what it has forgotten.
func (f *fleet) spare() int {
	n := f.voters()
	for _, h := range f.hosts {
		if !h.lost && f.belongs(h) && h.knows < f.last {
			return 0 // those who have not heard of the last change count by the one before
		}
	}
	for _, m := range f.roster.Members {
		if !m.Learner && !f.sound(m.Number) {
			n--
		}
	}
	if f.shrinks > f.roster.Serial {
		n-- // a change is on its way that takes a voter
	}
	spare := n - roster.Needed(f.voters(), int(f.roster.Tolerate))
	if f.grows > f.roster.Serial { // one is on its way that makes one, who may be dead by now
		if f.sound(f.promoted) {
			n++
		}
		spare = min(spare, n-roster.Needed(f.voters()+1, int(f.roster.Tolerate)))
	}
	return spare
}

// sound says whether a member can be counted on.
func (f *fleet) sound(number uint64) bool {
	h := f.host(number)
	return h != nil && h.stateful && !h.lost && !h.mustRefuse && !h.tampered && !h.rolled
}

// bears says whether a learner may be given a vote: one that may fail for what was done to its
// disk before, only where the others can decide without it.
func (f *fleet) bears(learner uint64) bool {
	n := 0
	for _, m := range f.roster.Members {
		if !m.Learner && f.sound(m.Number) {
			n++
		}
	}
	return f.sound(learner) || n >= roster.Needed(f.voters()+1, int(f.roster.Tolerate))
}

// attend is what the operators do every now and then.
func (f *fleet) attend() {
	f.after(f.between(100*millisecond, 600*millisecond), f.attend)
	if f.busy {
		return
	}
	if !f.settling && f.chance(f.hostile) {
		f.intrude()
		return
	}
	if c := f.needed(); c != nil {
		f.order(c)
	} else if !f.settling && f.chance(f.churn) {
		if c := f.whim(); c != nil {
			f.order(c)
		}
	}
}

// needed is what brings the fleet back to its size; nil for nothing.
func (f *fleet) needed() *roster.Change {
	var learner *host
	first := false // another voter must come before a lost one can go
	for _, m := range f.roster.Members {
		h := f.host(m.Number)
		switch {
		case h == nil:
			return nil // it is on its way
		case h.lost && (m.Learner || f.canShrink(h)):
			return f.about(roster.Remove, m.Number)
		case h.lost:
			first = true
		case m.Learner:
			learner = h
		}
	}
	switch {
	case f.voters() >= f.target && !first:
		return f.tolerance()
	case learner == nil:
		return f.add()
	case learner.up && learner.stateful && !f.bears(learner.number):
		return f.about(roster.Remove, learner.number) // another one comes
	case learner.up && learner.machine() != nil && learner.machine().at+8 >= uint64(len(f.history.places)):
		return f.about(roster.Promote, learner.number)
	}
	return nil
}

// canShrink says whether a voter may go: the roster asks that those who stay can do
// without one, and we that clocks that were wrong are fewer than a majority of them.
func (f *fleet) canShrink(but *host) bool {
	n, suspects := f.voters()-1, 0
	for _, h := range f.hosts {
		if h.suspect && h != but && f.belongs(h) {
			suspects++
		}
	}
	return n > 0 && suspects < n/2+1 && (f.roster.Tolerate == 0 || roster.Needed(n, int(f.roster.Tolerate)) < n)
}

func (f *fleet) tolerance() *roster.Change {
	if int(f.roster.Tolerate) >= f.tolerate {
		return nil
	}
	c := f.roster.Next(roster.SetTolerate)
	c.Tolerate = uint8(f.tolerate)
	return c
}

func (f *fleet) about(kind roster.Kind, number uint64) *roster.Change {
	c := f.roster.Next(kind)
	c.Member.Number = number
	return c
}

func (f *fleet) add() *roster.Change {
	c := f.roster.Next(roster.Add)
	c.Member = member(f.roster.Highest+1, true)
	return c
}

// whim is a change that nobody needs.
func (f *fleet) whim() *roster.Change {
	m := pick(f.world, f.roster.Members)
	switch n := f.random.IntN(4); {
	case n == 0 && len(f.roster.Members) < 9:
		return f.add()
	case n == 1 && f.voters() > 2 && f.spare() > 0 && f.canShrink(f.host(m.Number)):
		return f.about(roster.Remove, m.Number)
	case n == 2 && !m.Learner && f.voters() > 2 && f.spare() > 0 && f.canShrink(f.host(m.Number)):
		return f.about(roster.Demote, m.Number)
	case n == 3 && m.Learner && f.voters() < roster.MaxVoters && f.bears(m.Number):
		return f.about(roster.Promote, m.Number)
	}
	return nil
}

// sign makes a change as it travels, signed by some.
func (f *fleet) sign(c *roster.Change, by ...ed25519.PrivateKey) []byte {
	text, err := c.Text()
	if err != nil {
		panic("sim: internal error: a change without a text: " + err.Error())
	}
	return slices.Clone(f.pool.sign(text, by))
}

// order has two operators sign a change and gives it to some member.
func (f *fleet) order(c *roster.Change) {
	skip := f.random.IntN(len(f.keys))
	signed := f.sign(c, slices.Delete(slices.Clone(f.keys), skip, skip+1)...)
	f.sufficient[sum(signed)] = true
	f.note("order", uint64(c.Kind), c.Member.Number, c.Serial)
	if c.Kind == roster.Remove || c.Kind == roster.Demote {
		f.shrinks = c.Serial
	}
	if c.Kind == roster.Promote {
		f.grows, f.promoted = c.Serial, c.Member.Number
	}
	f.busy = true
	f.propose(signed, func(bool) { f.busy = false })
	f.after(4*second, func() { f.busy = false })
}

// intrude tries a change with one signature, with those of strangers, or one that was edited.
func (f *fleet) intrude() {
	c := f.about(roster.Remove, pick(f.world, f.roster.Members).Number)
	if f.chance(0.5) {
		c = f.add()
	}
	by := []ed25519.PrivateKey{pick(f.world, f.keys)}
	if f.chance(0.5) {
		by = append(slices.Clone(f.pool.strangers), by[0])
	}
	signed := f.sign(c, by...)
	f.note("intrude", uint64(c.Kind), c.Member.Number, sum(signed))
	f.propose(signed, func(bool) {})
}

// propose gives a signed change to a member that runs.
func (f *fleet) propose(signed []byte, done func(ok bool)) {
	var up []*host
	for _, h := range f.hosts {
		if h.up && !h.frozen && f.belongs(h) {
			up = append(up, h)
		}
	}
	if len(up) == 0 {
		done(false)
		return
	}
	h := pick(f.world, up)
	h.node.Change(signed, func(effect any, err error) {
		at, ok := effect.(*placed)
		if !ok || err != nil {
			f.say("change at", h.number, err)
			done(false)
			return
		}
		f.history.acked = max(f.history.acked, at.at)
		refused := at.effect.(*machine.Outcome).Refused
		f.say("change at", h.number, refused)
		done(refused == nil)
	})
	h.touch()
}

// admit makes the machine of a new member and lets it join.
func (f *fleet) admit(number uint64) {
	if f.host(number) != nil {
		return
	}
	h := f.newHost(number)
	h.knows = f.last // it cannot vote before it has the state
	f.join(h, f.nonce())
}

func (f *fleet) nonce() (n [32]byte) {
	for i := range n {
		n[i] = byte(f.random.IntN(256))
	}
	return n
}

// join asks for the group's secret, which is given to a number once, and then joins.
func (f *fleet) join(h *host, nonce [32]byte) {
	again := func() { f.after(f.between(50, 500)*millisecond, func() { f.join(h, nonce) }) }
	from := f.anybody()
	switch {
	case !f.belongs(h):
		h.lose()
		return
	case from == nil:
		again()
		return
	}
	answered := false
	f.after(2*second, func() {
		if !answered && !h.counter.founded { // who was asked has crashed
			answered = true
			f.join(h, nonce)
		}
	})
	from.node.Propose(machine.WelcomeEntry(h.number, nonce), func(effect any, err error) {
		at, ok := effect.(*placed)
		late := answered
		answered = true
		switch {
		case late:
		case !ok || err != nil || !from.up || from.node.Status().Secret.Behind:
			again()
		case !at.effect.(*machine.Welcome).OK:
			h.lose()
		default:
			f.welcome(h, from, nonce)
		}
	})
	from.touch()
}

func (f *fleet) welcome(h, from *host, nonce [32]byte) {
	if h.counter.founded {
		return // it was, and the answer to an earlier question comes late
	}
	f.note("welcome", h.number, from.number)
	var err error
	from.node.Secret(func(secret []byte) {
		err = replica.Join(context.Background(), h.config(), h.number, (*[32]byte)(secret))
	})
	switch {
	case err == nil:
		h.start()
	case errors.Is(err, errPower) || errors.Is(err, errIO): // the machine is switched on again, and goes on
		h.crash(errors.Is(err, errPower))
		h.power.gone = false
		f.after(second, func() {
			if h.start(); !h.counter.founded {
				f.join(h, nonce)
			}
		})
	default:
		f.fail(unharmed, "member %d cannot join: %v", h.number, err)
	}
}

// anybody is a member that has a state.
func (f *fleet) anybody() *host {
	var able []*host
	for _, h := range f.hosts {
		if h.up && !h.frozen && h.machine() != nil && h.machine().at > 0 && f.belongs(h) {
			able = append(able, h)
		}
	}
	if len(able) == 0 {
		return nil
	}
	return pick(f.world, able)
}
