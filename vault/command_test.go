package vault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// commands is one of each kind, and of each type of request.
func commands() []*vault.Command {
	w := &world{fleet: genesis(policy()).Fleet, now: start}
	p := w.person("alice")
	all := []*vault.Command{
		genesis(policy()), {Kind: vault.Tick, Time: start}, {Kind: vault.Restrict, Time: start, Policy: strict()}, channelKey(1, start, start+21*day),
	}
	s, g := password("password", 10), newGuess(1)
	for _, body := range []vaultapi.Body{
		s.proposal, &vaultapi.ConfirmBody{Record: s.record, Authority: s.sign(vaultapi.ByDevice, nil)}, g.body(), p.proof(g, s, nil),
		&vaultapi.DeleteBody{Record: s.record}, &vaultapi.StatusBody{}, &vaultapi.CancelBody{Record: s.record, Authority: s.sign(vaultapi.ByUnlock, nil)},
	} {
		all = append(all, p.command(body))
	}
	return all
}

func channelKey(n int, from, to uint64) *vault.Command {
	return &vault.Command{Kind: vault.AddChannelKey, Time: start, ChannelKey: vault.ChannelKey{Seed: hash("channel", n), NotBefore: from, NotAfter: to}}
}

func TestCommandRoundTrip(t *testing.T) {
	for _, c := range commands() {
		b := c.Encode()
		got, err := vault.DecodeCommand(b)
		if err != nil {
			t.Fatalf("%T of kind %d: %v", c.Body, c.Kind, err)
		}
		if !bytes.Equal(got.Encode(), b) || got.Kind != c.Kind || got.Time != c.Time || got.Who != c.Who || got.Random != c.Random {
			t.Errorf("%T of kind %d is another after decoding", c.Body, c.Kind)
		}
		if diff := cmp.Diff(c.Policy, got.Policy); diff != "" || len(b) > vault.MaxCommand {
			t.Errorf("kind %d: %d bytes; policy (-want +got):\n%s", c.Kind, len(b), diff)
		}
	}
}

// A buffer that grows leaves a copy of k behind that nobody can clear.
func TestEncodingCommandsLeavesNoCopyBehind(t *testing.T) {
	room := cap((&vault.Command{Kind: vault.Tick}).Encode())
	largest := (&world{fleet: genesis(policy()).Fleet, now: start}).person("anna").command(&vaultapi.ProposeBody{
		Record: vaultapi.ID{1}, Limit: 10, Key: vaultapi.NewSecret(&[32]byte{1}), Device: [32]byte{1}, Envelope: make([]byte, vaultapi.MaxEnvelope),
	})
	for _, c := range append(commands(), largest) {
		if b := c.Encode(); cap(b) != room {
			t.Errorf("%T of kind %d: %d bytes in a buffer that grew from %d to %d", c.Body, c.Kind, len(b), room, cap(b))
		}
	}
}

// Every truncation, every added byte and every changed byte is refused, or is
// another command: no two byte strings mean the same.
func TestMangledCommand(t *testing.T) {
	for _, c := range commands() {
		b := c.Encode()
		for n := range b {
			for _, x := range []byte{b[n] ^ 1, b[n] ^ 0x80, b[n] + 1, 0, 0xff} {
				m := bytes.Clone(b)
				m[n] = x
				canonical(t, m)
			}
			if got, err := vault.DecodeCommand(b[:n]); err == nil || got != nil && !errors.Is(err, vault.ErrCommand) {
				t.Errorf("kind %d: %d of %d bytes: %v", c.Kind, n, len(b), err)
			}
		}
		if _, err := vault.DecodeCommand(append(bytes.Clone(b), 0)); !errors.Is(err, vault.ErrCommand) {
			t.Errorf("kind %d with a byte more: %v", c.Kind, err)
		}
	}
}

func canonical(t *testing.T, b []byte) {
	t.Helper()
	c, err := vault.DecodeCommand(b)
	if err == nil && !bytes.Equal(c.Encode(), b) {
		t.Errorf("%x is encoded as %x", b, c.Encode())
	}
	if err != nil && !errors.Is(err, vault.ErrCommand) {
		t.Errorf("%x: %v", b, err)
	}
}

func FuzzDecodeCommand(f *testing.F) {
	for _, c := range commands() {
		f.Add(c.Encode())
	}
	f.Fuzz(canonical)
}

// What is out of its range is not encoded, not decoded, not let into the log, and
// not applied.
func TestCommandRefuses(t *testing.T) {
	change := func(f func(*vault.Policy)) *vault.Command {
		p := policy()
		f(&p)
		return genesis(p)
	}
	wrongFleet := genesis(policy())
	wrongFleet.Fleet[0] ^= 1
	for name, c := range map[string]*vault.Command{
		"no kind":                  {Time: start},
		"unknown kind":             {Kind: 6, Time: start},
		"restricted to nothing":    {Kind: vault.Restrict, Time: start},
		"no body":                  {Kind: vault.Request, Time: start},
		"year 2248":                {Kind: vault.Tick, Time: vaultapi.MaxTime},
		"fleet id of another key":  wrongFleet,
		"no attempts":              change(func(p *vault.Policy) { p.MaxAttempts, p.Waits = 0, nil }),
		"eleven attempts":          change(func(p *vault.Policy) { p.MaxAttempts, p.Waits = 11, make([]uint64, 10) }),
		"too few waits":            change(func(p *vault.Policy) { p.Waits = p.Waits[:8] }),
		"falling waits":            change(func(p *vault.Policy) { p.Waits[8] = 0 }),
		"wait over a year":         change(func(p *vault.Policy) { p.Waits[8] = 367 * day }),
		"cool-down over a year":    change(func(p *vault.Policy) { p.CoolDown = 367 * day }),
		"grace over a year":        change(func(p *vault.Policy) { p.Grace = 367 * day }),
		"key ends before it began": channelKey(1, start+1, start),
		"key for ever":             channelKey(1, start, vaultapi.MaxTime+1),
	} {
		refusesToEncode(t, c, "vault: not a command")
		w := newWorld(t, policy())
		if e, decided := w.state.Check(c); !decided || e.Answer.Code != vaultapi.Unsupported {
			t.Errorf("%s: Check = %+v, %v", name, e, decided)
		}
		if _, err := w.state.Apply(c); !errors.Is(err, vault.ErrCommand) {
			t.Errorf("%s: applied: %v", name, err)
		}
	}
	if _, err := vault.DecodeCommand(make([]byte, vault.MaxCommand+1)); !errors.Is(err, vault.ErrCommand) {
		t.Errorf("a long command: %v", err)
	}
}

// Channel keys (§11.6): at most eight, each once; expired ones are erased by
// whatever command comes next; every change has a serial and a time of its own.
func TestChannelKeys(t *testing.T) {
	w := newWorld(t, policy())
	add := func(n int, to uint64, want vaultapi.Code, keys int, serial uint64) {
		t.Helper()
		c := channelKey(n, start, to)
		c.Time = w.now
		e := w.apply(c)
		v := w.state.Fleet()
		defer v.Wipe()
		if e.Answer.Code != want || len(v.Keys) != keys || v.Serial != serial || v.Time != w.now {
			t.Errorf("key %d: %v, %d keys, serial %d", n, e.Answer.Code, len(v.Keys), v.Serial)
		}
	}
	add(0, start, vaultapi.Conflict, 0, 0) // has expired
	for n := range 8 {
		w.pass(1)
		add(n, start+day, vaultapi.OK, n+1, uint64(n+1))
		add(n, start+day, vaultapi.OK, n+1, uint64(n+1))
		add(n, start+2*day, vaultapi.Conflict, n+1, uint64(n+1)) // another validity
	}
	add(8, start+day, vaultapi.Conflict, 8, 8)
	w.reload()
	seed := hash("channel", 3)
	if !w.contains(seed[:]) {
		t.Error("a channel key is not in the state")
	}
	w.now = start + day - 1
	w.tick()
	if v := w.state.Fleet(); len(v.Keys) != 8 || v.Changed != start+8 {
		t.Errorf("before they expire: %d keys, changed at +%d", len(v.Keys), since(v.Changed))
	}
	w.pass(1)
	if _, decided := w.state.Check(&vault.Command{Kind: vault.Tick, Time: w.now}); decided {
		t.Error("a Tick that erases keys needs no commit")
	}
	w.person("alice").status()
	if v := w.state.Fleet(); len(v.Keys) != 0 || v.Serial != 9 || v.Changed != w.now {
		t.Errorf("after: %d keys, serial %d, changed at +%d", len(v.Keys), v.Serial, since(v.Changed))
	}
	if w.contains(seed[:]) {
		t.Error("an expired channel key is in the state")
	}
}

// Fleet gives copies, which can be wiped.
func TestFleetView(t *testing.T) {
	if v := vault.New().Fleet(); v != nil {
		t.Errorf("a fleet before Genesis: %v", v)
	}
	w := newWorld(t, policy())
	w.apply(channelKey(1, start, start+day))
	v, again := w.state.Fleet(), w.state.Fleet()
	if diff := cmp.Diff(v, again); diff != "" {
		t.Errorf("two views differ:\n%s", diff)
	}
	if v.ID != w.fleet || v.IdentitySeed != genesis(policy()).IdentitySeed || v.Keys[0] != channelKey(1, start, start+day).ChannelKey {
		t.Errorf("another fleet: %+v", v)
	}
	v.Wipe()
	v.Wipe()
	v.Policy.Waits[0] = 1
	if v.IdentitySeed != (vault.Seed{}) || v.Keys[0].Seed != (vault.Seed{}) {
		t.Error("a wiped view has secrets")
	}
	if diff := cmp.Diff(again, w.state.Fleet()); diff != "" {
		t.Errorf("wiping a view changed the state:\n%s", diff)
	}
}

// Seeds print as one word, inside commands and views too.
func TestRedacted(t *testing.T) {
	c := genesis(policy())
	c.ChannelKey.Seed = c.IdentitySeed
	w := newWorld(t, policy())
	for _, v := range []any{c, *c, c.IdentitySeed, &c.NamingKey, w.state.Fleet(), *w.state.Fleet(), w.state} {
		var text bytes.Buffer
		for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d") {
			fmt.Fprintf(&text, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "v", v)
		for _, seed := range []vault.Seed{c.IdentitySeed, c.NamingKey} {
			part := seed[:4]
			list := strings.Trim(fmt.Sprint(part), "[]")
			for _, form := range []string{string(part), list, strings.ReplaceAll(list, " ", ","), fmt.Sprintf("%x", part), fmt.Sprintf("%#v", part)[7:25]} {
				if strings.Contains(strings.ToLower(text.String()), strings.ToLower(form)) {
					t.Errorf("%T shows %q", v, form)
				}
			}
		}
	}
	if got := fmt.Sprint(c.IdentitySeed); got != "vault(redacted)" || c.IdentitySeed.String() != got || c.IdentitySeed.GoString() != got {
		t.Errorf("a seed prints as %q", got)
	}
}
