package oprf

import (
	"errors"
	"fmt"
	"io"

	"github.com/gtank/ristretto255"

	"keepsake.example/internal/hidden"
)

// MaxShares is the largest N of T of N vaults.
const MaxShares = 32

var (
	errThreshold = errors.New("oprf: a threshold is from 1 to the number of shares, which is at most 32")
	errParts     = errors.New("oprf: as many answers as the threshold says are needed, each from another vault")
	errShare     = errors.New("oprf: no shares from this randomness")
)

// Share is one vault's part of a key that was split: a key like any other, to
// be evaluated with Evaluate, and the index of the vault from 1.
type Share struct {
	Index int
	Key   *PrivateKey
}

// Part is one vault's answer. Index and Public must come from where the client
// authenticated them, not from the vault.
type Part struct {
	Index  int
	Public *PublicKey
	Answer *Evaluated
	Proof  *Proof
}

// Split shares a key among n vaults so that any t of them can evaluate it, and
// t-1 know nothing of it (Shamir; spec/vault-protocol.md §3.6). It reads 64 bytes
// for each unit of t-1. The caller wipes the shares.
func (k *PrivateKey) Split(random io.Reader, t, n int) ([]Share, error) {
	if t < 1 || t > n || n > MaxShares {
		return nil, errThreshold
	}
	coefficients := make([]ristretto255.Scalar, t) // from the constant one up
	defer clear(coefficients)
	coefficients[0] = hidden.Open(k.secret).k
	for i := 1; i < t; i++ {
		if err := randomScalar(&coefficients[i], random); err != nil {
			return nil, err
		}
	}
	shares := make([]Share, n)
	for i := range shares {
		key, err := makeKey(func(s *ristretto255.Scalar) error {
			evaluatePolynomial(s, coefficients, i+1)
			return nil
		})
		if err != nil { // a share is 0 or 1: a chance of n in 2^251
			wipeShares(shares[:i])
			return nil, errShare
		}
		shares[i] = Share{i + 1, key}
	}
	return shares, nil
}

func wipeShares(shares []Share) {
	for _, s := range shares {
		s.Key.Wipe()
	}
}

// evaluatePolynomial writes the value at x, by Horner's rule.
func evaluatePolynomial(value *ristretto255.Scalar, coefficients []ristretto255.Scalar, x int) {
	at := small(x)
	value.Zero()
	for i := len(coefficients) - 1; i >= 0; i-- {
		value.Multiply(value, at)
		value.Add(value, &coefficients[i])
	}
}

// FinalizeThreshold is Finalize for a key that was split with threshold t. It
// takes exactly t parts, all answers to this question, in any order: with fewer
// there would be another output without an error. It checks every proof. The
// error is [ErrDishonest], and says the index of a vault that lied, or
// another when there are not t vaults.
func (b *Blinding) FinalizeThreshold(t int, parts []Part) (*Output, error) {
	state := hidden.Open(b.secret)
	if err := checkParts(t, parts); err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := check([]*Blinding{b}, p.Public, []*Evaluated{p.Answer}, p.Proof); err != nil {
			return nil, fmt.Errorf("oprf: checking vault %d: %w", p.Index, err)
		}
	}
	e, err := combine(parts)
	if err != nil {
		return nil, err
	}
	// Each share is honest and the sum is the key 0 or 1: the shares were made so.
	if e.equal(&state.blinded.element) {
		return nil, fmt.Errorf("oprf: the answer is the question: %w", ErrDishonest)
	}
	return state.unblind(&Evaluated{e}), nil
}

func checkParts(t int, parts []Part) error {
	if t < 1 || t > MaxShares {
		return errThreshold
	}
	if len(parts) != t {
		return errParts
	}
	seen := [MaxShares + 1]bool{}
	for _, p := range parts {
		if p.Index < 1 || p.Index > MaxShares || seen[p.Index] {
			return errParts
		}
		seen[p.Index] = true
	}
	return nil
}

// combine interpolates at 0 in the exponent: the sum of λ_i·Z_i, all public.
func combine(parts []Part) (element, error) {
	weights, answers := make([]*ristretto255.Scalar, len(parts)), make([]*element, len(parts))
	for i, p := range parts {
		weights[i], answers[i] = lagrange(parts, i), &p.Answer.element
	}
	e := weighted(weights, answers)
	if isIdentity(e) {
		return element{}, fmt.Errorf("oprf: the answer is the identity element: %w", ErrDishonest)
	}
	return newElement(e), nil
}

// lagrange returns λ_i, the product over all j other than i of x_j/(x_j - x_i).
func lagrange(parts []Part, i int) *ristretto255.Scalar {
	top, bottom := small(1), small(1)
	xi := small(parts[i].Index)
	for j, p := range parts {
		if j != i {
			xj := small(p.Index)
			top.Multiply(top, xj)
			bottom.Multiply(bottom, xj.Subtract(xj, xi))
		}
	}
	return top.Multiply(top, bottom.Invert(bottom))
}
