// Package oprf is the function that turns a password into a key with the
// vault's help and without the vault learning it: RFC 9497 in verifiable mode
// (VOPRF), ciphersuite ristretto255-SHA512.
//
// The client hides the password behind a random scalar ([Blind]), the vault
// multiplies what it sees by its key and proves that it did ([PrivateKey.Evaluate]),
// and the client checks the proof and takes the scalar away again
// ([Blinding.Finalize]). Whoever holds the key and the password has the same
// output without any message: [PrivateKey.Output]. [Example] runs all of it.
//
// # What is refused
//
// Elements and scalars have one encoding, and every other is refused, as are
// the identity element, the scalars 0 and 1 as keys and 0 as a blind. The
// client refuses a proof that does not hold and an answer that is its own
// question. spec/vault-protocol.md §4 lists all refusals with their reasons,
// and says where this package is stricter than the RFC.
//
// # Secrets
//
// [PrivateKey], [Blinding] and [Output] print as a fixed word and are wiped by
// their Wipe methods. Operations on secrets take constant time, as
// github.com/gtank/ristretto255 promises; checking a proof, which is public,
// does not. Nothing here reads a clock, a file or a global source of
// randomness: the caller hands in a reader. It needs no lock: after being made
// a value is not changed but by Wipe.
package oprf

import "errors"

// Sizes of the encodings in bytes, RFC 9497 §4.1.
const (
	ElementSize = 32 // Ne: PublicKey, Blinded, Evaluated
	ScalarSize  = 32 // Ns: PrivateKey
	ProofSize   = 2 * ScalarSize
	OutputSize  = 64 // Nh
)

const (
	// MaxInput is the longest input in bytes: RFC 9497 writes its length in 16 bits.
	MaxInput = 1<<16 - 1
	// MaxInfo is the longest info of DeriveKey in bytes, for the same reason.
	MaxInfo = 1<<16 - 1
	// MaxBatch is how many elements one proof may cover. It bounds the work
	// that one message can ask for: 64 evaluations.
	MaxBatch = 64
)

// ErrDishonest means that the vault lied: its proof does not hold, or its answer
// is the client's own question. Whoever sees it must stop and not try again.
var ErrDishonest = errors.New("the vault's answer is not honest")

var (
	errLength     = errors.New("oprf: wrong length")
	errElement    = errors.New("oprf: not the canonical encoding of an element")
	errIdentity   = errors.New("oprf: identity element")
	errScalar     = errors.New("oprf: not the canonical encoding of a scalar")
	errWeakKey    = errors.New("oprf: key is 0 or 1")
	errZeroBlind  = errors.New("oprf: blind is zero")
	errZeroNonce  = errors.New("oprf: proof nonce is zero")
	errInput      = errors.New("oprf: input over 65535 bytes")
	errInfo       = errors.New("oprf: info over 65535 bytes")
	errUnusable   = errors.New("oprf: input maps to the identity element")
	errNoKey      = errors.New("oprf: no key from this seed")
	errBatch      = errors.New("oprf: batch of no or too many elements")
	errBatchSizes = errors.New("oprf: as many answers as questions are needed")
)
