package vaultapi

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
)

// Request is what the client seals to the vault. It prints as one fixed word, for
// the token's sake.
type Request struct {
	unprinted
	Token     string   // access token for the vault's audience, 1 to MaxToken bytes, unverified
	Bound     bool     // whether Key and Signature are there
	Key       [32]byte // Ed25519 public key that the token names by its thumbprint
	Signature [64]byte
	Body      Body
}

// Encode returns the request's bytes, at most MaxRequest, for the caller to clear.
// It refuses a value out of its range.
func (r *Request) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	b := make([]byte, 0, 2+2+len(r.Token)+1+len(r.Key)+len(r.Signature)+sizeOf(r.Body))
	b = appendCounted(append(b, Version, byte(r.Body.Type())), []byte(r.Token))
	if r.Bound {
		b = append(append(append(b, 1), r.Key[:]...), r.Signature[:]...)
	} else {
		b = append(b, 0)
	}
	return r.Body.append(b), nil
}

func (r *Request) check() error {
	switch {
	case len(r.Token) < 1 || len(r.Token) > MaxToken:
		return fmt.Errorf("%w: token of %d bytes", ErrFormat, len(r.Token))
	case !r.Bound && (r.Key != [32]byte{} || r.Signature != [64]byte{}):
		return fmt.Errorf("%w: a key, but not bound to it", ErrFormat)
	case r.Body == nil:
		return fmt.Errorf("%w: no body", ErrFormat)
	}
	return r.Body.check()
}

// DecodeRequest reads the bytes of [Request.Encode]: ErrUnsupported for another
// version or an unknown type, ErrFormat for whatever else is wrong. In a Propose
// b holds a private key, which is the caller's to clear.
func DecodeRequest(b []byte) (*Request, error) {
	if len(b) < 2 || len(b) > MaxRequest {
		return nil, ErrFormat
	}
	in := &reader{rest: b[2:]}
	t := Type(b[1])
	if b[0] != Version || !t.known() {
		return nil, ErrUnsupported
	}
	r := &Request{Token: string(in.counted(MaxToken))}
	switch in.u8() {
	case 0:
	case 1:
		r.Bound = true
		in.fill(r.Key[:])
		in.fill(r.Signature[:])
	default:
		return nil, ErrFormat
	}
	var err error
	if r.Body, err = readBody(t, in); err != nil {
		return nil, err
	}
	return r, nil
}

// Bind signs the request with the key that its token is bound to, for one fleet.
// Token and Body must be set, and not be changed afterwards.
func (r *Request) Bind(fleet [32]byte, key ed25519.PrivateKey) {
	r.Bound, r.Key = true, [32]byte(key.Public().(ed25519.PublicKey))
	b := r.binding(fleet)
	defer clear(b)
	r.Signature = [64]byte(ed25519.Sign(key, b))
}

// CheckBinding returns nil if the request is bound and its signature is by its key,
// over this request and for this fleet; otherwise ErrBinding. That the key is
// the one which the token names must be checked too.
func (r *Request) CheckBinding(fleet [32]byte) error {
	b := r.binding(fleet)
	defer clear(b)
	if !r.Bound || !ed25519.Verify(r.Key[:], b, r.Signature[:]) {
		return ErrBinding
	}
	return nil
}

// binding is what a device signs, spec/vault-protocol.md §10.1: the token by its
// hash and the rest as it is, so that no token and no request can be exchanged.
// The caller clears it: k may be in it.
func (r *Request) binding(fleet [32]byte) []byte {
	token := sha256.Sum256([]byte(r.Token))
	body := EncodeBody(r.Body)
	defer clear(body)
	return slices.Concat([]byte("keepsake request"), []byte{Version}, fleet[:], token[:], []byte{byte(r.Body.Type())}, body)
}
