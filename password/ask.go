package password

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"keepsake.example/internal/hidden"
	"keepsake.example/key"
	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/vaultapi"
)

// SeedSize is the length of a [Seed] in bytes.
const SeedSize = 32

const (
	infoAttempt = "keepsake attempt id"
	infoBlind   = "keepsake attempt blind"
	infoBlind2  = "keepsake attempt blind 2"
)

// Seed stands for one attempt. It is kept on the disk before the first request of
// the attempt leaves: with the same password it makes the same attempt again after
// a crash, which the vault does not count again. Whoever has a seed and what the
// vault was asked can test guesses at the password; it is forgotten once the
// attempt was answered.
type Seed struct {
	secret[[SeedSize]byte]
}

// NewSeed draws a seed from random.
func NewSeed(random io.Reader) (*Seed, error) {
	s, b := hidden.New[[SeedSize]byte, owner]()
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("password: reading %d random bytes: %w", SeedSize, err)
	}
	return &Seed{s}, nil
}

// SeedFromBytes makes a seed of bytes that came out of [Seed.Use].
func SeedFromBytes(b [SeedSize]byte) *Seed {
	s, to := hidden.New[[SeedSize]byte, owner]()
	*to = b
	return &Seed{s}
}

// Use calls f with the seed. It is the only way at it: f must neither change it nor
// keep the pointer.
func (s *Seed) Use(f func(seed *[SeedSize]byte)) { f(hidden.Open(s.secret)) }

// Question is one attempt: what the vault is asked, and what opens its answer.
type Question struct {
	at       Place
	id       vaultapi.ID
	blinding *oprf.Blinding
	second   *p256.Blinding // of suite 2; nil for a fleet without a key in hardware
}

// Ask makes the attempt of a seed. The attempt id follows from the seed alone and
// the question from seed and password, so that another password with the same seed
// is refused by the vault as a conflict, at no cost, and needs a new seed.
func Ask(seed *Seed, p *Password, at Place) (*Question, error) {
	id, err := hkdf.Expand(sha256.New, hidden.Open(seed.secret)[:], infoAttempt, len(vaultapi.ID{}))
	if err != nil {
		return nil, fmt.Errorf("password: deriving the attempt: %w", err)
	}
	blind, err := hkdf.Expand(sha256.New, hidden.Open(seed.secret)[:], infoBlind, 2*oprf.ScalarSize)
	if err != nil {
		return nil, fmt.Errorf("password: deriving the attempt: %w", err)
	}
	defer clear(blind)
	b, err := oprf.Blind(bytes.NewReader(blind), *hidden.Open(p.secret))
	if err != nil {
		return nil, err
	}
	q := &Question{at: at, id: vaultapi.ID(id), blinding: b}
	if at.hardened() {
		if q.second, err = askHardened(seed, p, at); err != nil {
			b.Wipe()
			return nil, err
		}
	}
	return q, nil
}

func askHardened(seed *Seed, p *Password, at Place) (*p256.Blinding, error) {
	blind, err := hkdf.Expand(sha256.New, hidden.Open(seed.secret)[:], infoBlind2, 48)
	if err != nil {
		return nil, fmt.Errorf("password: deriving the attempt: %w", err)
	}
	defer clear(blind)
	return blindHardened(bytes.NewReader(blind), p, at)
}

// Body is what to send: an AttemptBody, or a HardenedAttemptBody where the fleet has
// a key in its hardware.
func (q *Question) Body() vaultapi.Body {
	if q.second == nil {
		return &vaultapi.AttemptBody{Attempt: q.id, Blinded: q.blinding.Blinded().Bytes()}
	}
	return q.hardenedBody()
}

func (q *Question) hardenedBody() *vaultapi.HardenedAttemptBody {
	return &vaultapi.HardenedAttemptBody{Attempt: q.id, Blinded: q.blinding.Blinded().Bytes(), Blinded2: q.second.Blinded()}
}

// Attempt is the id of the attempt.
func (q *Question) Attempt() vaultapi.ID { return q.id }

// Asked is what stands for the question in [vaultapi.ProveMessage].
func (q *Question) Asked() [32]byte {
	if q.second == nil {
		return q.blinding.Blinded().Bytes()
	}
	return q.hardenedBody().Question()
}

// Wipe overwrites what is secret of the question.
func (q *Question) Wipe() {
	q.blinding.Wipe()
	if q.second != nil {
		q.second.Wipe()
	}
}

// Recovered is what the right password gives.
type Recovered struct {
	Key    *key.Key
	Unlock *UnlockKey
	Record vaultapi.ID // the record that it came from
}

// Wipe overwrites both keys.
func (r *Recovered) Wipe() {
	r.Key.Wipe()
	r.Unlock.Wipe()
}

// Open has K from the vault's answer to the body: an Evaluation, or a
// HardenedEvaluation. The error is [ErrWrongPassword], [ErrDishonest],
// [ErrUnsupported] or [ErrFleetKey]. It may be called again.
//
// An answer whose proof holds and whose envelope does not open is a wrong
// password: an envelope of another account or record, or one changed on the
// vault's disk, cannot be told from it; nor can the answer of a device with another
// key than the fleet's.
func (q *Question) Open(answer vaultapi.AnswerBody) (*Recovered, error) {
	switch a := answer.(type) {
	case *vaultapi.Evaluation:
		if q.second == nil {
			return q.open(a, nil)
		}
	case *vaultapi.HardenedEvaluation:
		if q.second != nil {
			return q.openHardened(a)
		}
	}
	return nil, dishonest("the answer is to another request")
}

func (q *Question) openHardened(answer *vaultapi.HardenedEvaluation) (*Recovered, error) {
	y2, err := q.second.Finalize(answer.Evaluated2)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	defer clear(y2[:])
	return q.open(&answer.Evaluation, &y2)
}

// open: an envelope of suite 1 opens without y2, also in a fleet with a key in
// hardware, for who cannot open it cannot have made it.
func (q *Question) open(answer *vaultapi.Evaluation, y2 *[p256.OutputSize]byte) (*Recovered, error) {
	if subtle.ConstantTimeCompare(answer.Attempt[:], q.id[:]) != 1 {
		return nil, dishonest("the answer is to another attempt")
	}
	e, err := q.envelope(answer.Envelope)
	if err != nil {
		return nil, err
	}
	y, err := q.finalize(e, answer)
	if err != nil {
		return nil, err
	}
	defer y.Wipe()
	derived, err := derive(y, y2, e, q.at.Account, answer.Record)
	if err != nil {
		return nil, err
	}
	defer derived.wipe()
	k, ok := e.unseal(derived, q.at.Account, answer.Record)
	if !ok {
		return nil, ErrWrongPassword
	}
	return &Recovered{k, newUnlockKey(derived.unlock), answer.Record}, nil
}

// envelope reads an envelope and refuses the ones that are not this fleet's or
// would cost too much or too little to open.
func (q *Question) envelope(b []byte) (*Envelope, error) {
	e, err := DecodeEnvelope(b)
	if errors.Is(err, ErrUnsupported) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	if len(e.Vaults) != 1 {
		return nil, fmt.Errorf("%w: the key is shared by %d vaults", ErrUnsupported, len(e.Vaults))
	}
	if e.Vaults[0].Fleet != q.at.Fleet {
		return nil, dishonest("the envelope is another fleet's")
	}
	if err := e.Params.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	if e.hardened() && e.FleetKey != q.at.FleetKey {
		return nil, ErrFleetKey
	}
	return e, nil
}

func (q *Question) finalize(e *Envelope, answer *vaultapi.Evaluation) (*oprf.Output, error) {
	z, err := oprf.ParseEvaluated(answer.Evaluated[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	proof, err := oprf.ParseProof(answer.Proof[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	y, err := q.blinding.Finalize(e.Vaults[0].Public, z, proof)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDishonest, err)
	}
	return y, nil
}
