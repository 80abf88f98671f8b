package machine_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"

	"keepsake.example/oprf"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

const begin = 1_800_000_000_000

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// kit is a fleet of three operators and what founds it.
type kit struct {
	operators []ed25519.PrivateKey
	roster    *roster.Roster
	genesis   *vault.Command
}

func member(n uint64) roster.Member {
	key := must(hpke.MLKEM768X25519().NewPrivateKey(bytes.Repeat([]byte{byte(n)}, 32)))
	return roster.Member{
		Number: n, Name: fmt.Sprint("m", n), DataCenter: "dc", Address: fmt.Sprint("host", n, ":7000"),
		Identity: [32]byte(edKey(byte(n)).Public().(ed25519.PublicKey)), Sealing: key.PublicKey().Bytes(), Learner: true,
	}
}

func edKey(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func newKit(groups uint32) *kit {
	k := &kit{genesis: &vault.Command{Kind: vault.Genesis, Time: begin, IdentitySeed: vault.Seed{1}, NamingKey: vault.Seed{2}}}
	identity := ed25519.NewKeyFromSeed(k.genesis.IdentitySeed[:]).Public().(ed25519.PublicKey)
	k.genesis.Fleet = sha256.Sum256(append([]byte("keepsake fleet id\x01"), identity...))
	k.genesis.Policy = vault.Policy{MaxAttempts: 10, Waits: make([]uint64, 9), CoolDown: 1000, Grace: 1000, Insecure: true}
	first := member(1)
	first.Learner = false
	k.roster = &roster.Roster{
		Fleet: k.genesis.Fleet, Groups: groups, Quorum: 2, Policy: roster.Policy(k.genesis.Policy), Members: []roster.Member{first}, Highest: 1,
	}
	for i := range 3 {
		key := edKey(byte(100 + i))
		k.operators = append(k.operators, key)
		k.roster.Operators = append(k.roster.Operators, roster.Operator{Name: fmt.Sprint("o", i), Key: [32]byte(key.Public().(ed25519.PublicKey))})
	}
	return k
}

// found makes a machine with the genesis applied, and counts what it tells.
func (k *kit) found(t testing.TB, group uint32) (*machine.Machine, *int) {
	t.Helper()
	told := new(int)
	m := machine.New(group, func() { *told++ })
	for _, entry := range [][]byte{k.roster.Encode(), k.genesis.Encode()} {
		if _, err := m.Apply(entry, false); err != nil {
			t.Fatal(err)
		}
	}
	return m, told
}

// sign makes a change that so many operators signed.
func (k *kit) sign(c *roster.Change, by int) []byte {
	s := &roster.Signed{Text: must(c.Text())}
	for _, key := range k.operators[:by] {
		if err := s.Add(must(roster.Sign(s.Text, key))); err != nil {
			panic(err)
		}
	}
	return s.Encode()
}

func add(m *machine.Machine, number uint64) *roster.Change {
	c := m.Roster().Next(roster.Add)
	c.Member = member(number)
	return c
}

// change applies a change and returns its outcome.
func change(t testing.TB, m *machine.Machine, signed []byte) *machine.Outcome {
	t.Helper()
	effect, err := m.Change(signed)
	if err != nil {
		t.Fatal(err)
	}
	return effect.(*machine.Outcome)
}

func picture(t testing.TB, m replica.Machine) []byte {
	t.Helper()
	c := m.Checkpoint()
	defer c.Release()
	var b bytes.Buffer
	n, err := c.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d, said %d, %v", b.Len(), n, err)
	}
	return b.Bytes()
}

func request(body vaultapi.Body, name string) []byte {
	c := &vault.Command{Kind: vault.Request, Time: begin + 1, Account: must(vaultapi.NewAccount("https://id.example.org", name)), Body: body}
	return c.Encode()
}

func proposal(id byte) *vaultapi.ProposeBody {
	k := must(oprf.GenerateKey(rand.Reader))
	b := &vaultapi.ProposeBody{Record: vaultapi.ID{id}, Limit: 10, Unlock: [32]byte{3}, Device: [32]byte{4}, Envelope: []byte("C")}
	k.Use(func(s *[32]byte) { b.Key = vaultapi.NewSecret(s) })
	return b
}

func apply(t testing.TB, m *machine.Machine, entry []byte, asked bool) *vault.Effect {
	t.Helper()
	e, err := m.Apply(entry, asked)
	if err != nil {
		t.Fatal(err)
	}
	return e.(*vault.Effect)
}

// The first entries are the roster, then the vault's Genesis of the same fleet with the same policy.
func TestFounding(t *testing.T) {
	k := newKit(1)
	if _, err := machine.New(0, nil).Apply(k.genesis.Encode(), true); err == nil {
		t.Error("a Genesis without a roster")
	}
	if _, err := machine.New(1, nil).Apply(k.roster.Encode(), true); err == nil {
		t.Error("a group that the fleet does not have")
	}
	if m := machine.New(0, nil); m.Roster() != nil || m.Members() != nil || m.Tolerate() != 0 || m.ChangesAfter(0) != nil {
		t.Error("a machine without state has members")
	}
	if _, err := machine.New(0, nil).Change(k.sign(add(must2(k.found(t, 0)), 2), 2)); err == nil {
		t.Error("a change before the roster")
	}
	for name, spoil := range map[string]func(*vault.Command){
		"policy": func(c *vault.Command) { c.Policy.CoolDown++ },
		"fleet":  func(c *vault.Command) { *c = *otherFleet().genesis },
	} {
		m, other := machine.New(0, nil), newKit(1).genesis
		spoil(other)
		must(m.Apply(k.roster.Encode(), true))
		if _, err := m.Apply(other.Encode(), true); err == nil {
			t.Errorf("a Genesis of another %s than the roster's", name)
		}
	}
}

func must2(m *machine.Machine, _ *int) *machine.Machine { return m }

// Members come and go by signed changes and by nothing else; a refused one changes no byte.
func TestChangesBySignature(t *testing.T) {
	k := newKit(1)
	m, told := k.found(t, 0)
	before := picture(t, m)
	c := add(m, 2)
	for name, signed := range map[string][]byte{
		"one of two signatures": k.sign(c, 1), "nobody's": k.sign(c, 0), "nothing": {}, "a bit of it": k.sign(c, 2)[:100],
	} {
		if o := change(t, m, signed); o.Change != nil || o.Refused == nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if _, refused := errors.AsType[*roster.Refusal](change(t, m, k.sign(c, 1)).Refused); !refused {
		t.Error("a refusal does not say why")
	}
	if *told != 0 || !bytes.Equal(picture(t, m), before) {
		t.Errorf("refused changes changed something; told %d times", *told)
	}
	signed := k.sign(c, 2)
	if o := change(t, m, signed); o.Refused != nil || o.Change.Member.Number != 2 {
		t.Fatalf("%+v", o)
	}
	want := []replica.Member{{Number: 1}, {Number: 2, Learner: true}}
	if got := m.Members(); fmt.Sprint(got) != fmt.Sprint(want) || *told == 0 {
		t.Errorf("members %v, want %v; told %d times", got, want, *told)
	}
	if o := change(t, m, signed); o.Refused == nil {
		t.Error("the same change twice")
	}
	if all := m.ChangesAfter(0); len(all) != 1 || !bytes.Equal(all[0], signed) || m.ChangesAfter(1) != nil {
		t.Errorf("changes kept: %d", len(all))
	}
}

// A policy that operators made stricter is the vault's in the same step, and told.
func TestPolicyReachesTheVault(t *testing.T) {
	k := newKit(1)
	m, told := k.found(t, 0)
	c := m.Roster().Next(roster.SetPolicy)
	c.Policy = roster.Policy{MaxAttempts: 10, Waits: make([]uint64, 9), CoolDown: 2000, Grace: 1000, Insecure: true}
	c.Policy.Waits[8] = 77
	if o := change(t, m, k.sign(c, 2)); o.Refused != nil {
		t.Fatal(o.Refused)
	}
	view := m.State().Fleet()
	if view.Policy.CoolDown != 2000 || view.Policy.Waits[8] != 77 || view.Serial != 1 || *told == 0 {
		t.Errorf("the vault's policy is %+v, serial %d, told %d times", view.Policy, view.Serial, *told)
	}
	c = m.Roster().Next(roster.SetPolicy)
	c.Policy = roster.Policy{MaxAttempts: 10, Waits: make([]uint64, 9), CoolDown: 1000, Grace: 1000, Insecure: true}
	if o := change(t, m, k.sign(c, 3)); o.Refused == nil {
		t.Error("a weaker policy")
	}
	// Not by an entry either, which has no signature.
	before := picture(t, m)
	stricter := &vault.Command{Kind: vault.Restrict, Policy: m.State().Fleet().Policy}
	stricter.Policy.CoolDown = 3000
	if e := apply(t, m, stricter.Encode(), true); e.Answer.Code != vaultapi.Unsupported || !bytes.Equal(before, picture(t, m)) {
		t.Errorf("a policy that nobody signed: %v", e.Answer.Code)
	}
}

// Where nobody asked, no key is copied, and the state is the same.
func TestUnasked(t *testing.T) {
	k := newKit(1)
	one, two := must2(k.found(t, 0)), must2(k.found(t, 0))
	b := must(oprf.Blind(rand.Reader, []byte("x"))).Blinded().Bytes()
	p := proposal(1)
	for i, body := range []vaultapi.Body{p, &vaultapi.ConfirmBody{Record: p.Record}, &vaultapi.AttemptBody{Attempt: vaultapi.ID{1}, Blinded: b}} {
		entry := request(body, "alice")
		asked, not := apply(t, one, entry, true), apply(t, two, entry, false)
		if isAttempt := i == 2; (asked.Evaluate != nil) != isAttempt || not.Evaluate != nil {
			t.Errorf("request %d: evaluations %v, %v", i, asked.Evaluate != nil, not.Evaluate != nil)
		}
	}
	if !bytes.Equal(picture(t, one), picture(t, two)) {
		t.Error("who asks changes the state")
	}
}

// Each record is in one group, and no other takes a request for it: in two groups it would have two counts.
func TestGroups(t *testing.T) {
	k := newKit(4)
	var all [4]*machine.Machine
	for i := range all {
		all[i] = must2(k.found(t, uint32(i)))
	}
	for n := range 16 {
		name := fmt.Sprint("account", n)
		entry := request(proposal(1), name)
		took := 0
		own := machine.Group(all[0].State().Name(must(vaultapi.NewAccount("https://id.example.org", name))), 4)
		for i, m := range all {
			before := picture(t, m)
			code := apply(t, m, entry, true).Answer.Code
			switch {
			case code == vaultapi.OK:
				took++
				if own != uint32(i) {
					t.Errorf("%s is of group %d, group %d took it", name, own, i)
				}
			case code != vaultapi.Unsupported || !bytes.Equal(before, picture(t, m)):
				t.Errorf("group %d answered %v", i, code)
			}
		}
		if took != 1 {
			t.Errorf("%d groups took %s", took, name)
		}
	}
	for _, c := range []struct {
		first  byte
		groups uint32
		want   uint32
	}{{0xff, 1, 0}, {0x7f, 2, 0}, {0x80, 2, 1}, {0xbf, 4, 2}, {0xfe, 256, 0xfe}} {
		if got := machine.Group([16]byte{c.first}, c.groups); got != c.want {
			t.Errorf("name %x.. of %d groups is in %d, want %d", c.first, c.groups, got, c.want)
		}
	}
}

// A number is welcomed once: again with the same nonce, never with another, and
// nobody who is no member. The founder was welcomed by founding.
func TestWelcomedOnce(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	asks := func(m *machine.Machine, number uint64, nonce byte, want bool) {
		t.Helper()
		e, err := m.Apply(machine.WelcomeEntry(number, [32]byte{nonce}), true)
		if err != nil {
			t.Fatal(err)
		}
		if w := e.(*machine.Welcome); w.OK != want || w.Number != number {
			t.Errorf("member %d with nonce %d: %+v, want %v", number, nonce, w, want)
		}
	}
	asks(m, 1, 9, false)
	asks(m, 2, 9, false)
	change(t, m, k.sign(add(m, 2), 2))
	asks(m, 2, 0, false) // no nonce at all: the founder's
	asks(m, 2, 9, true)
	asks(m, 2, 9, true)
	asks(m, 2, 8, false)
	promote := m.Roster().Next(roster.Promote)
	promote.Member = roster.Member{Number: 2}
	change(t, m, k.sign(promote, 2))
	other := machine.New(0, nil)
	if err := other.Restore(bytes.NewReader(picture(t, m))); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*machine.Machine{m, other} {
		asks(m, 1, 9, false)
		asks(m, 2, 8, false)
		asks(m, 2, 9, true)
		remove := m.Roster().Next(roster.Remove)
		remove.Member = roster.Member{Number: 2}
		change(t, m, k.sign(remove, 2))
		asks(m, 2, 9, false)
	}
	if !bytes.Equal(picture(t, m), picture(t, other)) {
		t.Error("they are different")
	}
	if _, err := m.Apply(machine.WelcomeEntry(2, [32]byte{9})[:50], true); err == nil {
		t.Error("a piece of an entry")
	}
}

// A picture is the whole: another machine goes on from it alike.
func TestPicture(t *testing.T) {
	k := newKit(2)
	m := must2(k.found(t, 1))
	for n := range 5 {
		apply(t, m, request(proposal(1), fmt.Sprint("account", n)), false)
	}
	change(t, m, k.sign(add(m, 2), 3))
	told := 0
	other := machine.New(1, func() { told++ })
	if err := other.Restore(bytes.NewReader(picture(t, m))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(picture(t, m), picture(t, other)) || told == 0 || len(other.ChangesAfter(0)) != 1 {
		t.Errorf("restored: told %d times, %d changes", told, len(other.ChangesAfter(0)))
	}
	next := k.sign(add(m, 3), 2)
	change(t, m, next)
	change(t, other, next)
	if !bytes.Equal(picture(t, m), picture(t, other)) {
		t.Error("they go on differently")
	}
	if err := machine.New(0, nil).Restore(bytes.NewReader(picture(t, m))); err == nil {
		t.Error("another group takes the picture")
	}
	// The roster of one fleet before the records of another.
	mark := []byte("keepsake vault state")
	mine, theirs := picture(t, m), picture(t, must2(otherFleet().found(t, 1)))
	mixed := append(append([]byte{}, theirs[:bytes.Index(theirs, mark)-2]...), mine[bytes.Index(mine, mark)-2:]...)
	if err := machine.New(1, nil).Restore(bytes.NewReader(mixed)); err == nil {
		t.Error("the records of another fleet than the roster's")
	}
}

// otherFleet is one with another identity.
func otherFleet() *kit {
	k := newKit(2)
	k.genesis.IdentitySeed = vault.Seed{9}
	identity := ed25519.NewKeyFromSeed(k.genesis.IdentitySeed[:]).Public().(ed25519.PublicKey)
	k.genesis.Fleet = sha256.Sum256(append([]byte("keepsake fleet id\x01"), identity...))
	k.roster.Fleet = k.genesis.Fleet
	return k
}

// Cut or edited anywhere, a picture is refused.
func TestMangledPicture(t *testing.T) {
	k := newKit(1)
	m := must2(k.found(t, 0))
	change(t, m, k.sign(add(m, 2), 2))
	whole := picture(t, m)
	for n := range whole {
		if machine.New(0, nil).Restore(bytes.NewReader(whole[:n])) == nil {
			t.Fatalf("restored from %d of %d bytes", n, len(whole))
		}
	}
	for n := range whole {
		whole[n] ^= 0x20
		if machine.New(0, nil).Restore(bytes.NewReader(whole)) == nil {
			t.Errorf("restored with byte %d changed", n)
		}
		whole[n] ^= 0x20
	}
	if machine.New(0, nil).Restore(bytes.NewReader(append(whole, 0))) == nil {
		t.Error("restored with a byte too many")
	}
}

// What is read is what would be written.
func FuzzRestore(f *testing.F) {
	k := newKit(1)
	m := must2(k.found(f, 0))
	f.Add(picture(f, m))
	f.Add([]byte("keepsake group\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := machine.New(0, nil)
		if m.Restore(bytes.NewReader(b)) == nil && !bytes.Equal(picture(t, m), b) {
			t.Error("another picture than was read")
		}
	})
}

// An entry that is none halts the replica; it must not panic.
func FuzzApply(f *testing.F) {
	k := newKit(1)
	f.Add(request(&vaultapi.StatusBody{}, "alice"))
	f.Add(k.genesis.Encode())
	f.Add(machine.WelcomeEntry(2, [32]byte{9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := must2(k.found(t, 0))
		if e, err := m.Apply(b, true); err != nil && e != nil {
			t.Error("an effect and an error")
		}
		switch e, err := m.Change(b); {
		case err != nil && !errors.Is(err, replica.ErrNewer):
			t.Error(err)
		case err == nil && e.(*machine.Outcome).Change != nil:
			t.Error("a change that nobody signed")
		}
	})
}
