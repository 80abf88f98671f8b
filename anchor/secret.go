package anchor

import "fmt"

// MaxSecret is the length of the longest Secret in bytes.
const MaxSecret = 32

// Secret is a password or PIN of a device: 1 to MaxSecret bytes. It prints as a
// fixed word. All methods but Wipe may be called concurrently.
type Secret struct {
	unprinted
	held func() []byte // a function is what printers by reflection cannot look into
}

// NewSecret copies b, which the caller wipes.
func NewSecret(b []byte) (*Secret, error) {
	if len(b) < 1 || len(b) > MaxSecret {
		return nil, fmt.Errorf("anchor: a device's secret has 1 to %d bytes, not %d", MaxSecret, len(b))
	}
	held := append(make([]byte, 0, len(b)), b...)
	return &Secret{held: func() []byte { return held }}, nil
}

// Use calls f with the bytes. f must neither change them nor keep them, and wipes
// the copies it makes.
func (s *Secret) Use(f func(secret []byte)) { f(s.held()) }

// Wipe overwrites the bytes. It may be called twice, and on nil.
func (s *Secret) Wipe() {
	if s != nil {
		clear(s.held())
	}
}
