package oprf

import (
	"github.com/gtank/ristretto255"

	"keepsake.example/internal/hidden"
)

// Errors that tests tell apart; callers have no use for it.
var (
	ErrLength     = errLength
	ErrElement    = errElement
	ErrIdentity   = errIdentity
	ErrScalar     = errScalar
	ErrWeakKey    = errWeakKey
	ErrZeroBlind  = errZeroBlind
	ErrZeroNonce  = errZeroNonce
	ErrInput      = errInput
	ErrInfo       = errInfo
	ErrBatch      = errBatch
	ErrBatchSizes = errBatchSizes
	ErrThreshold  = errThreshold
	ErrParts      = errParts
	ErrShare      = errShare
)

// TestingOnlyEvaluate is EvaluateBatch with the proof's nonce given, as the
// RFC's vectors have it.
func (k *PrivateKey) TestingOnlyEvaluate(nonce []byte, questions []*Blinded) ([]*Evaluated, *Proof, error) {
	var r ristretto255.Scalar
	if err := parseScalar(&r, nonce); err != nil {
		return nil, nil, err
	}
	answers, m := hidden.Open(k.secret).evaluate(questions)
	proof, err := prove(hidden.Open(k.secret), m, &r)
	return answers, proof, err
}

// Held gives the bytes of the input, so that a test can see them wiped.
func (b *Blinding) Held() []byte { return hidden.Open(b.secret).input }

// Held gives the place of the output, so that a test can see it wiped.
func (o *Output) Held() []byte { return hidden.Open(o.secret)[:] }

// Held gives the place of the scalar, so that a test can see it wiped.
func (k *PrivateKey) Held() *ristretto255.Scalar { return &hidden.Open(k.secret).k }
