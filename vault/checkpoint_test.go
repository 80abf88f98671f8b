package vault_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"testing"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// everyPhase is a state with an account in each phase, with full lists and a
// channel key.
func everyPhase(t tester) *world {
	w := newWorld(t, policy())
	w.apply(channelKey(1, start, start+365*day))
	prepare := map[string]func(*person){
		"registered": func(p *person) { p.register("registered", 10) },
		"tombstone":  func(p *person) { p.burn(p.register("tombstone", 2), "wrong", 2) },
		"deleted": func(p *person) {
			s := p.register("deleted", 5)
			p.burn(s, "wrong", 3)
			p.remove(s, vaultapi.ByNobody)
			w.pass(7 * day)
			p.expect(p.remove(s, vaultapi.ByNobody), vaultapi.OK)
		},
	}
	for _, name := range []string{"registered", "tombstone", "deleted"} {
		prepare[name](w.person(name))
	}
	w.person("proposed").propose(password("proposed", 10))
	deleting, changing, proved, last := w.person("deleting"), w.person("changing"), w.person("proved"), w.person("last")
	deleting.remove(deleting.register("deleting", 10), vaultapi.ByNobody)
	changing.register("changing", 10)
	changing.propose(password("changed", 10))
	changing.confirm(password("changed", 10), nil, vaultapi.ByNobody)
	s := proved.register("proved", 10)
	for i := range 3 {
		proved.attempt(newGuess("wrong", i))
		proved.attempt(newGuess("right", i))
		proved.prove(newGuess("right", i), s, signer("phone"))
	}
	next := password("next", 10)
	proved.propose(next)
	proved.confirm(next, s, vaultapi.ByUnlock)
	proved.attempt(newGuess("since"))
	one := last.register("last", 1)
	newGuess("last").output(t, last.attempt(newGuess("last")), one.key)
	return w
}

func TestEveryPhaseIsKept(t *testing.T) {
	w := everyPhase(t)
	if got := w.state.Counts(); got.Records != 5 || got.Tombstones != 2 || got.Pending != 3 {
		t.Errorf("counts %+v", got)
	}
	before := w.state.Counts()
	w.reload()
	if after := w.state.Counts(); after.Records != before.Records || after.Tombstones != before.Tombstones || after.Pending != before.Pending {
		t.Errorf("counts %+v before, %+v after", before, after)
	}
}

// resum puts the right sum at the end of a checkpoint that was changed.
func resum(b []byte) []byte {
	b = bytes.Clone(b[:len(b)-4])
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// rewritten loads a checkpoint and writes it again: the same bytes, or nothing is
// loaded. With ask it goes on working: no state that loads makes a request panic.
func rewritten(t *testing.T, b []byte, ask bool) {
	t.Helper()
	s, err := vault.Load(bytes.NewReader(b))
	if err != nil {
		return
	}
	c := s.Checkpoint()
	defer c.Release()
	var again bytes.Buffer
	must(c.WriteTo(&again))
	if !bytes.Equal(again.Bytes(), b) {
		t.Errorf("%x is written as %x", b, again.Bytes())
	}
	if !ask {
		return
	}
	v := s.Fleet()
	p := (&world{t: t, fleet: v.ID, now: v.Time + 1}).person("registered")
	for _, body := range p.everything(password("registered", 10)) {
		s.Check(p.command(body))
	}
}

// Every truncation and every changed byte of a checkpoint is refused by its sum;
// with the right sum it is refused or is another state.
func TestMangledCheckpoint(t *testing.T) {
	w := everyPhase(t)
	b := w.checkpoint()
	for n := range b {
		m := bytes.Clone(b)
		m[n] ^= byte(1 << (n % 8))
		for _, m := range [][]byte{b[:n], m} {
			if _, err := vault.Load(bytes.NewReader(m)); err == nil {
				t.Fatalf("%d bytes, byte %d changed: loaded", len(m), n)
			}
		}
		rewritten(t, resum(m), n%16 == 0)
	}
	if _, err := vault.Load(bytes.NewReader(append(bytes.Clone(b), 0))); err == nil {
		t.Error("loaded with a byte more")
	}
}

func FuzzLoad(f *testing.F) {
	w := newWorld(f, policy())
	f.Add(w.checkpoint())
	w.person("registered").register("registered", 1)
	f.Add(w.checkpoint())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 {
			rewritten(t, resum(b), true)
		}
	})
}

// A picture is of one time, and is written while the state goes on.
func TestCheckpointWhileTheStateGoesOn(t *testing.T) {
	w := everyPhase(t)
	want := w.checkpoint()
	c, got := w.state.Checkpoint(), make(chan []byte)
	go func() {
		var b bytes.Buffer
		c.WriteTo(&b)
		c.Release()
		got <- b.Bytes()
	}()
	p := w.person("registered")
	s := password("registered", 10)
	for i := range 9 {
		w.now += day
		must(w.state.Apply(p.command(newGuess(i).body())))
	}
	must(w.state.Apply(p.command(&vaultapi.DeleteBody{Record: s.record, Authority: s.sign(vaultapi.ByUnlock, vaultapi.DeleteMessage(w.fleet, p.account, s.record))})))
	if !slices.Equal(<-got, want) {
		t.Error("the picture is not of the time when it was taken")
	}
	if _, err := c.WriteTo(io.Discard); err == nil {
		t.Error("a released checkpoint is written")
	}
	w.now += 2 * day
	w.tick()
	if w.holds(s) {
		t.Error("k of a deleted record is in the state")
	}
}

// Lists are bounded: however often somebody attempts, proves, registers and
// deletes, an account stays under 8 KiB, and what is recent is remembered.
func TestListsAreBounded(t *testing.T) {
	p := policy()
	p.Waits = make([]uint64, 9)
	w := newWorld(t, p)
	alice := w.person("alice")
	s := alice.register("password", 10)
	for i := range 60 {
		w.pass(second)
		alice.attempt(newGuess("wrong", i))
		alice.attempt(newGuess("right", i))
		if a := alice.prove(newGuess("right", i), s, nil); len(a.Body.(*vaultapi.History).Past) != 1+8*min(i, 1) {
			t.Fatalf("round %d: history %+v", i, a.Body)
		}
		next := password(string(rune(i)), 10)
		alice.propose(next)
		alice.expect(alice.confirm(next, s, vaultapi.ByDevice), vaultapi.OK)
		for j := range 8 {
			alice.attempt(newGuess("thief", i, j))
		}
		s = next
	}
	if n := len(w.checkpoint()); n > 8<<10 {
		t.Errorf("a checkpoint of %d bytes", n)
	}
	past := alice.status().Body.(*vaultapi.StatusReport).Past
	if n := len(past); n != 8 || past[n-1].Attempt != newGuess("thief", 59, 7).id {
		t.Errorf("%d attempts in the history", n)
	}
	for i := range 30 { // without a proof in between
		next := password("more"+string(rune(i)), 10)
		alice.propose(next)
		alice.confirm(next, s, vaultapi.ByDevice)
		alice.attempt(newGuess("more", i))
		s = next
	}
	past = alice.status().Body.(*vaultapi.StatusReport).Past
	if n := len(past); n != vaultapi.MaxHistory || past[n-1].Attempt != newGuess("more", 29).id {
		t.Errorf("%d attempts in the history", n)
	}
	w.reload()
}
