package oprf

import (
	"io"

	"github.com/gtank/ristretto255"

	"keepsake.example/internal/hidden"
)

// Blinded is the client's question B: a random element that says nothing of the input.
type Blinded struct{ element }

// ParseBlinded reads the 32 bytes of [Blinded.Bytes]. It refuses every other
// encoding, and the identity element.
func ParseBlinded(b []byte) (*Blinded, error) {
	e, err := parseElement(b)
	if err != nil {
		return nil, err
	}
	return &Blinded{e}, nil
}

// Equal reports in constant time whether both are the same question.
func (b *Blinded) Equal(o *Blinded) bool { return b.equal(&o.element) }

// Evaluated is the vault's answer Z = k·B.
type Evaluated struct{ element }

// ParseEvaluated reads the 32 bytes of [Evaluated.Bytes]. It refuses every
// other encoding, and the identity element.
func ParseEvaluated(b []byte) (*Evaluated, error) {
	e, err := parseElement(b)
	if err != nil {
		return nil, err
	}
	return &Evaluated{e}, nil
}

// Evaluate is BlindEvaluate of RFC 9497 §3.3.2. It reads 32 bytes for the
// proof. The same key, question and bytes give the same answer and proof, and
// bytes that repeat beside another question or key do no harm
// (spec/vault-protocol.md §3.5): a replicated state machine may replay them.
func (k *PrivateKey) Evaluate(random io.Reader, b *Blinded) (*Evaluated, *Proof, error) {
	answers, proof, err := k.EvaluateBatch(random, []*Blinded{b})
	if err != nil {
		return nil, nil, err
	}
	return answers[0], proof, nil
}

// EvaluateBatch answers 1 to MaxBatch questions in order, with one proof for all.
func (k *PrivateKey) EvaluateBatch(random io.Reader, questions []*Blinded) ([]*Evaluated, *Proof, error) {
	if len(questions) == 0 || len(questions) > MaxBatch {
		return nil, nil, errBatch
	}
	pair := hidden.Open(k.secret)
	answers, m := pair.evaluate(questions)
	var r ristretto255.Scalar
	if err := proveNonce(&r, random, pair, m); err != nil {
		return nil, nil, err
	}
	proof, err := prove(pair, m, &r)
	if err != nil {
		return nil, nil, err
	}
	return answers, proof, nil
}

// evaluate returns the answers and M of ComputeCompositesFast, RFC 9497 §2.2.1.
func (pair *keyPair) evaluate(questions []*Blinded) ([]*Evaluated, *ristretto255.Element) {
	answers := make([]*Evaluated, len(questions))
	c, d := make([]*element, len(questions)), make([]*element, len(questions))
	for i, q := range questions {
		z := ristretto255.NewIdentityElement().ScalarMult(&pair.k, q.point)
		answers[i] = &Evaluated{newElement(z)}
		c[i], d[i] = &q.element, &answers[i].element
	}
	return answers, weighted(composite(&pair.public, c, d), c)
}
