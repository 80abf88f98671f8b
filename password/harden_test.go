package password_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"keepsake.example/key"
	"keepsake.example/oprf/p256"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
	"keepsake.example/vectors"
)

const sofa = "blue sofa on a tuesday"

func TestHardenedRecordOpens(t *testing.T) {
	p := prepare(sofa)
	reg := registerHard(1, p, hard)
	q := ask(2, p, hard)
	r, err := q.Open(honestHard(reg, q))
	isKept(t, r, err)
	if r.Unlock.Public() != reg.Body.Unlock || r.Record != reg.Body.Record {
		t.Error("another unlock key or record")
	}
	if e := must(password.DecodeEnvelope(reg.Body.Envelope)); e.FleetKey != hard.FleetKey || reg.Body.Envelope[0] != 2 {
		t.Errorf("version %d, fleet key %x", reg.Body.Envelope[0], e.FleetKey)
	}
	wrong := ask(2, prepare("Blue sofa on a tuesday"), hard)
	if r, err := wrong.Open(honestHard(reg, wrong)); r != nil || !errors.Is(err, password.ErrWrongPassword) {
		t.Errorf("another password: %v, %v", r, err)
	}
}

// Whoever has k, and all that lies on the vault's disks, still needs h for every
// guess: the right password with another device opens nothing.
func TestVaultsKeyAloneDoesNotOpen(t *testing.T) {
	p := prepare(sofa)
	reg := registerHard(1, p, hard)
	q := ask(2, p, hard)
	thief := fill(0x69)
	answer := honestHard(reg, q)
	answer.Evaluated2 = must(p256.Evaluate(&thief, q.Body().(*vaultapi.HardenedAttemptBody).Blinded2))
	if r, err := q.Open(answer); r != nil || !errors.Is(err, password.ErrWrongPassword) {
		t.Errorf("with another key: %v, %v", r, err)
	}
	// Nor does what the device says of the same password in another account serve.
	mallory := hard
	mallory.Account[0] ^= 1
	other := ask(2, p, mallory)
	answer = honestHard(reg, q)
	answer.Evaluated2 = device(other.Body().(*vaultapi.HardenedAttemptBody).Blinded2)
	if r, err := q.Open(answer); r != nil || !errors.Is(err, password.ErrWrongPassword) {
		t.Errorf("the answer to another account: %v, %v", r, err)
	}
}

// And whoever has h needs k.
func TestFleetKeyAloneDoesNotOpen(t *testing.T) {
	p := prepare(sofa)
	reg, other := registerHard(1, p, hard), registerHard(9, p, hard)
	q := ask(2, p, hard)
	answer := honestHard(other, q)
	answer.Record, answer.Envelope = reg.Body.Record, reg.Body.Envelope
	if r, err := q.Open(answer); r != nil || !errors.Is(err, password.ErrDishonest) {
		t.Errorf("with another record's k: %v, %v", r, err)
	}
}

// A fleet without a key asks and registers byte for byte what it did before there was
// suite 2: the vectors of suite 1 say so, and this that nothing of suite 2 is there.
func TestWithoutFleetKeyNothingChanges(t *testing.T) {
	p := prepare(sofa)
	if reg := register(1, p, home); reg.Body.Envelope[0] != 1 || len(reg.Body.Envelope) != 141 {
		t.Errorf("version %d, %d bytes", reg.Body.Envelope[0], len(reg.Body.Envelope))
	}
	q, hardened := attemptOf(ask(2, p, home)), ask(2, p, hard).Body().(*vaultapi.HardenedAttemptBody)
	if q.Attempt != hardened.Attempt || q.Blinded != hardened.Blinded {
		t.Error("suite 2 changes the question of suite 1")
	}
	if asked := ask(2, p, home).Asked(); asked != q.Blinded {
		t.Error("what is proved is not B")
	}
	if asked := ask(2, p, hard).Asked(); asked != hardened.Question() {
		t.Error("what is proved is not c")
	}
}

// A record of suite 1 opens in a fleet with a key.
func TestOlderRecordOpens(t *testing.T) {
	p := prepare(sofa)
	reg := register(1, p, home)
	q := ask(2, p, hard)
	r, err := q.Open(honestHard(reg, q))
	isKept(t, r, err)
}

// A bundle that lost its key, or has another, is not a wrong password.
func TestOtherFleetKeyIsNotAWrongPassword(t *testing.T) {
	p := prepare(sofa)
	reg := registerHard(1, p, hard)
	lost := ask(2, p, home)
	if r, err := lost.Open(honest(reg, lost)); r != nil || !errors.Is(err, password.ErrFleetKey) || errors.Is(err, password.ErrWrongPassword) {
		t.Errorf("lost: %v, %v", r, err)
	}
	h := fill(0x33)
	other := hard
	other.FleetKey = must(p256.Public(&h))
	q := ask(2, p, other)
	if r, err := q.Open(honestHard(reg, q)); r != nil || !errors.Is(err, password.ErrFleetKey) {
		t.Errorf("another: %v, %v", r, err)
	}
}

func TestHardenedDishonest(t *testing.T) {
	p := prepare(sofa)
	reg := registerHard(1, p, hard)
	q := ask(2, p, hard)
	body := q.Body().(*vaultapi.HardenedAttemptBody)
	reflected := body.Blinded2
	reflected[0] ^= 1
	for name, change := range map[string]func(*vaultapi.HardenedEvaluation){
		"no point":                 func(e *vaultapi.HardenedEvaluation) { e.Evaluated2[0] = 4 },
		"neutral":                  func(e *vaultapi.HardenedEvaluation) { e.Evaluated2 = [33]byte{} },
		"the question":             func(e *vaultapi.HardenedEvaluation) { e.Evaluated2 = body.Blinded2 },
		"the question, other sign": func(e *vaultapi.HardenedEvaluation) { e.Evaluated2 = reflected },
		"the first proof":          func(e *vaultapi.HardenedEvaluation) { e.Proof[0] ^= 1 },
		"another attempt":          func(e *vaultapi.HardenedEvaluation) { e.Attempt[0] ^= 1 },
		"no suite":                 func(e *vaultapi.HardenedEvaluation) { e.Envelope = slices.Delete(e.Envelope, 77, 111) },
		"a key that is no point":   func(e *vaultapi.HardenedEvaluation) { e.Envelope[78] = 4 },
		"two vaults":               func(e *vaultapi.HardenedEvaluation) { e.Envelope[12] = 2 },
	} {
		answer := honestHard(reg, q)
		answer.Envelope = bytes.Clone(answer.Envelope)
		change(answer)
		if r, err := q.Open(answer); r != nil || !errors.Is(err, password.ErrDishonest) || errors.Is(err, password.ErrWrongPassword) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	plain := ask(2, p, home)
	for name, open := range map[string]func() (*password.Recovered, error){
		"an answer of suite 1": func() (*password.Recovered, error) { return q.Open(&honestHard(reg, q).Evaluation) },
		"an answer of suite 2": func() (*password.Recovered, error) { return plain.Open(honestHard(reg, q)) },
		"none":                 func() (*password.Recovered, error) { return q.Open(nil) },
		"a history":            func() (*password.Recovered, error) { return q.Open(&vaultapi.History{}) },
	} {
		if r, err := open(); r != nil || !errors.Is(err, password.ErrDishonest) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	answer := honestHard(reg, q)
	answer.Envelope = bytes.Clone(answer.Envelope)
	answer.Envelope[77] = 3
	if r, err := q.Open(answer); r != nil || !errors.Is(err, password.ErrUnsupported) {
		t.Errorf("suite 3: %v, %v", r, err)
	}
}

// Suite and fleet key are authenticated, and no envelope of one suite is one of the
// other.
func TestSuiteIsAuthenticated(t *testing.T) {
	p := prepare(sofa)
	reg := registerHard(1, p, hard)
	stripped := bytes.Clone(reg.Body.Envelope)
	stripped = slices.Delete(stripped, 77, 111)
	stripped[0] = 1
	q := ask(2, p, home)
	e := honest(reg, q)
	e.Envelope = stripped
	if r, err := q.Open(e); r != nil || !errors.Is(err, password.ErrWrongPassword) {
		t.Errorf("stripped of its suite: %v, %v", r, err)
	}
	added := slices.Insert(bytes.Clone(register(1, p, home).Body.Envelope), 77, slices.Concat([]byte{2}, hard.FleetKey[:])...)
	added[0] = 2
	hq := ask(2, p, hard)
	answer := honestHard(reg, hq)
	answer.Envelope = added
	if r, err := hq.Open(answer); r != nil || !errors.Is(err, password.ErrWrongPassword) {
		t.Errorf("with a suite put in: %v, %v", r, err)
	}
}

// A device, or a vault, with another key than the fleet's is found out before a
// record is made with its answer.
func TestHardenFindsAnotherKey(t *testing.T) {
	p := prepare(sofa)
	h := must(password.Harden(&reader{}, p, hard))
	bodies := h.Bodies()
	if bodies[0].Blinded2 == bodies[1].Blinded2 {
		t.Error("one question twice")
	}
	other := fill(0x69)
	good := [2]*vaultapi.Hardened{{Evaluated2: device(bodies[0].Blinded2)}, {Evaluated2: device(bodies[1].Blinded2)}}
	with := func(i int, z [33]byte) [2]*vaultapi.Hardened {
		bad := good
		bad[i] = &vaultapi.Hardened{Evaluated2: z}
		return bad
	}
	for name, answers := range map[string][2]*vaultapi.Hardened{
		"first":    with(0, must(p256.Evaluate(&other, bodies[0].Blinded2))),
		"second":   with(1, must(p256.Evaluate(&other, bodies[1].Blinded2))),
		"both":     {{Evaluated2: must(p256.Evaluate(&other, bodies[0].Blinded2))}, {Evaluated2: must(p256.Evaluate(&other, bodies[1].Blinded2))}},
		"swapped":  {good[1], good[0]},
		"the ask":  {{Evaluated2: bodies[0].Blinded2}, {Evaluated2: bodies[1].Blinded2}},
		"no point": with(1, [33]byte{}),
	} {
		if out, err := h.Finish(answers); out != nil || !errors.Is(err, password.ErrDishonest) {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
	if out, err := h.Finish(good); err != nil || fmt.Sprint(out) != word {
		t.Errorf("the right answers: %v, %v", out, err)
	}
	h.Wipe()
}

func TestHardenRefuses(t *testing.T) {
	p := prepare(sofa)
	errBroken := errors.New("broken")
	if h, err := password.Harden(iotest.ErrReader(errBroken), p, hard); h != nil || !errors.Is(err, errBroken) {
		t.Errorf("without randomness: %v, %v", h, err)
	}
	if h, err := password.Harden(strings.NewReader(strings.Repeat("x", 50)), p, hard); h != nil || err == nil {
		t.Errorf("with too little: %v, %v", h, err)
	}
	if h, err := password.Harden(&reader{}, p, home); h != nil || !errors.Is(err, p256.ErrPoint) {
		t.Errorf("without a fleet key: %v, %v", h, err)
	}
	mallory := hard
	mallory.Account[0] ^= 1
	for name, c := range map[string]struct {
		at password.Place
		h  *password.Hardened
	}{
		"not hardened": {hard, nil}, "for another account": {hard, harden(1, p, mallory)}, "in a fleet without a key": {home, harden(1, p, hard)},
	} {
		o := password.Options{Params: cheap, Limit: 10, Hardened: c.h}
		if reg, err := password.Register(&reader{}, p, kept, c.at, o); reg != nil || err == nil {
			t.Errorf("%s: registered", name)
		}
	}
}

func TestHardenedIsWiped(t *testing.T) {
	p := prepare(sofa)
	h := harden(1, p, hard)
	h.Wipe()
	defer func() {
		if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "password: internal error") {
			t.Errorf("a wiped output was used: %v", text)
		}
	}()
	password.Register(&reader{}, p, kept, hard, password.Options{Params: cheap, Limit: 10, Hardened: h})
}

func writeHardened(write func(string, *vectors.Vector)) {
	for i, text := range []string{sofa, "caf\u00e9 \u00fcber alles"} {
		k, h := vaultKey(register(byte(i+1), prepare("any"), home)), fill(0x68+byte(i))
		ref := &reference{password: []byte(text), memory: cheap.MemoryKiB, passes: cheap.Passes, threads: cheap.Threads, hardwareKey: h[:]}
		k.Use(func(b *[32]byte) { ref.vaultKey = slices.Clone(b[:]) })
		for to, b := range map[*[]byte]byte{&ref.backupKey: 0x4b, &ref.fleet: 0xf1, &ref.account: 0xac, &ref.record: 0x5e} {
			value := fill(b + byte(i))
			*to = value[:]
		}
		ref.record = ref.record[:16]
		ref.compute()
		at := password.Place{Fleet: [32]byte(ref.fleet), Account: [32]byte(ref.account), FleetKey: [33]byte(ref.fleetKey)}
		unlock := must(password.Register(bytes.NewReader(slices.Concat(ref.record, ref.vaultKey, make([]byte, 32))), prepare(text), key.FromBytes([32]byte(ref.backupKey)),
			at, password.Options{Params: cheap, Limit: 10, Hardened: hardenWith(&h, 1, prepare(text), at)})).Body.Unlock
		v := &vectors.Vector{Fields: fields("comment", "suite 2: every step from the password to the envelope", "expect", "derived",
			"password", ref.password, "vault-key", ref.vaultKey, "hardware-key", h[:], "backup-key", ref.backupKey, "fleet", ref.fleet, "account", ref.account,
			"record", ref.record, "memory-kib", cheap.MemoryKiB, "passes", cheap.Passes, "threads", cheap.Threads)}
		for _, s := range ref.steps() {
			v.Fields = append(v.Fields, fields(s.name, s.value)...)
		}
		v.Fields = append(v.Fields, fields("unlock-public", unlock[:])...)
		write(fmt.Sprintf("hardened-derived-%d", i+1), v)
	}
	seed := fill(0x5d)
	body := ask(0x5d, prepare(sofa), hard).Body().(*vaultapi.HardenedAttemptBody)
	write("hardened-asked", &vectors.Vector{Fields: fields("comment", "the attempt of a seed, suite 2", "expect", "asked", "seed", seed[:],
		"password", []byte(sofa), "fleet-key", hard.FleetKey[:], "attempt", body.Attempt[:], "blinded", body.Blinded[:], "blinded-2", body.Blinded2[:])})
	writeHardenedAnswers(write)
}

func writeHardenedAnswers(write func(string, *vectors.Vector)) {
	p := prepare(sofa)
	reg, old := registerHard(1, p, hard), register(1, p, home)
	seed, backup := fill(2), fill(0x4b)
	one := func(name, comment, expect string, at password.Place, reg *password.Registration, change func(*vaultapi.HardenedEvaluation)) {
		e := honestHard(reg, ask(2, p, at))
		e.Envelope = bytes.Clone(e.Envelope)
		change(e)
		write("hardened-"+name, &vectors.Vector{Body: e.Envelope, Fields: fields("comment", comment, "expect", expect, "seed", seed[:], "password", []byte(sofa),
			"fleet", at.Fleet[:], "account", at.Account[:], "fleet-key", at.FleetKey[:], "record", e.Record[:], "attempt", e.Attempt[:],
			"evaluated", e.Evaluated[:], "proof", e.Proof[:], "evaluated-2", e.Evaluated2[:], "backup-key", backup[:])})
	}
	same := func(*vaultapi.HardenedEvaluation) {}
	one("opened", "suite 2: the right password", "opened", hard, reg, same)
	one("opened-suite-1", "a record of suite 1 in a fleet with a fleet key", "opened", hard, old, same)
	one("other-device", "the answer of a device with another key", "wrong password", hard, reg, func(e *vaultapi.HardenedEvaluation) {
		h := fill(0x69)
		e.Evaluated2 = must(p256.Evaluate(&h, ask(2, p, hard).Body().(*vaultapi.HardenedAttemptBody).Blinded2))
	})
	other, h := hard, fill(0x33)
	other.FleetKey = must(p256.Public(&h))
	one("other-fleet-key", "the bundle has another fleet key than the envelope", "fleet key", other, reg, same)
	one("suite-3", "an unknown suite", "unsupported", hard, reg, func(e *vaultapi.HardenedEvaluation) { e.Envelope[77] = 3 })
	for name, change := range map[string]func(*vaultapi.HardenedEvaluation){
		"neutral": func(e *vaultapi.HardenedEvaluation) { e.Evaluated2 = [33]byte{} },
		"reflected": func(e *vaultapi.HardenedEvaluation) {
			e.Evaluated2 = ask(2, p, hard).Body().(*vaultapi.HardenedAttemptBody).Blinded2
		},
		"no-suite":    func(e *vaultapi.HardenedEvaluation) { e.Envelope = slices.Delete(e.Envelope, 77, 111) },
		"no-point":    func(e *vaultapi.HardenedEvaluation) { e.Envelope[78] = 4 },
		"two-vaults":  func(e *vaultapi.HardenedEvaluation) { e.Envelope[12] = 2 },
		"cut":         func(e *vaultapi.HardenedEvaluation) { e.Envelope = e.Envelope[:len(e.Envelope)-1] },
		"first-proof": func(e *vaultapi.HardenedEvaluation) { e.Proof[0] ^= 1 },
	} {
		one("dishonest-"+name, "suite 2: "+name, "dishonest", hard, reg, change)
	}
}
