package p256

import "keepsake.example/internal/hidden"

// Errors that tests tell apart; callers have no use for them.
var (
	ErrScalar    = errScalar
	ErrZeroBlind = errZeroBlind
	ErrInput     = errInput
	ErrUnfitting = errUnfitting
)

// The steps of hashing to the curve, for the vectors of RFC 9380.
var Expand = expand

func HashToField(dst string, input []byte) (u0, u1 []byte) {
	a, b := hashToField(dst, input)
	return a.Bytes(fieldModulus), b.Bytes(fieldModulus)
}

func MapToCurve(u []byte) []byte { return mapToCurve(number(u, fieldModulus)).Bytes() }

func HashToCurve(dst string, input []byte) []byte { return hashToCurve(dst, input).Bytes() }

// Held gives the bytes of the input and the place of the blind, so that a test can
// see them wiped.
func (b *Blinding) Held() ([]byte, *[ScalarSize]byte) {
	return hidden.Open(b.secret).input, &hidden.Open(b.secret).blind
}
