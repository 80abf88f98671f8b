// Package p256 is the second oblivious function of the vault protocol: RFC 9497,
// ciphersuite P256-SHA256, base mode (OPRF, 0x00), whose key sits in hardware that
// computes no more than ECDH.
//
// The client hides its input behind a random scalar ([Blind]), a device multiplies
// what it sees by the fleet key, and the client takes the scalar away again
// ([Blinding.Finalize]). There is no proof: a device cannot make one
// (doc/decisions/0038). Where a client must know that the answer was made with the
// fleet's key it asks twice ([Blinding.Challenge]).
//
// # Devices that give only x
//
// A TPM returns whole points. ECDH by PKCS#11 returns the x coordinate alone, and
// a point is got back from two of them: x(h·B), and x(h·(B+G)) with [AddBase].
// [Recover] finds the y that fits both and the fleet's public key, and refuses
// answers that fit neither, so that a device with another key is found out.
//
// # Secrets
//
// [Blinding] and [Challenge] print as a fixed word and are wiped by their Wipe. The time of [Blind],
// [Blinding.Finalize] and [Evaluate] depends on the lengths of what is secret and
// not on its value, as filippo.io/nistec and filippo.io/bigmod promise. Refusals
// are not secret. What those packages leave on the stack is not wiped. Nothing
// here reads a clock, a file or a global source of randomness.
package p256

import "errors"

// Sizes in bytes, RFC 9497 §4.3.
const (
	PointSize  = 33 // Ne: SEC 1 compressed, big-endian
	ScalarSize = 32 // Ns: big-endian
	OutputSize = 32 // Nh
)

// MaxInput is the longest input in bytes: RFC 9497 writes its length in 16 bits.
const MaxInput = 1<<16 - 1

var (
	// ErrPoint is what is not the compressed encoding of a point of P-256, or is its
	// neutral element.
	ErrPoint = errors.New("p256: not a point of P-256")
	// ErrDishonest means that the vault lied, or its device is broken: its answer is
	// the client's own question, or was not made with the fleet's key.
	ErrDishonest = errors.New("the answer of the fleet's device is not honest")
)

var (
	errScalar    = errors.New("p256: scalar is 0 or not below the order")
	errZeroBlind = errors.New("p256: blind is zero")
	errInput     = errors.New("p256: input over 65535 bytes")
	errUnusable  = errors.New("p256: input maps to the neutral element")
	errUnfitting = errors.New("p256: the coordinates do not fit the point and the public key")
)
