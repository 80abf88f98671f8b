package password_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keepsake.example/password"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

func TestRightPasswordOpens(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	q := ask(2, p, home)
	r, err := q.Open(honest(reg, q))
	isKept(t, r, err)
	if r.Unlock.Public() != reg.Body.Unlock || r.Record != reg.Body.Record {
		t.Error("another unlock key or record")
	}
	again, err := q.Open(honest(reg, q))
	isKept(t, again, err)
}

func TestWrongPasswordIsNothingElse(t *testing.T) {
	reg := register(1, prepare("blue sofa on a tuesday"), home)
	q := ask(2, prepare("blue sofa on a Tuesday"), home)
	r, err := q.Open(honest(reg, q))
	if r != nil || !errors.Is(err, password.ErrWrongPassword) || errors.Is(err, password.ErrDishonest) {
		t.Fatalf("Open = %v, %v", r, err)
	}
}

// spec/vault-protocol.md §9.4: a crash repeats the attempt. Another seed is another
// attempt, another password the same one with another question.
func TestAskFollowsFromSeed(t *testing.T) {
	p, other := prepare("one password"), prepare("another one")
	first, again, second, mixed := attemptOf(ask(1, p, home)), attemptOf(ask(1, p, home)), attemptOf(ask(2, p, home)), attemptOf(ask(1, other, home))
	if *first != *again {
		t.Error("the same seed and password make another attempt")
	}
	if first.Attempt == second.Attempt || first.Blinded == second.Blinded {
		t.Error("two seeds make one attempt")
	}
	if first.Attempt != mixed.Attempt || first.Blinded == mixed.Blinded {
		t.Error("another password has another id, or the same question")
	}
}

// dishonestAnswers are all that spec/vault-protocol.md §9.3 calls a dishonest vault.
func dishonestAnswers(reg *password.Registration, q *password.Question) map[string]*vaultapi.Evaluation {
	all := map[string]*vaultapi.Evaluation{}
	change := func(name string, f func(*vaultapi.Evaluation)) {
		e := honest(reg, q)
		e.Envelope = bytes.Clone(e.Envelope)
		f(e)
		all[name] = e
	}
	change("reflected", func(e *vaultapi.Evaluation) { e.Evaluated = attemptOf(q).Blinded })
	change("proof", func(e *vaultapi.Evaluation) { e.Proof[0] ^= 1 })
	change("proof not reduced", func(e *vaultapi.Evaluation) { e.Proof[63] = 0xff })
	change("proof of another question", func(e *vaultapi.Evaluation) {
		other := ask(7, prepare("x"), home)
		e.Proof = honest(reg, other).Proof
	})
	change("key of another record", func(e *vaultapi.Evaluation) {
		o := honest(register(5, prepare("y"), home), q)
		e.Evaluated, e.Proof = o.Evaluated, o.Proof
	})
	change("identity", func(e *vaultapi.Evaluation) { e.Evaluated = [32]byte{} })
	change("not canonical", func(e *vaultapi.Evaluation) { e.Evaluated = fill(0xff) })
	change("another attempt", func(e *vaultapi.Evaluation) { e.Attempt[0] ^= 1 })
	change("floor of memory", func(e *vaultapi.Evaluation) { copy(e.Envelope[2:], []byte{0, 0, 0x4b, 0xff}) })
	change("floor of passes", func(e *vaultapi.Evaluation) { e.Envelope[9]-- })
	change("floor of threads", func(e *vaultapi.Evaluation) { e.Envelope[10] = 0 })
	change("ceiling of memory", func(e *vaultapi.Evaluation) { copy(e.Envelope[2:], []byte{0, 16, 0, 1}) })
	change("ceiling of passes", func(e *vaultapi.Evaluation) { e.Envelope[9] = 17 })
	change("ceiling of threads", func(e *vaultapi.Evaluation) { e.Envelope[10] = 65 })
	change("another fleet", func(e *vaultapi.Evaluation) { e.Envelope[13] ^= 1 })
	change("cut envelope", func(e *vaultapi.Evaluation) { e.Envelope = e.Envelope[:len(e.Envelope)-1] })
	change("generator as key", func(e *vaultapi.Evaluation) {
		copy(e.Envelope[45:], unhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
	})
	return all
}

// regressions.md: identity element accepted; blinded element reflected; slow hash
// too weak. Each is a lie, and none a wrong password.
func TestDishonestVault(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	q := ask(2, p, home)
	for name, e := range dishonestAnswers(reg, q) {
		r, err := q.Open(e)
		if r != nil || !errors.Is(err, password.ErrDishonest) || errors.Is(err, password.ErrWrongPassword) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// An envelope of another account or record does not open, nor one changed in what is
// authenticated only by the tag (spec/vault-protocol.md §9.2).
func TestForeignEnvelopeDoesNotOpen(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	alice := ask(2, p, home)
	mallory := home
	mallory.Account[0] ^= 1
	others := map[string]func(*vaultapi.Evaluation) *password.Question{
		"account": func(*vaultapi.Evaluation) *password.Question { return ask(2, p, mallory) },
		"record":  func(e *vaultapi.Evaluation) *password.Question { e.Record[0] ^= 1; return alice },
		"params":  func(e *vaultapi.Evaluation) *password.Question { e.Envelope[9]++; return alice },
		"wrapped": func(e *vaultapi.Evaluation) *password.Question { e.Envelope[80] ^= 1; return alice },
		"tag":     func(e *vaultapi.Evaluation) *password.Question { e.Envelope[len(e.Envelope)-1] ^= 1; return alice },
	}
	for name, change := range others {
		e := honest(reg, alice)
		e.Envelope = bytes.Clone(e.Envelope)
		if r, err := change(e).Open(e); r != nil || !errors.Is(err, password.ErrWrongPassword) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

// The partition oracle: a hostile vault that knows k and two guesses tries to make
// one envelope that opens under both. With a tag that is a MAC under a derived key
// over what it wraps, the best it can do is an envelope for one of them.
func TestNoEnvelopeOpensUnderTwoPasswords(t *testing.T) {
	first, second := prepare("first guess of many"), prepare("second guess of many")
	a, b := register(1, first, home), register(1, second, home) // one k, one record id
	if vaultKey(a).Equal(vaultKey(b)) != true || a.Body.Record != b.Body.Record {
		t.Fatal("the two records differ in more than the password")
	}
	n := len(a.Body.Envelope)
	tails := func(r *password.Registration) (wrapped, tag []byte) {
		return r.Body.Envelope[n-64 : n-32], r.Body.Envelope[n-32:]
	}
	wa, ta := tails(a)
	wb, tb := tails(b)
	head := a.Body.Envelope[:n-64]
	for i, tail := range [][2][]byte{{wa, ta}, {wa, tb}, {wb, ta}, {wb, tb}} {
		envelope := bytes.Join([][]byte{head, tail[0], tail[1]}, nil)
		opened := 0
		for _, p := range []*password.Password{first, second} {
			q := ask(2, p, home)
			if _, err := q.Open(answer(vaultKey(a), a.Body.Record, envelope, attemptOf(q))); err == nil {
				opened++
			} else if !errors.Is(err, password.ErrWrongPassword) {
				t.Errorf("mix %d: %v", i, err)
			}
		}
		if want := map[int]int{0: 1, 3: 1}[i]; opened != want {
			t.Errorf("mix %d opens under %d passwords, want %d", i, opened, want)
		}
	}
}

// A key that several vaults share is a matter of a newer version, not of a lie.
func TestSeveralVaultsAreUnsupported(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	q := ask(2, p, home)
	for _, threshold := range []byte{1, 2} {
		e := honest(reg, q)
		one := bytes.Clone(e.Envelope[13:77])
		one[0] ^= 1
		e.Envelope = bytes.Join([][]byte{e.Envelope[:11], {threshold, 2}, e.Envelope[13:77], one, e.Envelope[77:]}, nil)
		if _, err := q.Open(e); !errors.Is(err, password.ErrUnsupported) || errors.Is(err, password.ErrDishonest) {
			t.Errorf("T=%d of 2: %v", threshold, err)
		}
	}
}

func TestRegisterRefuses(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	for name, o := range map[string]password.Options{
		"no limit":    {Params: cheap, Limit: 0},
		"high limit":  {Params: cheap, Limit: 11},
		"under floor": {Params: password.Params{MemoryKiB: 8 << 10, Passes: 3, Threads: 1}, Limit: 10},
	} {
		if _, err := password.Register(&reader{}, p, kept, home, o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := password.Register(strings.NewReader("short"), p, kept, home, password.Options{Params: cheap, Limit: 10}); err == nil {
		t.Error("registered without randomness")
	}
	if _, err := password.Register(bytes.NewReader(make([]byte, 20)), p, kept, home, password.Options{Params: cheap, Limit: 10}); err == nil {
		t.Error("registered with half the randomness")
	}
}

// regressions.md: slow hash too weak and not tunable later.
func TestParamsHaveFloorAndCeiling(t *testing.T) {
	for _, p := range []password.Params{password.Floor, password.Ceiling, password.DefaultParams} {
		if err := p.Check(); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
	if f := password.Floor; f.MemoryKiB < 19456 || f.Passes < 2 {
		t.Errorf("the floor %v is under OWASP's minimum", f)
	}
	for _, p := range []password.Params{
		{}, {19455, 2, 1}, {19456, 1, 1}, {19456, 2, 0}, {1<<20 + 1, 2, 1}, {19456, 17, 1}, {19456, 2, 65}, {1<<32 - 1, 1<<32 - 1, 255},
	} {
		if err := p.Check(); !errors.Is(err, password.ErrParams) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// regressions.md: no Unicode normalisation. The same password from another keyboard
// is the same.
func TestNoUnicodeNormalisation(t *testing.T) {
	forms := map[string]string{
		"NFC":              "caf\u00e9 \u00fcber alles \ud55c",
		"NFD":              "cafe\u0301 u\u0308ber alles \u1112\u1161\u11ab",
		"fullwidth space":  "caf\u00e9\u3000\u00fcber\u3000alles\u3000\ud55c",
		"no-break space":   "caf\u00e9\u00a0\u00fcber alles \ud55c",
		"thin space mixed": "cafe\u0301\u2009\u00fcber\u2003alles \ud55c",
	}
	reg := register(1, prepare(forms["NFC"]), home)
	for name, form := range forms {
		q := ask(2, prepare(form), home)
		r, err := q.Open(honest(reg, q))
		if err != nil || !r.Key.Equal(kept) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, other := range []string{"Caf\u00e9 \u00fcber alles \ud55c", "cafe uber alles \ud55c", " caf\u00e9 \u00fcber alles \ud55c", "\uff43af\u00e9 \u00fcber alles \ud55c"} {
		if prepare(other).Equal(prepare(forms["NFC"])) {
			t.Errorf("%q is taken for the same", other)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	for name, typed := range map[string]string{
		"empty": "", "control": "abc\x07def", "newline": "abc\ndef", "not UTF-8": "abc\xff", "unassigned": "abc\U000e0fff",
		"long": strings.Repeat("a", password.MaxPrepared+1), "longer": strings.Repeat("a", password.MaxTyped+1),
	} {
		p, err := password.Prepare([]byte(typed))
		if p != nil || !errors.Is(err, password.ErrUnusable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, typed := range []string{"a", " ", strings.Repeat("a", password.MaxPrepared), "\U0001f600"} {
		if _, err := password.Prepare([]byte(typed)); err != nil {
			t.Errorf("%.10q: %v", typed, err)
		}
	}
}

func TestVerifier(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	v := must(password.NewVerifier(&reader{}, p, cheap))
	for _, v := range []*password.Verifier{v, must(password.DecodeVerifier(v.Encode()))} {
		if !v.Matches(p) || v.Matches(prepare("blue sofa")) {
			t.Error("the verifier is wrong")
		}
	}
	if other := must(password.NewVerifier(&reader{seed: 1}, p, cheap)); bytes.Equal(other.Encode(), v.Encode()) {
		t.Error("two verifiers have one salt")
	}
	if _, err := password.NewVerifier(&reader{}, p, password.Params{MemoryKiB: 1, Passes: 1, Threads: 1}); !errors.Is(err, password.ErrParams) {
		t.Errorf("under the floor: %v", err)
	}
	if _, err := password.NewVerifier(strings.NewReader(""), p, cheap); err == nil {
		t.Error("made without a salt")
	}
}

// decoders are the decoders of the package; what each accepts is encoded again.
var decoders = map[string]func([]byte) ([]byte, error){
	"envelope": decodeEnvelope,
	"hardened": decodeEnvelope,
	"verifier": func(b []byte) ([]byte, error) {
		v, err := password.DecodeVerifier(b)
		if err != nil {
			return nil, err
		}
		return v.Encode(), nil
	},
}

func decodeEnvelope(b []byte) ([]byte, error) {
	e, err := password.DecodeEnvelope(b)
	if err != nil {
		return nil, err
	}
	return e.Encode(), nil
}

func samples() map[string][]byte {
	p := prepare("p")
	return map[string][]byte{
		"envelope": register(1, p, home).Body.Envelope,
		"hardened": registerHard(1, p, hard).Body.Envelope,
		"verifier": must(password.NewVerifier(&reader{}, p, cheap)).Encode(),
	}
}

// Whatever is cut or longer is refused; whatever is changed is refused or is another
// value with an encoding of its own. That changed envelopes do not open is
// TestEveryChangedByteOfAnEnvelopeIsNoticed.
func TestMangledIsRefused(t *testing.T) {
	for name, good := range samples() {
		for n := range good {
			if _, err := decoders[name](good[:n]); err == nil {
				t.Errorf("%s: accepted %d of %d bytes", name, n, len(good))
			}
		}
		if _, err := decoders[name](append(bytes.Clone(good), 0)); err == nil {
			t.Errorf("%s: accepted a byte more", name)
		}
		for i := range good {
			for bit := range 8 {
				bad := bytes.Clone(good)
				bad[i] ^= 1 << bit
				if again, err := decoders[name](bad); err == nil && !bytes.Equal(again, bad) {
					t.Errorf("%s: byte %d changed is encoded in another way", name, i)
				}
			}
		}
	}
}

func TestEveryChangedByteOfAnEnvelopeIsNoticed(t *testing.T) {
	p := prepare("blue sofa on a tuesday")
	reg := register(1, p, home)
	q := ask(2, p, home)
	e := honest(reg, q)
	good := e.Envelope
	for i := range good {
		if i > len(good)-64 && i%5 != 0 {
			continue // each costs an Argon2id, and all are alike to HMAC
		}
		e.Envelope = bytes.Clone(good)
		e.Envelope[i] ^= 4 // keeps memory, passes and threads within bounds, or over
		if i == 3 {
			e.Envelope[i] ^= 4 | 1 // 256 MiB would be slow
		}
		if _, err := q.Open(e); err == nil {
			t.Errorf("byte %d changed and it opens", i)
		}
	}
}

func TestFleetTwiceIsRefused(t *testing.T) {
	good := register(1, prepare("p"), home).Body.Envelope
	twice := bytes.Join([][]byte{good[:12], {2}, good[13:77], good[13:77], good[77:]}, nil)
	if _, err := password.DecodeEnvelope(twice); !errors.Is(err, password.ErrEnvelope) {
		t.Errorf("%v", err)
	}
}

func fuzz(f *testing.F, name string) {
	f.Add(samples()[name])
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if again, err := decoders[name](data); err == nil && !bytes.Equal(again, data) {
			t.Errorf("%x is encoded as %x", data, again)
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add(samples()["hardened"])
	fuzz(f, "envelope")
}
func FuzzVerifier(f *testing.F) { fuzz(f, "verifier") }

// FuzzPrepareAndJudge: preparing is idempotent, and judging never panics.
func FuzzPrepareAndJudge(f *testing.F) {
	for _, seed := range []string{"password", "\u0130password", "пароль12", "caf\u0065\u0301 1987-03-04", "$$$aaa4321zxcvbn", "alice.smith"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, typed []byte) {
		if len(typed) > 200 {
			return
		}
		p, err := password.Prepare(typed)
		if err != nil {
			return
		}
		p.Use(func(prepared []byte) {
			again, err := password.Prepare(prepared)
			if err != nil || !again.Equal(p) {
				t.Errorf("%q is not stable", typed)
			}
		})
		if v := password.Judge(p, "alice.smith@mail.example"); !v.OK && (v.Reason == "" || v.Hint == "") {
			t.Errorf("%q is refused without a reason or hint", typed)
		}
	})
}

// regressions.md: weak passwords allowed. Ten guesses are plenty for the ten commonest.
func TestWeakPasswordsAllowed(t *testing.T) {
	for _, weak := range []string{
		"password", "123456", "123456789", "12345678", "qwerty", "Password1", "PASSWORD", "iloveyou", "princess1", "qwertyuiop", "letmein1",
		"P@ssw0rd", "aaaaaaaaaaaa", "abcdefghijk", "1987-03-04", "19870304", "1q2w3e4r5t", "short7!", "tiny", "trustno1", "alicesmith", "alice.smith",
		"Alice2019", "smith123", "passwordpassword", "monkey123", "привет", "football1", "zxcvbnm,./", "         ",
	} {
		v := password.Judge(prepare(weak), "alice.smith@mail.example")
		if v.OK || v.Score > 1 || v.Reason == "" || v.Hint == "" {
			t.Errorf("%q: %+v", weak, v)
		}
		if weak != "password" && strings.Contains(v.Reason+v.Hint, weak) {
			t.Errorf("the verdict on %q tells it: %+v", weak, v)
		}
	}
	for _, good := range []string{"blue sofa on a tuesday", "correct horse battery staple", "gk8-Wn3p!xQ", "семь верблюдов идут", "73915482", strings.Repeat("x9Q!", 200)} {
		if v := password.Judge(prepare(good), "alice.smith@mail.example"); !v.OK || v.Score < 2 {
			t.Errorf("%.40q: %+v", good, v)
		}
	}
}

func TestJudgeNamesThePattern(t *testing.T) {
	for text, want := range map[string]string{
		"password": "most common", "qwertzuiopasdf": "", "aaaaaaaaaaaa": "repeats", "seven": "fewer than 8",
		"alice.smith@mail.example": "your own name", "smithalice": "your name at the server", "password99": "common password", "13579acegik": "",
	} {
		if v := password.Judge(prepare(text), "alice.smith@mail.example"); !strings.Contains(v.Reason, want) {
			t.Errorf("%q: %+v", text, v)
		}
	}
}

func Example() {
	place := password.Place{Fleet: sealed.FleetID{1}, Account: vaultapi.Account{2}}
	p, _ := password.Prepare([]byte("blue sofa on a tuesday"))
	if v := password.Judge(p, "alice@mail.example"); !v.OK {
		fmt.Println(v.Reason)
	}
	record, _ := password.Register(&reader{}, p, kept, place, password.Options{Limit: 10})

	// Later, on a new phone. The seed is on its disk before the question leaves.
	seed, _ := password.NewSeed(&reader{seed: 1})
	question, _ := password.Ask(seed, p, place)
	answer := honest(record, question)
	recovered, err := question.Open(answer)
	fmt.Println(err, recovered.Key.Equal(kept))

	wrong, _ := password.Prepare([]byte("green sofa on a tuesday"))
	question, _ = password.Ask(seed, wrong, place)
	_, err = question.Open(honest(record, question))
	fmt.Println(err)
	// Output:
	// <nil> true
	// password: wrong password
}
