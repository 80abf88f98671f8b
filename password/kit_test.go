package password_test

import (
	"encoding/hex"
	"testing"

	"keepsake.example/key"
	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/password"
	"keepsake.example/sealed"
	"keepsake.example/vaultapi"
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// reader gives the same bytes for the same seed, without end.
type reader struct{ seed, n byte }

func (r *reader) Read(b []byte) (int, error) {
	for i := range b {
		r.n++
		b[i] = r.seed*31 ^ r.n*7
	}
	return len(b), nil
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

func fill(b byte) (out [32]byte) {
	for i := range out {
		out[i] = b
	}
	return out
}

var (
	// cheap are the least parameters that are allowed.
	cheap = password.Floor
	home  = password.Place{Fleet: sealed.FleetID(fill(0xf1)), Account: vaultapi.Account(fill(0xac))}
	kept  = key.FromBytes(fill(0x4b))
)

func prepare(text string) *password.Password { return must(password.Prepare([]byte(text))) }

func register(seed byte, p *password.Password, at password.Place) *password.Registration {
	return must(password.Register(&reader{seed: seed}, p, kept, at, password.Options{Params: cheap, Limit: 10, Device: fill(1)}))
}

func ask(seed byte, p *password.Password, at password.Place) *password.Question {
	return must(password.Ask(password.SeedFromBytes(fill(seed)), p, at))
}

func vaultKey(r *password.Registration) (k *oprf.PrivateKey) {
	r.Body.Key.Use(func(b *[32]byte) { k = must(oprf.ParsePrivateKey(b[:])) })
	return k
}

// answer is what an honest vault answers that holds k and the envelope.
func answer(k *oprf.PrivateKey, record vaultapi.ID, envelope []byte, q *vaultapi.AttemptBody) *vaultapi.Evaluation {
	z, proof, err := k.Evaluate(&reader{seed: 9}, must(oprf.ParseBlinded(q.Blinded[:])))
	if err != nil {
		panic(err)
	}
	return &vaultapi.Evaluation{Record: record, Attempt: q.Attempt, Evaluated: z.Bytes(), Proof: proof.Bytes(), Envelope: envelope}
}

func attemptOf(q *password.Question) *vaultapi.AttemptBody { return q.Body().(*vaultapi.AttemptBody) }

func honest(r *password.Registration, q *password.Question) *vaultapi.Evaluation {
	return answer(vaultKey(r), r.Body.Record, r.Body.Envelope, attemptOf(q))
}

// A fleet with a key in hardware: h, and the same place.
var (
	fleetKey = fill(0x68)
	hard     = password.Place{Fleet: home.Fleet, Account: home.Account, FleetKey: must(p256.Public(&fleetKey))}
)

func device(b [p256.PointSize]byte) [p256.PointSize]byte { return must(p256.Evaluate(&fleetKey, b)) }

func harden(seed byte, p *password.Password, at password.Place) *password.Hardened {
	return hardenWith(&fleetKey, seed, p, at)
}

func hardenWith(k *[32]byte, seed byte, p *password.Password, at password.Place) *password.Hardened {
	h := must(password.Harden(&reader{seed: seed}, p, at))
	defer h.Wipe()
	var answers [2]*vaultapi.Hardened
	for i, b := range h.Bodies() {
		answers[i] = &vaultapi.Hardened{Evaluated2: must(p256.Evaluate(k, b.Blinded2))}
	}
	return must(h.Finish(answers))
}

func registerHard(seed byte, p *password.Password, at password.Place) *password.Registration {
	return must(password.Register(&reader{seed: seed}, p, kept, at, password.Options{Params: cheap, Limit: 10, Device: fill(1), Hardened: harden(seed, p, at)}))
}

func honestHard(r *password.Registration, q *password.Question) *vaultapi.HardenedEvaluation {
	b := q.Body().(*vaultapi.HardenedAttemptBody)
	e := answer(vaultKey(r), r.Body.Record, r.Body.Envelope, &vaultapi.AttemptBody{Attempt: b.Attempt, Blinded: b.Blinded})
	return &vaultapi.HardenedEvaluation{Evaluation: *e, Evaluated2: device(b.Blinded2)}
}

func isKept(t *testing.T, r *password.Recovered, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !r.Key.Equal(kept) {
		t.Error("another key came out")
	}
}
