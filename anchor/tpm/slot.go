package tpm

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"

	"keepsake.example/anchor"
	"keepsake.example/internal/wire"
)

// The file "state": two slots, at bytes 0 and slotPitch. A step overwrites the older.
const (
	slotMagic = "ksp-tpm\x01"
	slotPitch = 4096
	stateSize = 2 * slotPitch
	maxSlot   = 8 + 1 + 8 + 32 + 32 + 8 + 8 + 2 + maxPublic + 2 + maxPrivate + sha256.Size
)

// Which counter a step moves.
type step uint8

const (
	advances step = 1
	rotates  step = 2
	// The state stays, the counter of steps moves: see [Device.burn].
	burns step = 3
)

// slot is a state of the machine, and at what the chip stands when it is the present one.
type slot struct {
	step    step
	state   anchor.State
	before  [sha256.Size]byte // the chain's value before this step
	steps   uint64            // the chip's counters after it
	rotated uint64
	key     object // the epoch key, sealed to rotated
}

func (s *slot) layout(w *wire.Codec) {
	w.Constant(slotMagic)
	w.U8((*uint8)(&s.step))
	w.Must(advances <= s.step && s.step <= burns)
	w.U64(&s.state.Counter)
	w.Bytes(s.state.Head[:])
	w.Bytes(s.before[:])
	w.U64(&s.steps)
	w.U64(&s.rotated)
	s.key.layout(w)
}

// encode is the slot and an HMAC-SHA256 over it, which tells a torn write; and with a
// key also a slot that this machine did not write: see [Device.unsealSum].
func (s *slot) encode(key []byte) []byte {
	w := wire.Append(make([]byte, 0, maxSlot))
	s.layout(w)
	return append(w.Written(), slotSum(key, w.Written())...)
}

func slotSum(key, slot []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(slot)
	return h.Sum(nil)
}

// decodeSlot reads the slot that b begins with.
func decodeSlot(key, b []byte) (slot, error) {
	var s slot
	if len(b) > maxSlot {
		b = b[:maxSlot]
	}
	w := wire.Read(b)
	s.layout(w)
	rest := w.Rest()
	if !w.Done() || len(rest) < sha256.Size || !hmac.Equal(slotSum(key, b[:len(b)-len(rest)]), rest[:sha256.Size]) {
		return slot{}, errors.New("no slot")
	}
	s.key = s.key.clone()
	return s, nil
}

// link is what the chain is extended with for this step: all of the slot is in it, so
// that whoever writes other bytes into the file has no slot that belongs to the chip.
func (s *slot) link() [sha256.Size]byte {
	w := wire.Append(make([]byte, 0, maxSlot))
	s.layout(w)
	return sha256.Sum256(append([]byte("keepsake tpm step\x01"), w.Written()...))
}

// after is the chain's value after this step.
func (s *slot) after() [sha256.Size]byte { return extended(s.before, s.link()) }

// standing is where a chip stands: what it says of its three indices.
type standing struct {
	steps, rotated uint64
	chain          [sha256.Size]byte
}

// counts is the standing without the chain.
func (s standing) counts() standing {
	s.chain = [sha256.Size]byte{}
	return s
}

func (s standing) total() uint64 { return s.steps + s.rotated }

func (s *slot) standing() standing { return standing{s.steps, s.rotated, s.after()} }

// halfway is the standing between the two commands of this step.
func (s *slot) halfway() standing {
	at := s.standing()
	if s.step == rotates {
		at.rotated--
	} else {
		at.steps--
	}
	return at
}
