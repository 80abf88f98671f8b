package p256

import (
	"crypto/subtle"
	"fmt"
	"io"

	"filippo.io/nistec"

	"keepsake.example/internal/hidden"
)

// Challenge is a second question C = s·G + t·B beside a client's question B, with
// scalars s and t that it alone knows. A device with the key h of H = h·G answers
// s·H + t·Z, where Z is its answer to B, and needs no proof for that.
//
// Whoever answers B with another point than h·B has to find s·H + t·Z in another
// way. B and C say nothing of t: for every t there is an s that gives this C. With
// D = Z - h·B the right answer is h·C + t·D, another point for each t, as D is not
// neutral: a guess is right once in 2^256. Asking twice for the same input would not
// do: both answers can be made with another key.
type Challenge struct {
	secret[challenge]
}

type challenge struct {
	s, t   [ScalarSize]byte
	public [PointSize]byte
	point  [PointSize]byte
}

// Challenge makes the second question for the key of a public key. It reads 96
// bytes. The random bytes of the question do not serve for it as well: whoever
// could compute t from them would pass.
func (b *Blinding) Challenge(random io.Reader, public [PointSize]byte) (*Challenge, error) {
	if err := Check(public); err != nil {
		return nil, err
	}
	question, err := decode(hidden.Open(b.secret).blinded)
	if err != nil {
		return nil, err
	}
	made, c := hidden.New[challenge, owner]()
	c.public = public
	for _, scalar := range []*[ScalarSize]byte{&c.s, &c.t} {
		if err := randomScalar(scalar, random); err != nil {
			return nil, err
		}
	}
	sum := combine(&c.s, nistec.NewP256Point().SetGenerator(), &c.t, question)
	if isIdentity(sum) { // once in 2^256
		return nil, errUnusable
	}
	c.point = encode(sum)
	return &Challenge{made}, nil
}

// combine returns s·p + t·q.
func combine(s *[ScalarSize]byte, p *nistec.P256Point, t *[ScalarSize]byte, q *nistec.P256Point) *nistec.P256Point {
	sum := multiply(p, s)
	return sum.Add(sum, multiply(q, t))
}

// Blinded returns the question to send. It is as random as the first, so that a
// vault cannot tell which of the two it is.
func (c *Challenge) Blinded() [PointSize]byte { return hidden.Open(c.secret).point }

// Holds returns nil if both answers were made with the key of the public key, and
// otherwise [ErrDishonest], or [ErrPoint] for what is no point. evaluated is the
// answer to the Blinding's question, second the one to the Challenge.
func (c *Challenge) Holds(evaluated, second [PointSize]byte) error {
	held := hidden.Open(c.secret)
	z, err := decode(evaluated)
	if err != nil {
		return err
	}
	got, err := decode(second)
	if err != nil {
		return err
	}
	h, err := decode(held.public)
	if err != nil {
		return err
	}
	want := combine(&held.s, h, &held.t, z).Bytes()
	if subtle.ConstantTimeCompare(want, got.Bytes()) != 1 {
		return fmt.Errorf("p256: the second answer does not fit the first and the fleet's key: %w", ErrDishonest)
	}
	return nil
}
