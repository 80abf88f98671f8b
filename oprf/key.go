package oprf

import (
	"crypto/sha512"
	"crypto/subtle"
	"io"

	"github.com/gtank/ristretto255"

	"keepsake.example/internal/hidden"
)

// PrivateKey is the vault's key k for one record, a scalar other than 0 and 1.
type PrivateKey struct {
	secret[keyPair]
}

type keyPair struct {
	k      ristretto255.Scalar
	public PublicKey
}

// PublicKey is k·G. The proofs of a vault are checked against it.
type PublicKey struct{ element }

// GenerateKey is GenerateKeyPair of RFC 9497 §3.2. It reads 64 bytes, and fails
// when the reader does or gives zeros.
func GenerateKey(random io.Reader) (*PrivateKey, error) {
	return makeKey(func(k *ristretto255.Scalar) error { return randomScalar(k, random) })
}

// DeriveKey is DeriveKeyPair of RFC 9497 §3.2.1: the same key for the same seed
// and info. The seed must be uniformly random; info is public, at most MaxInfo bytes.
func DeriveKey(seed *[ScalarSize]byte, info []byte) (*PrivateKey, error) {
	if len(info) > MaxInfo {
		return nil, errInfo
	}
	return makeKey(func(k *ristretto255.Scalar) error {
		for counter := range 256 {
			hashToScalar(k, dstDeriveKey, seed[:], length(len(info)), info, []byte{byte(counter)})
			if !isZero(k) {
				return nil
			}
		}
		return errNoKey
	})
}

// ParsePrivateKey reads the 32 bytes that [PrivateKey.Use] gave. It refuses
// every other encoding of a scalar, and 0 and 1.
func ParsePrivateKey(b []byte) (*PrivateKey, error) {
	return makeKey(func(k *ristretto255.Scalar) error { return parseScalar(k, b) })
}

// CheckPrivateKey says whether [ParsePrivateKey] would read b, without the cost of k·G.
func CheckPrivateKey(b []byte) error {
	s, err := scalarOf(func(k *ristretto255.Scalar) error { return parseScalar(k, b) })
	s.Wipe()
	return err
}

func makeKey(set func(k *ristretto255.Scalar) error) (*PrivateKey, error) {
	s, err := scalarOf(set)
	if err != nil {
		s.Wipe()
		return nil, err
	}
	pair := hidden.Open(s)
	pair.public = PublicKey{newElement(ristretto255.NewIdentityElement().ScalarBaseMult(&pair.k))}
	return &PrivateKey{s}, nil
}

// scalarOf lets set write the scalar where it stays, so that there is one copy, which
// the caller wipes also when there is an error.
func scalarOf(set func(k *ristretto255.Scalar) error) (secret[keyPair], error) {
	s, pair := hidden.New[keyPair, owner]()
	if err := set(&pair.k); err != nil {
		return s, err
	}
	// Under k = 1 every answer is the question, which clients refuse, and
	// under 0 every answer is the identity.
	if isZero(&pair.k) || pair.k.Equal(small(1)) == 1 {
		return s, errWeakKey
	}
	return s, nil
}

// Use calls f with the encoding of the key (little-endian), and wipes it when f
// returns. It is the only way at it: f must not keep the pointer.
func (k *PrivateKey) Use(f func(encoded *[ScalarSize]byte)) {
	b := hidden.Open(k.secret).k.Bytes()
	defer clear(b)
	f((*[ScalarSize]byte)(b))
}

// Public returns k·G.
func (k *PrivateKey) Public() *PublicKey {
	p := hidden.Open(k.secret).public
	return &p
}

// Equal reports in constant time whether both hold the same key. A nil, zero or
// wiped key equals nothing, itself included.
func (k *PrivateKey) Equal(o *PrivateKey) bool {
	if k == nil || o == nil || !hidden.Holds(k.secret) || !hidden.Holds(o.secret) {
		return false
	}
	return hidden.Open(k.secret).k.Equal(&hidden.Open(o.secret).k) == 1
}

// Output is Evaluate of RFC 9497 §3.3.1: what Finalize gives for this input
// under this key, for whoever holds both. The client uses it to register, since
// it chooses the key itself. The input is at most MaxInput bytes.
func (k *PrivateKey) Output(input []byte) (*Output, error) {
	p, err := hashToGroup(input)
	if err != nil {
		return nil, err
	}
	return newOutput(input, p.ScalarMult(&hidden.Open(k.secret).k, p)), nil
}

// ParsePublicKey reads the 32 bytes of [PublicKey.Bytes]. It refuses every
// other encoding, the identity element, and the generator: that is k = 1.
func ParsePublicKey(b []byte) (*PublicKey, error) {
	e, err := parseElement(b)
	if err != nil {
		return nil, err
	}
	if e.point.Equal(ristretto255.NewGeneratorElement()) == 1 {
		return nil, errWeakKey
	}
	return &PublicKey{e}, nil
}

// Equal reports whether both are the same key.
func (p *PublicKey) Equal(o *PublicKey) bool { return p.equal(&o.element) }

// Output is what the client is after: 64 bytes that look random to whoever lacks
// the input or the key.
type Output struct {
	secret[[OutputSize]byte]
}

// newOutput is the last step of Finalize, RFC 9497 §3.3.1, for an element
// without blind; it wipes the element's encoding.
func newOutput(input []byte, unblinded *ristretto255.Element) *Output {
	s, out := hidden.New[[OutputSize]byte, owner]()
	enc := unblinded.Bytes()
	defer clear(enc)
	unblinded.Set(ristretto255.NewIdentityElement())
	h := sha512.New()
	for _, part := range [][]byte{length(len(input)), input, length(len(enc)), enc, []byte("Finalize")} {
		h.Write(part)
	}
	h.Sum(out[:0])
	return &Output{s}
}

// Use calls f with the output. It is the only way at it: f must neither change
// it nor keep the pointer.
func (o *Output) Use(f func(output *[OutputSize]byte)) { f(hidden.Open(o.secret)) }

// Equal reports in constant time whether both are the same output. A nil, zero
// or wiped output equals nothing, itself included.
func (o *Output) Equal(x *Output) bool {
	if o == nil || x == nil || !hidden.Holds(o.secret) || !hidden.Holds(x.secret) {
		return false
	}
	return subtle.ConstantTimeCompare(hidden.Open(o.secret)[:], hidden.Open(x.secret)[:]) == 1
}
