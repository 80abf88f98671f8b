package vaultapi

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"keepsake.example/internal/hidden"
)

// Body is what one type of request says. The implementations are those of this
// package, one for each [Type].
type Body interface {
	// Type returns the type of request that the body belongs to.
	Type() Type
	append(b []byte) []byte
	read(r *reader)
	check() error // a value out of its range
}

// ProposeBody stores a pending record beside the live one, which [ConfirmBody]
// makes live.
type ProposeBody struct {
	Record   ID
	Limit    uint8    // attempts, 1 to MaxAttempts and at most the fleet's
	Key      Secret   // k, the private key of the oblivious function
	Unlock   [32]byte // Ed25519 public key that follows from the password
	Device   [32]byte // Ed25519 public key of the device; not zeros
	Envelope []byte   // C, 1 to MaxEnvelope bytes
}

// ConfirmBody makes a proposed record live.
type ConfirmBody struct {
	Record ID
	Authority
}

// AttemptBody spends one attempt and asks for one evaluation.
type AttemptBody struct {
	Attempt ID
	Blinded [32]byte // B, an element; whether it is one is for package oprf to say
}

// ProveBody shows that the password of an attempt was right.
type ProveBody struct {
	Attempt   ID
	Signature [64]byte // by the unlock key over [ProveMessage]
	Device    [32]byte // device key to enrol; zeros enrol none
}

// DeleteBody destroys the live record.
type DeleteBody struct {
	Record ID
	Authority
}

// StatusBody asks for the state of the account. It costs nothing.
type StatusBody struct{}

// CancelBody drops a pending change. ByNobody is refused here.
type CancelBody struct {
	Record ID // of the pending change
	Authority
}

// HardenBody asks for one evaluation under the fleet's key alone (suite 2), for a
// registration or a new password. It spends no attempt: it is about no record.
type HardenBody struct {
	Blinded2 [PointSize]byte // B2; whether it is a point is for package p256 to say
}

// HardenedAttemptBody spends one attempt and asks for one evaluation under the
// record's key and one under the fleet's.
type HardenedAttemptBody struct {
	Attempt  ID
	Blinded  [32]byte        // B, as in an AttemptBody
	Blinded2 [PointSize]byte // B2; whether it is a point is for package p256 to say
}

// Question returns c, a hash of B and B2: what the vault remembers of the attempt,
// and what [ProveMessage] takes, in the place of an Attempt's B. The same attempt id
// with another B or B2 is another question.
//
// Its highest bit is set, so that it is never the encoding of an element (RFC 9496,
// §4.3.1). One hash in sixteen would be one, and an Attempt with that for its B would
// pass for the repetition of this, and have a second element evaluated for nothing.
func (a *HardenedAttemptBody) Question() [32]byte {
	c := sha256.Sum256(slices.Concat([]byte("keepsake hardened attempt"), []byte{Version}, a.Blinded[:], a.Blinded2[:]))
	c[31] |= 0x80
	return c
}

// Authority is who allows a change: a signature by a key of the live record.
type Authority struct {
	Kind      Kind
	Signature [64]byte // zeros when Kind is ByNobody
}

// EncodeBody returns the body's bytes, at most 1651, for the caller to clear: those
// of a Propose hold k. It panics on one with a value out of its range, which no
// decoder returns and [Request.Encode] refuses.
func EncodeBody(body Body) []byte {
	if err := body.check(); err != nil {
		panic("vaultapi: internal error: encoding a body: " + err.Error())
	}
	return body.append(make([]byte, 0, sizeOf(body)))
}

// smallBody is the size of a Prove, the longest body but a Propose.
const smallBody = 16 + 64 + 32

// sizeOf is what a body takes at most. A buffer of that size does not grow: one that
// grows leaves copies of k behind that nobody can clear.
func sizeOf(body Body) int {
	if p, ok := body.(*ProposeBody); ok {
		return 16 + 1 + 3*32 + 2 + len(p.Envelope)
	}
	return smallBody
}

// DecodeBody reads the bytes of [EncodeBody]: ErrUnsupported for an unknown type,
// ErrFormat for whatever else is wrong.
func DecodeBody(t Type, b []byte) (Body, error) {
	if !t.known() {
		return nil, ErrUnsupported
	}
	return readBody(t, &reader{rest: b})
}

// readBody reads a body of a known type, which must be all that is left.
func readBody(t Type, r *reader) (Body, error) {
	body := newBody(t)
	body.read(r)
	if !r.done() {
		return nil, ErrFormat
	}
	if err := body.check(); err != nil {
		return nil, err
	}
	return body, nil
}

func newBody(t Type) Body {
	switch t {
	case Propose:
		return new(ProposeBody)
	case Confirm:
		return new(ConfirmBody)
	case Attempt:
		return new(AttemptBody)
	case Prove:
		return new(ProveBody)
	case Delete:
		return new(DeleteBody)
	case Status:
		return new(StatusBody)
	case Cancel:
		return new(CancelBody)
	case Harden:
		return new(HardenBody)
	case HardenedAttempt:
		return new(HardenedAttemptBody)
	}
	panic("vaultapi: internal error: body of an unknown type")
}

// Digest returns the SHA-256 of the body's bytes, which a Confirm's signature is
// over: it confirms this proposal and no other under the same id.
func (p *ProposeBody) Digest() [32]byte {
	b := EncodeBody(p)
	defer clear(b) // k is in it
	return sha256.Sum256(b)
}

// Type returns Propose.
func (*ProposeBody) Type() Type { return Propose }

// Type returns Confirm.
func (*ConfirmBody) Type() Type { return Confirm }

// Type returns Attempt.
func (*AttemptBody) Type() Type { return Attempt }

// Type returns Prove.
func (*ProveBody) Type() Type { return Prove }

// Type returns Delete.
func (*DeleteBody) Type() Type { return Delete }

// Type returns Status.
func (*StatusBody) Type() Type { return Status }

// Type returns Cancel.
func (*CancelBody) Type() Type { return Cancel }

// Type returns Harden.
func (*HardenBody) Type() Type { return Harden }

// Type returns HardenedAttempt.
func (*HardenedAttemptBody) Type() Type { return HardenedAttempt }

func (p *ProposeBody) append(b []byte) []byte {
	b = append(append(b, p.Record[:]...), p.Limit)
	p.Key.Use(func(k *[32]byte) { b = append(b, k[:]...) })
	b = append(append(b, p.Unlock[:]...), p.Device[:]...)
	return appendCounted(b, p.Envelope)
}

func (p *ProposeBody) read(r *reader) {
	r.fill(p.Record[:])
	p.Limit = r.u8()
	var k [32]byte
	defer clear(k[:])
	r.fill(k[:])
	p.Key = NewSecret(&k)
	r.fill(p.Unlock[:])
	r.fill(p.Device[:])
	p.Envelope = r.counted(MaxEnvelope)
}

func (p *ProposeBody) check() error {
	switch {
	case p.Limit < 1 || p.Limit > MaxAttempts:
		return fmt.Errorf("%w: limit of %d attempts", ErrFormat, p.Limit)
	case !hidden.Holds(p.Key.secret):
		return fmt.Errorf("%w: no key, or a wiped one", ErrFormat)
	case p.Device == [32]byte{}:
		return fmt.Errorf("%w: no device key", ErrFormat)
	case len(p.Envelope) < 1 || len(p.Envelope) > MaxEnvelope:
		return fmt.Errorf("%w: envelope of %d bytes", ErrFormat, len(p.Envelope))
	}
	return nil
}

func (c *ConfirmBody) append(b []byte) []byte { return c.Authority.append(append(b, c.Record[:]...)) }

func (c *ConfirmBody) read(r *reader) {
	r.fill(c.Record[:])
	c.Authority.read(r)
}

func (a *AttemptBody) append(b []byte) []byte {
	return append(append(b, a.Attempt[:]...), a.Blinded[:]...)
}

func (a *AttemptBody) read(r *reader) {
	r.fill(a.Attempt[:])
	r.fill(a.Blinded[:])
}

func (*AttemptBody) check() error { return nil }

func (p *ProveBody) append(b []byte) []byte {
	return append(append(append(b, p.Attempt[:]...), p.Signature[:]...), p.Device[:]...)
}

func (p *ProveBody) read(r *reader) {
	r.fill(p.Attempt[:])
	r.fill(p.Signature[:])
	r.fill(p.Device[:])
}

func (*ProveBody) check() error { return nil }

func (d *DeleteBody) append(b []byte) []byte { return d.Authority.append(append(b, d.Record[:]...)) }

func (d *DeleteBody) read(r *reader) {
	r.fill(d.Record[:])
	d.Authority.read(r)
}

func (*StatusBody) append(b []byte) []byte { return b }
func (*StatusBody) read(*reader)           {}
func (*StatusBody) check() error           { return nil }

func (c *CancelBody) append(b []byte) []byte { return c.Authority.append(append(b, c.Record[:]...)) }

func (c *CancelBody) read(r *reader) {
	r.fill(c.Record[:])
	c.Authority.read(r)
}

func (c *CancelBody) check() error {
	if c.Kind == ByNobody {
		return fmt.Errorf("%w: a cancellation by nobody", ErrFormat)
	}
	return c.Authority.check()
}

func (h *HardenBody) append(b []byte) []byte { return append(b, h.Blinded2[:]...) }
func (h *HardenBody) read(r *reader)         { r.fill(h.Blinded2[:]) }
func (*HardenBody) check() error             { return nil }

func (a *HardenedAttemptBody) append(b []byte) []byte {
	return append(append(append(b, a.Attempt[:]...), a.Blinded[:]...), a.Blinded2[:]...)
}

func (a *HardenedAttemptBody) read(r *reader) {
	r.fill(a.Attempt[:])
	r.fill(a.Blinded[:])
	r.fill(a.Blinded2[:])
}

func (*HardenedAttemptBody) check() error { return nil }

func (a *Authority) append(b []byte) []byte {
	return append(append(b, byte(a.Kind)), a.Signature[:]...)
}

func (a *Authority) read(r *reader) {
	a.Kind = Kind(r.u8())
	r.fill(a.Signature[:])
}

func (a *Authority) check() error {
	switch {
	case a.Kind > ByDevice:
		return fmt.Errorf("%w: authority of kind %d", ErrFormat, a.Kind)
	case a.Kind == ByNobody && a.Signature != [64]byte{}:
		return fmt.Errorf("%w: a signature by nobody", ErrFormat)
	}
	return nil
}
