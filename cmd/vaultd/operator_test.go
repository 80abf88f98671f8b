package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/roster"
	"keepsake.example/vaultd"
)

// bench is a fleet on paper: keys of operators, cards of machines, a roster that the fleet's
// own key has signed. What members do with it is for the tests on processes.
type bench struct {
	t        *testing.T
	dir      string
	identity ed25519.PrivateKey
	roster   *roster.Roster
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), identity: ed25519.NewKeyFromSeed(bytes.Repeat([]byte("f"), 32))}
	b.roster = &roster.Roster{
		Fleet: fleet.ID(b.identity.Public().(ed25519.PublicKey)), Groups: 4, Quorum: 2, Highest: 4,
		Policy: roster.Policy(fleet.DefaultPolicy()), Members: []roster.Member{b.member(1), b.member(2), b.member(4)},
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		out := vault(t, "operator", "keygen", name, "--out", b.path(name+".key")).wants(t, command.Done, "in the clear").out
		b.roster.Operators = append(b.roster.Operators, must(parseOperator(strings.TrimSpace(out))))
	}
	b.publish()
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) member(n byte) roster.Member {
	keys := must(vaultd.NewKeys())
	defer keys.Wipe()
	m := keys.Card("m"+string('0'+n), "dc"+string('0'+n), "10.0.0."+string('0'+n)+":7445").Member(uint64(n))
	m.Learner = false
	return m
}

// publish writes the roster as GET /roster answers it (spec/replication.md §16).
func (b *bench) publish() {
	b.t.Helper()
	if err := b.roster.Check(); err != nil {
		b.t.Fatal(err)
	}
	content := b.roster.Encode()
	signature := ed25519.Sign(b.identity, append([]byte("keepsake fleet roster\x01"), content...))
	signed := bytes.Join([][]byte{b.identity.Public().(ed25519.PublicKey), signature, content}, nil)
	if err := os.WriteFile(b.path("roster"), signed, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// proposed makes a change and returns the line that says what it does.
func (b *bench) proposed(args ...string) string {
	b.t.Helper()
	all := append([]string{"operator", "propose", args[0], "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet), "--out", b.path("change")}, args[1:]...)
	os.Remove(b.path("change"))
	vault(b.t, all...).wants(b.t, command.Done, "2 of 3 operators must sign")
	return strings.Split(string(must(os.ReadFile(b.path("change")))), "\n")[3]
}

func (b *bench) refused(e command.Exit, part string, args ...string) {
	b.t.Helper()
	all := append([]string{"operator", "propose", args[0], "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet), "--out", b.path("refused")}, args[1:]...)
	vault(b.t, all...).wants(b.t, e, part)
	if _, err := os.Stat(b.path("refused")); err == nil {
		b.t.Errorf("%v: refused, and a file is left", args)
	}
}

// card writes the card of a machine that is not yet one of the fleet's.
func (b *bench) card() string {
	m := b.member(9)
	card := vaultd.Card{Name: m.Name, DataCenter: m.DataCenter, Address: m.Address, Identity: m.Identity, Sealing: m.Sealing}
	if err := os.WriteFile(b.path("member.card"), []byte(card.Text()), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return b.path("member.card")
}

// Each kind of change has its command, and what the fleet would refuse is not even written.
func TestPropose(t *testing.T) {
	b := newBench(t)
	for want, args := range map[string][]string{
		"add member 5 as learner":    {"add", b.card()},
		"demote member 4":            {"demote", "4"},
		"remove member 4":            {"remove", "4"},
		"set address of member 2":    {"address", "2", "10.9.9.9:1"},
		"set policy":                 {"policy", "--attempts", "8", "--cool-down", "240h"},
		"set minimum version 3":      {"min-version", "3"},
		"set operators: 1 of 1 sign": {"operators", "dave=" + strings.Repeat("ab", 32), "--quorum", "1"},
	} {
		if got := b.proposed(args...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	vault(t, "operator", "propose", "operators", "dave="+strings.Repeat("ab", 32), "--quorum", "1", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet), "--out", b.path("operators")).
		wants(t, command.Done, "2 of 3 operators must sign it, and 1 of the 1 new ones:")
	b.refused(exitRefused, "so already", "place", "2", "--group", "3") // which follows group 0
	if got := b.proposed("remove", "2", "--group", "3"); got != "remove member 2 from group 3" {
		t.Errorf("%q", got)
	}
	b.refused(exitRefused, "could not tolerate", "tolerate", "1")
	b.refused(exitRefused, "a wait is shorter", "policy", "--waits", strings.TrimSuffix(strings.Repeat("0s,", 9), ","))
	b.refused(exitRefused, "cool-down is shorter", "policy", "--cool-down", "1h")
	b.refused(command.Misused, "--waits has 1, and a record of 10 attempts wants 9", "policy", "--waits", "1s")
	b.refused(command.Misused, "--waits has 9, and a record of 8 attempts wants 7", "policy", "--attempts", "8", "--waits", strings.TrimSuffix(strings.Repeat("1h,", 9), ","))
	b.refused(command.Misused, "1 to 10 attempts", "policy", "--attempts", "0")
	b.refused(command.Misused, "1 to 10 attempts", "policy", "--attempts", "11")
	b.refused(exitRefused, "no member 3", "remove", "3")
	b.refused(exitRefused, "so already", "promote", "4")
	b.refused(command.Misused, "no period", "policy", "--grace", "10")
	b.refused(command.Misused, "--group", "place", "2")
	// Cut to 32 bits this would be the whole fleet, or group 3.
	for _, group := range []string{"256", "4294967296", "4294967299"} {
		b.refused(command.Misused, "--group "+group+": there is no such group", "remove", "2", "--group", group)
	}
	b.refused(command.Misused, "--quorum", "operators", "dave="+strings.Repeat("ab", 32))
	b.refused(command.Misused, "NAME=KEY", "operators", "dave", "--quorum", "1")
	b.refused(command.Misused, "no number", "remove", "two")
	b.refused(exitFile, "card", "add", b.path("alice.key"))
	b.refused(command.Misused, "", "min-version", "2", "--because", "not\nASCII")
}

// Who asks for weaker limits is told that they are weaker, and not that the text is none.
func TestWeakerPolicy(t *testing.T) {
	b := newBench(t)
	p := &b.roster.Policy
	for _, attempts := range []uint8{5, 1} {
		p.MaxAttempts, p.Waits = attempts, p.Waits[:attempts-1]
		b.publish()
		b.refused(exitRefused, "it allows more attempts", "policy", "--attempts", "10")
		b.refused(exitRefused, "so already", "policy", "--attempts", string('0'+attempts))
	}
}

// follow takes the steps of replace in their order. Each must be one that the fleet takes.
func (b *bench) follow(steps []string) {
	b.t.Helper()
	for _, step := range steps {
		_, proposal, ok := strings.Cut(step, "vaultd operator propose ")
		if !ok {
			continue
		}
		proposal, _, _ = strings.Cut(proposal, "   ")
		if proposal == "add member.card" {
			proposal = "add " + b.card()
		}
		b.proposed(strings.Fields(proposal)...)
		next, err := tryOut(b.roster, string(must(os.ReadFile(b.path("change")))))
		if err != nil {
			b.t.Fatal(err)
		}
		next.Operators, next.Quorum = b.roster.Operators, b.roster.Quorum
		b.roster = next
		b.publish()
	}
}

// The steps of replace are taken by the fleet in the order in which they are shown: where too
// few voters would be left, the successor comes first.
func TestReplaceInOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*roster.Roster)
		first   string
	}{
		{"three", func(*roster.Roster) {}, "propose remove 2"},
		{"four, of whom three must take part", func(r *roster.Roster) { r.Tolerate = 1 }, "init DIR --join"},
		{"the only voter", func(r *roster.Roster) {
			for i := range r.Members {
				r.Members[i].Learner = r.Members[i].Number != 2
			}
		}, "init DIR --join"},
		{"in a group of its own", func(r *roster.Roster) {
			r.Placement = []roster.Place{{Group: 3, Members: []roster.Placed{{Number: 1}, {Number: 2}}}}
		}, "propose remove 2 --group 3"},
		{"the only voter of a group", func(r *roster.Roster) {
			r.Placement = []roster.Place{{Group: 3, Members: []roster.Placed{{Number: 2}}}}
		}, "init DIR --join"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.roster.Members = slices.Insert(b.roster.Members, 2, b.member(3))
			c.prepare(b.roster)
			b.publish()
			before := len(b.roster.In(3))
			var plan struct{ Steps []string }
			out := vault(t, "replace", "2", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet), "--json").wants(t, command.Done).out
			if err := json.Unmarshal([]byte(out), &plan); err != nil || !strings.Contains(plan.Steps[0], c.first) {
				t.Fatalf("first of %q, want %q, %v", plan.Steps, c.first, err)
			}
			text := vault(t, "replace", "2", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet)).wants(t, command.Done).out
			if strings.Contains(text, "refuses to let it go first") != strings.Contains(c.first, "init") {
				t.Errorf("said:\n%s", text)
			}
			b.follow(plan.Steps)
			if _, ok := b.roster.Member(2); ok || b.roster.Highest != 5 || len(b.roster.In(3)) != before {
				t.Errorf("at the end: %+v", b.roster)
			}
		})
	}
}

// What another fleet signed, or nobody, is not believed.
func TestRosterOfAnotherFleet(t *testing.T) {
	b := newBench(t)
	other := strings.Repeat("ab", 32)
	vault(t, "operator", "show", "--roster", b.path("roster"), "--fleet", other).wants(t, exitFile, "compare the fleet id")
	data := must(os.ReadFile(b.path("roster")))
	for _, at := range []int{0, 40, 100, len(data) - 1} {
		data[at] ^= 1
		if err := os.WriteFile(b.path("edited"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		vault(t, "operator", "show", "--roster", b.path("edited"), "--fleet", fleet.FormatID(b.roster.Fleet)).wants(t, exitFile)
		data[at] ^= 1
	}
	var j rosterJSON
	out := vault(t, "operator", "show", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet), "--json").wants(t, command.Done).out
	if err := json.Unmarshal([]byte(out), &j); err != nil || len(j.Operators) != 3 || len(j.Groups[0].Members) != 3 || j.Groups[0].Needed != 2 {
		t.Errorf("%+v, %v", j, err)
	}
	vault(t, "operator", "show", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet)).wants(t, command.Done, "2 of 3 sign", "m4")
	vault(t, "replace", "2", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet)).wants(t, command.Done, "remove 2", "promote 5")
	gone := vault(t, "replace", "3", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet)).wants(t, command.Done, "removed already", "promote 5")
	if strings.Contains(gone.out, "propose remove") || strings.Contains(gone.out, "device") {
		t.Errorf("steps for a member that is gone, of a fleet without a key in devices: %s", gone.out)
	}
	vault(t, "replace", "5", "--roster", b.path("roster"), "--fleet", fleet.FormatID(b.roster.Fleet)).wants(t, command.NotFound, "no member 5")
}

// typing runs a command with somebody at the terminal.
func typing(t *testing.T, text string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{Output: command.Output{Out: &out, Err: &errs}, in: strings.NewReader(text)}
	code := a.run(context.Background(), args)
	return result{code, out.String(), errs.String()}
}

// An operator sees the whole text and types its serial; signatures of several files are put
// together, and make what the fleet accepts.
func TestSign(t *testing.T) {
	b := newBench(t)
	b.proposed("remove", "4", "--because", "stolen")
	change, text := b.path("change"), string(must(os.ReadFile(b.path("change"))))
	sign := func(who string) []string {
		return []string{"operator", "sign", change, "--key", b.path(who + ".key"), "--out", b.path(who)}
	}
	vault(t, sign("alice")...).wants(t, command.Misused, "no terminal", "--yes", text)
	typing(t, "2\n", sign("alice")...).wants(t, command.Failed, "not confirmed")
	typing(t, "", sign("alice")...).wants(t, command.Misused, "no terminal")
	if _, err := os.Stat(b.path("alice")); err == nil {
		t.Fatal("signed without a word")
	}
	typing(t, "1\n", sign("alice")...).wants(t, command.Done, "sign this as alice?", "for good", "1 signatures")
	vault(t, append(sign("bob"), "--yes")...).wants(t, command.Done)
	s := must(readSigned(b.path("alice"), b.path("bob"), b.path("alice")))
	if len(s.Signatures) != 2 {
		t.Fatalf("%d signatures", len(s.Signatures))
	}
	if _, err := b.roster.Clone().Apply(s); err != nil {
		t.Error(err)
	}
	// The same file goes from hand to hand.
	vault(t, "operator", "sign", change, "--key", b.path("carol.key"), "--yes").wants(t, command.Done)
	vault(t, "operator", "sign", change, "--key", b.path("bob.key"), "--yes").wants(t, command.Done, "2 signatures")
	vault(t, "operator", "sign", change, "--key", b.path("bob.key"), "--yes").wants(t, command.Done, "2 signatures")
	if _, err := b.roster.Clone().Apply(must(readSigned(change))); err != nil {
		t.Error(err)
	}
	b.proposed("demote", "4")
	vault(t, "operator", "submit", change, b.path("alice"), "--yes").wants(t, command.Misused, "another change")
}

// Who has the card from the machine itself signs for no other machine.
func TestSignComparesTheCard(t *testing.T) {
	b := newBench(t)
	card := b.card()
	b.proposed("add", card)
	sign := []string{"operator", "sign", b.path("change"), "--key", b.path("alice.key"), "--yes", "--card", card}
	vault(t, sign...).wants(t, command.Done)
	b.card() // another machine of the same name
	vault(t, sign...).wants(t, exitRefused, "nothing was signed")
	b.proposed("demote", "4")
	vault(t, sign...).wants(t, exitRefused, "nothing was signed")
}

func TestOperatorKeys(t *testing.T) {
	b := newBench(t)
	file := b.path("alice.key")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	vault(t, "operator", "keygen", "alice", "--out", file).wants(t, command.Exists)
	vault(t, "operator", "keygen", "Alice", "--out", b.path("x")).wants(t, command.Misused, "no name")
	b.proposed("demote", "4")
	vault(t, "operator", "sign", b.path("change"), "--yes").wants(t, command.Misused, "--key is missing")
	vault(t, "operator", "sign", b.path("change"), "--key", b.path("change"), "--yes").wants(t, exitFile, "keygen")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	vault(t, "operator", "sign", b.path("change"), "--key", file, "--yes").wants(t, command.Config, "chmod 600")
}

// Every truncation and every changed byte of a key is refused or is another key, and none is
// read as the same key.
func TestMangledOperatorKey(t *testing.T) {
	_, private := must2(ed25519.GenerateKey(nil))
	good := (&operatorKey{"alice", private}).encode()
	if k, err := decodeOperatorKey(good); err != nil || !private.Equal(k.key) || k.name != "alice" {
		t.Fatal(err)
	}
	for n := range good {
		if n < len(good)-1 { // without its last line end it is the same
			if _, err := decodeOperatorKey(good[:n]); err == nil {
				t.Errorf("%d bytes of %d are read", n, len(good))
			}
		}
	}
	if _, err := decodeOperatorKey(append(good, good...)); err == nil {
		t.Error("two keys in a file are read as one")
	}
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

// signedChange is a file of a change with two signatures.
func signedChange() []byte {
	text := "keepsake fleet change v1\nfleet " + strings.Repeat("ab", 32) + "\nserial 7\nremove member 4\nbecause: stolen\n"
	s := &roster.Signed{Text: text}
	for _, c := range "xy" {
		s.Add(must(roster.Sign(text, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(c)}, 32)))))
	}
	return writeSigned(s)
}

// A file of a change is read in one form, and no byte of it can be another.
func TestMangledChange(t *testing.T) {
	good := signedChange()
	if s, err := parseSigned(good); err != nil || len(s.Signatures) != 2 {
		t.Fatal(err)
	}
	whole := len(good) - (len(signedLine) + 64 + 1 + 128 + 1) // with one signature less it is whole
	for n := range good {
		if s, err := parseSigned(good[:n]); err == nil && n != whole && len(s.Signatures) > 0 {
			t.Errorf("%d bytes of %d are read", n, len(good))
		}
		changed := bytes.Clone(good)
		for _, bit := range []byte{1, 0x20, 0x80} {
			changed[n] = good[n] ^ bit
			if s, err := parseSigned(changed); err == nil && len(s.Signatures) == 2 {
				t.Errorf("byte %d can be %q", n, changed[n])
			}
		}
	}
}

func FuzzParseSigned(f *testing.F) {
	f.Add(signedChange())
	f.Add([]byte("keepsake fleet change v1\n\nsigned x y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseSigned(data); err == nil && !bytes.Equal(writeSigned(s), data) {
			t.Errorf("%q is written %q", data, writeSigned(s))
		}
	})
}

func FuzzDecodeOperatorKey(f *testing.F) {
	f.Add((&operatorKey{"alice", ed25519.NewKeyFromSeed(make([]byte, 32))}).encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := decodeOperatorKey(data); err == nil && len(k.key.(ed25519.PrivateKey)) != ed25519.PrivateKeySize {
			t.Error("half a key")
		}
	})
}

// A name that others reach this machine by need not be one of its own.
func TestWhereToListenForMembers(t *testing.T) {
	for want, n := range map[string]fleeting{
		"":               {},
		"10.0.0.1:7445":  {advertise: "10.0.0.1:7445"},
		"[::1]:7445":     {advertise: "[::1]:7445"},
		":7445":          {advertise: "fra1.example.org:7445"},
		"127.0.0.1:9999": {advertise: "fra1.example.org:7445", peers: "127.0.0.1:9999"},
	} {
		if got := n.listenAt(); got != want {
			t.Errorf("%+v listens at %q, want %q", n, got, want)
		}
	}
}
