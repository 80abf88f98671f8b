package sim

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

var (
	table  = flag.String("table", "", "file to write the table of planted bugs to, between its markers")
	inside = flag.Bool("inside", false, "only the bugs inside packages, which need the tag planted")
)

// bug is a part that is spoilt on purpose. Which seed finds it changes with every change of
// replica: the bounds leave room.
type bug struct {
	name    string
	hooks   hooks
	planted *bool  // a variable of package planted; nil: the hooks are all
	within  uint64 // seeds within which it must be found
}

// bugs are those that wrappers can plant; planted_tagged_internal_test.go has those
// inside packages.
var bugs = []bug{
	{name: "an attempt is evaluated before it is committed", hooks: hooks{decide: evaluateFirst}, within: 50},
	{name: "a repeated attempt is counted again", hooks: hooks{wrap: wrapForgetful}, within: 50},
	{name: "a change needs no signatures", hooks: hooks{wrap: wrapSigning}, within: 100},
	{name: "registering again refills", hooks: hooks{wrap: wrapRefilling}, within: 100},
	{name: "catching up keeps the old state", hooks: hooks{wrap: wrapKeeping}, within: 300},
	{name: "a group tolerates fewer rolled-back members than it says", hooks: hooks{wrap: wrapIntolerant}, within: 600},
	{name: "a refusal is answered from the local state", hooks: hooks{decide: answerLocally}, within: 100},
	{name: "a member's own clock is the vault's", hooks: hooks{time: (*host).clock}, within: 100},
	{name: "a member that lost its state is welcomed again", hooks: hooks{wrap: wrapWelcoming}, within: 600},
	{name: "messages and answers leave before the batch is durable", hooks: hooks{step: keepBefore, power: loseLast}, within: 1000},
}

func TestPlantedBugsAreFound(t *testing.T) {
	var rows strings.Builder
	foundAll(t)
	for _, b := range bugs {
		if *inside && b.planted == nil {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			began := time.Now()
			seed, f := b.find(t)
			if f == nil {
				t.Fatalf("not found within %d seeds", b.within)
			}
			fmt.Fprintf(&rows, "| %s | %d | %s | %.1f |\n", b.name, seed, f.Invariant, time.Since(began).Seconds())
			if r := Run(b.options(t, seed, false)); r.Failure != nil {
				t.Errorf("seed %d fails without the bug too: %v", seed, r.Failure)
			}
		})
	}
	if rows.Len() == 0 {
		t.Error("no bug was planted and found")
	}
	if *table != "" && !t.Failed() {
		writeTable(t, rows.String())
	}
}

// foundAll founds fleets of all kinds before there is a bug.
func foundAll(t *testing.T) {
	for _, members := range []int{3, 5, 7} {
		for tolerate := 0; roster.Needed(members, tolerate) < members; tolerate++ {
			for _, p := range policies {
				r := &run{world: newWorld(1, nil), pool: thePool(), members: members, tolerate: tolerate, policy: p, farthest: millisecond}
				found(r, new(bug).options(t, 1, false))
			}
		}
	}
}

func (b *bug) options(t *testing.T, seed uint64, spoilt bool) Options {
	o := Options{Seed: seed, Reseed: func(s uint64) { cryptotest.SetGlobalRandom(t, s) }}
	if spoilt {
		o.hooks = b.hooks
	}
	o.hooks.ambush, o.hooks.stalls = b.hooks.ambush, b.hooks.stalls // the same run but for the bug
	return o
}

// find runs seeds until one shows the bug.
func (b *bug) find(t *testing.T) (uint64, *Failure) {
	if b.planted != nil {
		*b.planted = true
		defer func() { *b.planted = false }()
	}
	for seed := uint64(1); seed <= b.within; seed++ {
		if r := Run(b.options(t, seed, true)); r.Failure != nil {
			t.Logf("seed %d: %v", seed, r.Failure)
			return seed, r.Failure
		}
	}
	return 0, nil
}

// writeTable replaces what is between the markers of a file.
func writeTable(t *testing.T, rows string) {
	const begin, end = "<!-- planted bugs: begin -->\n", "<!-- planted bugs: end -->"
	b, err := os.ReadFile(*table)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no markers", *table)
	}
	head := "| bug | seeds until found | found by | seconds |\n|---|--:|---|--:|\n"
	if err := os.WriteFile(*table, []byte(before+begin+head+rows+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// evaluateFirst applies an attempt to a copy of the state, evaluates, and lets the
// commit follow.
func evaluateFirst(c *call, command *vault.Command) (*vault.Effect, error) {
	m := c.host.machine()
	if _, ok := command.Body.(*vaultapi.AttemptBody); !ok || m == nil || m.at < 2 {
		return c.host.pool.door.Execute(c, c, command)
	}
	var b bytes.Buffer
	p := m.State().Checkpoint()
	defer p.Release()
	must(p.WriteTo(&b))
	command.Time = c.Time()
	e := must(must(vault.Load(&b)).Apply(command))
	if e.Evaluate == nil {
		return c.host.pool.door.Execute(c, c, command)
	}
	c.place = m.at
	c.host.node.Propose(command.Encode(), func(any, error) {})
	return e, nil
}

// answerLocally leaves the linearizable read out.
func answerLocally(c *call, command *vault.Command) (*vault.Effect, error) {
	if m := c.host.machine(); m != nil {
		command.Time = c.Time()
		if e, decided := m.State().Check(command); decided {
			c.place = m.at
			return e, nil
		}
	}
	return c.host.pool.door.Execute(c, c, command)
}

// keepBefore and loseLast: when the power goes, disk and anchor are as they were
// before the last step, whose messages and answers are on their way.
func keepBefore(h *host) {
	h.images = append(h.images[:0], stored{h.disk.image(), *h.counter, h.disk.synced})
}

func loseLast(h *host) {
	if len(h.images) > 0 && !h.rolled {
		h.put(h.images[0], true)
		h.rolled = false
	}
}

// forgetful takes every attempt for a new one.
type forgetful struct{ inner }

func wrapForgetful(_ *host, m inner) inner { return &forgetful{m} }

func (f *forgetful) Apply(entry []byte, asked bool) (any, error) {
	c, err := vault.DecodeCommand(entry)
	if err != nil || c.Kind != vault.Request {
		return f.inner.Apply(entry, asked)
	}
	b, ok := c.Body.(*vaultapi.AttemptBody)
	if !ok {
		return f.inner.Apply(entry, asked)
	}
	id := b.Attempt
	b.Attempt = vaultapi.ID(c.Random[:16])
	e, err := f.inner.Apply(c.Encode(), asked)
	if effect, ok := e.(*vault.Effect); ok && effect != nil {
		if z, ok := effect.Answer.Body.(*vaultapi.Evaluation); ok {
			z.Attempt = id
		}
	}
	return e, err
}

// signing adds what signatures a change lacks.
type signing struct {
	inner
	run *run
}

func wrapSigning(h *host, m inner) inner { return &signing{m, h.run} }

func (s *signing) Change(signed []byte) (any, error) {
	x, err := roster.DecodeSigned(signed)
	if err != nil {
		return s.inner.Change(signed)
	}
	y := &roster.Signed{Text: x.Text}
	for _, k := range s.run.pool.operators {
		y.Add(must(roster.Sign(x.Text, k)))
	}
	return s.inner.Change(y.Encode())
}

// refilling takes every Confirm for one that the unlock key signed.
type refilling struct {
	inner
	run *run
}

func wrapRefilling(h *host, m inner) inner { return &refilling{m, h.run} }

func (s *refilling) Apply(entry []byte, asked bool) (any, error) {
	c, err := vault.DecodeCommand(entry)
	if err != nil || c.Kind != vault.Request {
		return s.inner.Apply(entry, asked)
	}
	b, ok := c.Body.(*vaultapi.ConfirmBody)
	if !ok || b.Kind != vaultapi.ByNobody {
		return s.inner.Apply(entry, asked)
	}
	if next := s.run.clients.made[b.Record]; next != nil {
		if of := s.liveOf(c); of != nil {
			message := vaultapi.ConfirmMessage(s.run.pool.fleet, c.Account, of.id, next.propose.body.(*vaultapi.ProposeBody).Digest())
			b.Authority = vaultapi.Authority{Kind: vaultapi.ByUnlock, Signature: [64]byte(ed25519.Sign(of.secret.unlock, message))}
		}
	}
	return s.inner.Apply(c.Encode(), asked)
}

// liveOf is the record that an account has in this member's state.
func (s *refilling) liveOf(c *vault.Command) *record {
	e, _ := s.State().Check(&vault.Command{Kind: vault.Request, Time: c.Time, Account: c.Account, Body: &vaultapi.StatusBody{}})
	if e == nil {
		return nil
	}
	if r, ok := e.Answer.Body.(*vaultapi.StatusReport); ok {
		return s.run.clients.made[r.Record]
	}
	return nil
}

// keeping reads a picture of another member and keeps the state that was there.
type keeping struct {
	inner
	host *host
}

func wrapKeeping(h *host, m inner) inner { return &keeping{m, h} }

func (s *keeping) Restore(r io.Reader) error {
	if s.host.node == nil { // a start
		return s.inner.Restore(r)
	}
	old := s.host.machine()
	if old == nil || old.at < 3 {
		return s.inner.Restore(r)
	}
	s.inner = old.inner.(*keeping).inner
	_, err := io.Copy(io.Discard, r)
	return err
}

// welcoming gives the group's secret to everybody who asks.
type welcoming struct{ inner }

func wrapWelcoming(_ *host, m inner) inner { return &welcoming{m} }

func (w *welcoming) Apply(entry []byte, asked bool) (any, error) {
	e, err := w.inner.Apply(entry, asked)
	if x, ok := e.(*machine.Welcome); ok {
		return &machine.Welcome{Number: x.Number, OK: true}, err
	}
	return e, err
}

// intolerant says that it tolerates one member less than its roster says.
type intolerant struct{ inner }

func wrapIntolerant(_ *host, m inner) inner { return &intolerant{m} }

func (i *intolerant) Tolerate() int { return max(0, i.inner.Tolerate()-1) }

var _ replica.Machine = (*intolerant)(nil)
