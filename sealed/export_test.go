package sealed

import "keepsake.example/internal/hidden"

// TestingOnlyPending is the Pending of a vector.
func TestingOnlyPending(enc, exported []byte) *Pending {
	s, x := hidden.New[exchange, owner]()
	copy(x.enc[:], enc)
	copy(x.exported[:], exported)
	return &Pending{s}
}

// Exported gives the place of the exported secret, so that a test can compare it and see it wiped.
func (p *Pending) Exported() []byte { return hidden.Open(p.secret).exported[:] }

// Exported gives the place of the exported secret.
func (a *Answerer) Exported() []byte { return hidden.Open(a.secret).exported[:] }

// Held gives the place of the seed, so that a test can see it wiped.
func (k *PrivateKey) Held() []byte { return hidden.Open(k.secret).seed[:] }

// Encoding errors that tests tell apart; callers have no use for it.
var (
	ErrPublicKey  = errPublicKey
	ErrPrivateKey = errPrivateKey
)
