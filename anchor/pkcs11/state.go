package pkcs11

import (
	"cmp"
	"encoding/binary"
	"errors"

	"keepsake.example/anchor"
)

// The form of a state, see the package comment.
const (
	stateMagic = "ksp-p11\x01"
	idSize     = 16
	nonceSize  = 12
	tagSize    = 16
	stateHead  = len(stateMagic) + 8 + 8 + anchor.HeadSize + idSize // what is authenticated and not secret
	stateSize  = stateHead + nonceSize + anchor.KeySize + tagSize
)

var errState = errors.New("pkcs11: not a state")

// A stored is one state object, decoded and not yet believed: the token's
// epoch key says whether it is one.
type stored struct {
	term  uint64
	state anchor.State
	key   [idSize]byte // CKA_ID
	nonce [nonceSize]byte
	box   [anchor.KeySize + tagSize]byte
}

// head is what the box is bound to.
func (s *stored) head() []byte {
	b := append(make([]byte, 0, stateSize), stateMagic...)
	b = binary.BigEndian.AppendUint64(b, s.term)
	b = binary.BigEndian.AppendUint64(b, s.state.Counter)
	b = append(b, s.state.Head[:]...)
	return append(b, s.key[:]...)
}

func (s *stored) encode() []byte {
	return append(append(s.head(), s.nonce[:]...), s.box[:]...)
}

func decodeState(b []byte) (*stored, error) {
	if len(b) != stateSize || string(b[:len(stateMagic)]) != stateMagic {
		return nil, errState
	}
	var s stored
	b = b[len(stateMagic):]
	s.term, b = binary.BigEndian.Uint64(b), b[8:]
	s.state.Counter, b = binary.BigEndian.Uint64(b), b[8:]
	b = b[copy(s.state.Head[:], b):]
	b = b[copy(s.key[:], b):]
	b = b[copy(s.nonce[:], b):]
	copy(s.box[:], b)
	return &s, nil
}

// order says which of two states is the newer one: of a later owner, or later of the same one.
func order(a, b *stored) int {
	if c := cmp.Compare(a.term, b.term); c != 0 {
		return c
	}
	return cmp.Compare(a.state.Counter, b.state.Counter)
}
