package password_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
	"keepsake.example/vectors"
)

// TestVectors runs vectors/password, whose names are listed in
// spec/vault-protocol.md §5. UPDATE=1 writes those that reference_test.go computes.
func TestVectors(t *testing.T) {
	if os.Getenv("UPDATE") != "" {
		writeVectors(t)
		return // they are embedded: this run has the old ones
	}
	run := map[string]func(*testing.T, *vectors.Vector){
		"derived": vectorDerived, "prepared": vectorPrepared, "unusable": vectorUnusable, "asked": vectorAsked,
		"opened": vectorOpened, "wrong password": vectorOpened, "dishonest": vectorOpened, "unsupported": vectorOpened,
		"fleet key": vectorOpened,
	}
	ran := map[string]int{}
	for _, v := range must(vectors.All("password")) {
		t.Run(v.Path, func(t *testing.T) {
			expect := field(t, v, "expect")
			if run[expect] == nil {
				t.Fatalf("unknown outcome %q", expect)
			}
			ran[expect]++
			run[expect](t, v)
		})
	}
	for expect := range run {
		if ran[expect] == 0 {
			t.Errorf("no vector expects %q", expect)
		}
	}
}

func field(t *testing.T, v *vectors.Vector, name string) string {
	t.Helper()
	value, ok := v.Get(name)
	if !ok {
		t.Fatalf("no %q line", name)
	}
	return value
}

func bytesOf(t *testing.T, v *vectors.Vector, name string) []byte {
	t.Helper()
	return unhex(field(t, v, name))
}

func number(t *testing.T, v *vectors.Vector, name string) int {
	t.Helper()
	return must(strconv.Atoi(field(t, v, name)))
}

func placeOf(t *testing.T, v *vectors.Vector) password.Place {
	t.Helper()
	return password.Place{Fleet: sealed.FleetID(bytesOf(t, v, "fleet")), Account: vaultapi.Account(bytesOf(t, v, "account"))}
}

func preparedOf(t *testing.T, v *vectors.Vector) *password.Password {
	t.Helper()
	return must(password.Prepare(bytesOf(t, v, "password")))
}

// vectorDerived checks every step against the reference, and the package's record,
// made from the same random bytes.
func vectorDerived(t *testing.T, v *vectors.Vector) {
	r := &reference{
		password: bytesOf(t, v, "password"), vaultKey: bytesOf(t, v, "vault-key"), backupKey: bytesOf(t, v, "backup-key"),
		fleet: bytesOf(t, v, "fleet"), account: bytesOf(t, v, "account"), record: bytesOf(t, v, "record"),
		memory: uint32(number(t, v, "memory-kib")), passes: uint32(number(t, v, "passes")), threads: byte(number(t, v, "threads")),
	}
	place := placeOf(t, v)
	if _, suite2 := v.Get("hardware-key"); suite2 {
		r.hardwareKey = bytesOf(t, v, "hardware-key")
	}
	r.compute()
	for _, step := range r.steps() {
		if got := bytesOf(t, v, step.name); !bytes.Equal(got, step.value) {
			t.Errorf("%s\n     %x\nwant %x", step.name, step.value, got)
		}
	}
	// A scalar is its own 64 bytes before they are reduced.
	random := bytes.NewReader(slices.Concat(r.record, r.vaultKey, make([]byte, 32)))
	o := password.Options{Params: password.Params{MemoryKiB: r.memory, Passes: r.passes, Threads: r.threads}, Limit: 10, Device: fill(1)}
	if r.hardwareKey != nil {
		place.FleetKey = [33]byte(bytesOf(t, v, "fleet-key"))
		o.Hardened = hardenWith((*[32]byte)(r.hardwareKey), 1, preparedOf(t, v), place)
	}
	reg, err := password.Register(random, preparedOf(t, v), key.FromBytes([32]byte(r.backupKey)), place, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(reg.Body.Envelope, r.envelope) {
		t.Errorf("envelope\n     %x\nwant %x", reg.Body.Envelope, r.envelope)
	}
	if public := reg.Unlock.Public(); !bytes.Equal(public[:], bytesOf(t, v, "unlock-public")) || reg.Body.Unlock != public {
		t.Errorf("unlock key %x", public)
	}
}

type step struct {
	name  string
	value []byte
}

func (r *reference) steps() []step {
	all := []step{
		{"vault-public", r.public}, {"output", r.output}, {"salt", r.salt}, {"rwd", r.rwd}, {"context", r.context}, {"pad", r.pad},
		{"mac-key", r.macKey}, {"unlock-seed", r.unlock}, {"envelope", r.envelope},
	}
	if r.hardwareKey != nil {
		all = append(all, step{"fleet-key", r.fleetKey}, step{"output-2", r.output2}, step{"mixed", r.mixed})
	}
	return all
}

func vectorPrepared(t *testing.T, v *vectors.Vector) {
	p, err := password.Prepare(bytesOf(t, v, "typed"))
	if err != nil {
		t.Fatal(err)
	}
	p.Use(func(got []byte) {
		if !bytes.Equal(got, bytesOf(t, v, "password")) {
			t.Errorf("%q", got)
		}
	})
}

func vectorUnusable(t *testing.T, v *vectors.Vector) {
	if _, err := password.Prepare(bytesOf(t, v, "typed")); !errors.Is(err, password.ErrUnusable) {
		t.Errorf("%v", err)
	}
}

func vectorAsked(t *testing.T, v *vectors.Vector) {
	at := home
	if _, suite2 := v.Get("fleet-key"); suite2 {
		at.FleetKey = [33]byte(bytesOf(t, v, "fleet-key"))
	}
	q := must(password.Ask(password.SeedFromBytes([32]byte(bytesOf(t, v, "seed"))), preparedOf(t, v), at))
	switch body := q.Body().(type) {
	case *vaultapi.AttemptBody:
		if !bytes.Equal(body.Attempt[:], bytesOf(t, v, "attempt")) || !bytes.Equal(body.Blinded[:], bytesOf(t, v, "blinded")) {
			t.Errorf("attempt %x, blinded %x", body.Attempt, body.Blinded)
		}
	case *vaultapi.HardenedAttemptBody:
		if !bytes.Equal(body.Attempt[:], bytesOf(t, v, "attempt")) || !bytes.Equal(body.Blinded[:], bytesOf(t, v, "blinded")) || !bytes.Equal(body.Blinded2[:], bytesOf(t, v, "blinded-2")) {
			t.Errorf("attempt %x, blinded %x, %x", body.Attempt, body.Blinded, body.Blinded2)
		}
	}
}

// vectorOpened opens an answer, with the outcome that expect says.
func vectorOpened(t *testing.T, v *vectors.Vector) {
	at := placeOf(t, v)
	answer := &vaultapi.HardenedEvaluation{Evaluation: vaultapi.Evaluation{
		Record: vaultapi.ID(bytesOf(t, v, "record")), Attempt: vaultapi.ID(bytesOf(t, v, "attempt")),
		Evaluated: [32]byte(bytesOf(t, v, "evaluated")), Proof: [64]byte(bytesOf(t, v, "proof")), Envelope: v.Body,
	}}
	var body vaultapi.AnswerBody = &answer.Evaluation
	if _, suite2 := v.Get("evaluated-2"); suite2 {
		at.FleetKey = [33]byte(bytesOf(t, v, "fleet-key"))
		answer.Evaluated2 = [33]byte(bytesOf(t, v, "evaluated-2"))
		body = answer
	}
	q := must(password.Ask(password.SeedFromBytes([32]byte(bytesOf(t, v, "seed"))), preparedOf(t, v), at))
	r, err := q.Open(body)
	want := map[string]error{
		"opened": nil, "wrong password": password.ErrWrongPassword, "dishonest": password.ErrDishonest, "unsupported": password.ErrUnsupported,
		"fleet key": password.ErrFleetKey,
	}[field(t, v, "expect")]
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("%v, want %v", err, want)
	}
	if err == nil && !r.Key.Equal(key.FromBytes([32]byte(bytesOf(t, v, "backup-key")))) {
		t.Error("another key")
	}
}

func writeVectors(t *testing.T) {
	dir := filepath.Join("..", "vectors", "password")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, v *vectors.Vector) {
		if err := os.WriteFile(filepath.Join(dir, name+".txt"), v.Encode(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	writeDerived(write)
	writePrepared(write)
	writeAnswers(write)
	writeHardened(write)
}

func fields(pairs ...any) (all []vectors.Field) {
	for i := 0; i < len(pairs); i += 2 {
		value := fmt.Sprint(pairs[i+1])
		if b, ok := pairs[i+1].([]byte); ok {
			value = hex.EncodeToString(b)
		}
		all = append(all, vectors.Field{Name: pairs[i].(string), Value: value})
	}
	return all
}

func writeDerived(write func(string, *vectors.Vector)) {
	for i, params := range []password.Params{password.Floor, password.DefaultParams, {MemoryKiB: 20000, Passes: 4, Threads: 2}} {
		text := []string{"blue sofa on a tuesday", "caf\u00e9 \u00fcber alles", "x"}[i]
		k := vaultKey(register(byte(i+1), prepare("any"), home))
		ref := &reference{password: []byte(text), memory: params.MemoryKiB, passes: params.Passes, threads: params.Threads}
		k.Use(func(b *[32]byte) { ref.vaultKey = slices.Clone(b[:]) })
		for to, b := range map[*[]byte]byte{&ref.backupKey: 0x4b, &ref.fleet: 0xf1, &ref.account: 0xac, &ref.record: 0x5e} {
			value := fill(b + byte(i))
			*to = value[:]
		}
		ref.record = ref.record[:16]
		ref.compute()
		unlock := must(password.Register(bytes.NewReader(slices.Concat(ref.record, ref.vaultKey, make([]byte, 32))), prepare(text), key.FromBytes([32]byte(ref.backupKey)),
			password.Place{Fleet: [32]byte(ref.fleet), Account: [32]byte(ref.account)}, password.Options{Params: params, Limit: 10})).Body.Unlock
		v := &vectors.Vector{Fields: fields("comment", "every step from the password to the envelope", "expect", "derived",
			"password", ref.password, "vault-key", ref.vaultKey, "backup-key", ref.backupKey, "fleet", ref.fleet, "account", ref.account, "record", ref.record,
			"memory-kib", params.MemoryKiB, "passes", params.Passes, "threads", params.Threads)}
		for _, s := range ref.steps() {
			v.Fields = append(v.Fields, fields(s.name, s.value)...)
		}
		v.Fields = append(v.Fields, fields("unlock-public", unlock[:])...)
		write(fmt.Sprintf("derived-%d", i+1), v)
	}
}

func writePrepared(write func(string, *vectors.Vector)) {
	for name, c := range map[string][3]string{
		"prepared-nfc":             {"composed characters stay", "caf\u00e9", "caf\u00e9"},
		"prepared-nfd":             {"decomposed characters are composed", "cafe\u0301", "caf\u00e9"},
		"prepared-ideographic":     {"the ideographic space becomes an ASCII space", "a\u3000b", "a b"},
		"prepared-no-break":        {"the no-break space becomes an ASCII space", "a\u00a0b", "a b"},
		"prepared-case":            {"case stays", "CorRect", "CorRect"},
		"prepared-fullwidth":       {"fullwidth letters stay", "\uff41\uff42", "\uff41\uff42"},
		"prepared-spaces-stay":     {"spaces at the ends and in a row stay", "  a  ", "  a  "},
		"prepared-symbols":         {"symbols are allowed", "\U0001f600\u2665", "\U0001f600\u2665"},
		"unusable-empty":           {"empty", "", ""},
		"unusable-control":         {"a control character", "a\tb", ""},
		"unusable-not-utf8":        {"not UTF-8", "a\xc3", ""},
		"unusable-unassigned":      {"a code point that is not assigned", "a\U000e0fff", ""},
		"unusable-1025-bytes":      {"over 1024 bytes", string(bytes.Repeat([]byte("a"), 1025)), ""},
		"unusable-1024-and-a-half": {"over 1024 bytes as UTF-8", string(bytes.Repeat([]byte("\u00e9"), 513)), ""},
	} {
		v := &vectors.Vector{Fields: fields("comment", c[0], "expect", "unusable", "typed", []byte(c[1]))}
		if c[2] != "" {
			v.Fields = fields("comment", c[0], "expect", "prepared", "typed", []byte(c[1]), "password", []byte(c[2]))
		}
		write(name, v)
	}
	seed := fill(0x5d)
	body := attemptOf(ask(0x5d, prepare("blue sofa on a tuesday"), home))
	write("asked", &vectors.Vector{Fields: fields("comment", "the attempt of a seed", "expect", "asked", "seed", seed[:],
		"password", []byte("blue sofa on a tuesday"), "attempt", body.Attempt[:], "blinded", body.Blinded[:])})
}

func writeAnswers(write func(string, *vectors.Vector)) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	seed, backup := fill(2), fill(0x4b)
	one := func(name, comment, expect, typed string, at password.Place, e *vaultapi.Evaluation) {
		write(name, &vectors.Vector{Body: e.Envelope, Fields: fields("comment", comment, "expect", expect, "seed", seed[:], "password", []byte(typed),
			"fleet", at.Fleet[:], "account", at.Account[:], "record", e.Record[:], "attempt", e.Attempt[:],
			"evaluated", e.Evaluated[:], "proof", e.Proof[:], "backup-key", backup[:])})
	}
	const right = "blue sofa on a tuesday"
	q := ask(2, p, home)
	one("opened", "the right password", "opened", right, home, honest(reg, q))
	other := ask(2, prepare("Blue sofa on a tuesday"), home)
	one("wrong-password", "another password", "wrong password", "Blue sofa on a tuesday", home, honest(reg, other))
	mallory := home
	mallory.Account[0] ^= 1
	one("other-account", "the envelope of another account", "wrong password", right, mallory, honest(reg, q))
	for name, change := range map[string]func(*vaultapi.Evaluation){
		"other-record":  func(e *vaultapi.Evaluation) { e.Record[0] ^= 1 },
		"other-wrapped": func(e *vaultapi.Evaluation) { e.Envelope[80] ^= 1 },
		"other-tag":     func(e *vaultapi.Evaluation) { e.Envelope[140] ^= 1 },
		"other-params":  func(e *vaultapi.Evaluation) { e.Envelope[9]++ },
	} {
		e := honest(reg, q)
		e.Envelope = bytes.Clone(e.Envelope)
		change(e)
		one(name, "not as it was made: does not open", "wrong password", right, home, e)
	}
	for name, e := range dishonestAnswers(reg, q) {
		one("dishonest-"+string(bytes.ReplaceAll([]byte(name), []byte(" "), []byte("-"))), name, "dishonest", right, home, e)
	}
	for name, change := range map[string]func(b []byte) []byte{
		"version": func(b []byte) []byte { b[0] = 3; return b },
		"kdf":     func(b []byte) []byte { b[1] = 2; return b },
		"2-of-2":  func(b []byte) []byte { return secondVault(b) },
	} {
		e := honest(reg, q)
		e.Envelope = change(bytes.Clone(e.Envelope))
		one("unsupported-"+name, name, "unsupported", right, home, e)
	}
}

// secondVault makes the envelope of one vault look like one of two.
func secondVault(b []byte) []byte {
	more := bytes.Clone(b[13:77])
	more[0] ^= 1
	return bytes.Join([][]byte{b[:11], {2, 2}, b[13:77], more, b[77:]}, nil)
}
