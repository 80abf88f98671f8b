package sealed

// TestingOnlyPending is the Pending of a vector.
func TestingOnlyPending(enc, exported []byte) *Pending {
	s, x := newSecret[exchange]()
	copy(x.enc[:], enc)
	copy(x.exported[:], exported)
	return &Pending{s}
}

// Exported gives the place of the exported secret, so that a test can compare it and see it wiped.
func (p *Pending) Exported() []byte { return p.open().exported[:] }

// Exported gives the place of the exported secret.
func (a *Answerer) Exported() []byte { return a.open().exported[:] }

// Held gives the place of the seed, so that a test can see it wiped.
func (k *PrivateKey) Held() []byte { return k.open().seed[:] }

// Encoding errors that tests tell apart; callers have no use for it.
var (
	ErrPublicKey  = errPublicKey
	ErrPrivateKey = errPrivateKey
)
