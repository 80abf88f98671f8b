// Package sealed is the channel between client and vault: every request and
// every answer is one opaque block of fixed size, so that chatd, which carries
// them, learns neither what is asked nor how it ends.
//
// A request is sealed to a channel key of the vault's fleet with HPKE (RFC 9180,
// base mode, KEM MLKEM768-X25519, HKDF-SHA256, AES-256-GCM), an answer with a
// key that both sides export from the same HPKE context (the construction of
// RFC 9458 §4.4). spec/vault-protocol.md §2 is the exact format. In bytes:
//
//	request  1 version | 16 key id | 1120 encapsulated key | 7055 ciphertext   8192
//	answer   32 nonce | 4064 ciphertext                                        4096
//
// [PublicKey.Seal] makes a request and the [Pending] that opens its answer;
// [PrivateKey.Open] opens the request and gives the [Answerer] that seals it.
// [Example] runs both.
//
// # What it promises, and what not
//
// Only the holder of the channel key reads a request, and only the holder of
// the channel key can answer it: an answer opens for the one request that it
// was made for. Traffic recorded today stays closed if X25519 or ML-KEM holds.
// It does not say who the client is, does not stop a request from being
// delivered twice, and whoever steals a channel key reads what was sealed to it
// before: hence the rotation.
//
// Values are safe for concurrent use, but for Wipe. Randomness is crypto/rand's.
package sealed

import "errors"

// Version is the version of the channel, the first byte of every request.
const Version = 1

// Sizes in bytes, spec/vault-protocol.md §2.2.
const (
	RequestSize    = 8192 // every request
	AnswerSize     = 4096 // every answer
	FleetIDSize    = 32
	KeyIDSize      = 16
	PublicKeySize  = 1216
	PrivateKeySize = 32

	// MaxRequest and MaxAnswer are the longest messages inside.
	MaxRequest = RequestSize - headerSize - encSize - tagSize - lengthSize // 7037
	MaxAnswer  = AnswerSize - nonceSize - tagSize - lengthSize             // 4046

	headerSize = 1 + KeyIDSize
	encSize    = 1120
	nonceSize  = 32
	tagSize    = 16
	lengthSize = 2
)

// The closed list of refusals. None says more than its text: what is wrong with
// a sealed block is nobody's business who cannot open it.
var (
	// ErrFormat is a request of another size or version. Nothing was decrypted.
	ErrFormat = errors.New("sealed: not a request or answer of this version")
	// ErrKey is a request to another channel key, perhaps an expired one: the
	// client needs the fleet's current keys.
	ErrKey = errors.New("sealed: sealed to another channel key")
	// ErrOpen is a block that does not open: changed on the way, made for
	// another key, fleet or request, or padded in another way than the one.
	ErrOpen = errors.New("sealed: does not open")
	// ErrTooLong is a message over MaxRequest or MaxAnswer bytes.
	ErrTooLong = errors.New("sealed: message too long")
)

var (
	errPublicKey  = errors.New("sealed: not a channel key")
	errPrivateKey = errors.New("sealed: not 32 bytes of a channel key")
)
