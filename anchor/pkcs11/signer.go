//go:build cgo

package pkcs11

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"sync"

	p11 "github.com/miekg/pkcs11"

	"keepsake.example/anchor"
)

// PKCS#11 v3.0 §2.3: the binding is one of v2.40 and has no names for these.
const (
	ckmEdwardsKeyPairGen = 0x1055
	ckmEdDSA             = 0x1057
	ckkEdwards           = 0x40
)

// ed25519Params is the curve's name as a PrintableString, in DER: the form that tokens of v3.0 and
// SoftHSM take (PKCS#11 v3.0 §2.3.5).
var ed25519Params = append([]byte{0x13, 12}, "edwards25519"...)

type signer struct {
	*token
	mu     sync.Mutex
	lane   *lane
	uri    URI
	public ed25519.PublicKey
	closed bool
}

// OpenSigner opens an Ed25519 key on a token. The PIN is the one given, or nil: the one in the URI's
// pin-source. Errors: [ErrNoKey], [ErrPIN], [anchor.ErrAbsent], [anchor.ErrLocked].
func OpenSigner(ctx context.Context, u *URI, pin *anchor.Secret) (Signer, error) {
	s, err := openSigner(ctx, u, pin, (*signer).load)
	if err != nil {
		return nil, fmt.Errorf("opening the key %q: %w", u.Object, err)
	}
	return s, nil
}

// MakeSigner makes an Ed25519 key on a token, which never leaves it, and opens it. The URI must give
// the key a label. Errors: those of OpenSigner, and [ErrKeyExists].
func MakeSigner(ctx context.Context, u *URI, pin *anchor.Secret) (Signer, error) {
	if u.Object == "" {
		return nil, errors.New("pkcs11: the URI gives the new key no label (object=)")
	}
	s, err := openSigner(ctx, u, pin, (*signer).generate)
	if err != nil {
		return nil, fmt.Errorf("making the key %q: %w", u.Object, err)
	}
	return s, nil
}

func openSigner(ctx context.Context, u *URI, pin *anchor.Secret, get func(*signer) error) (*signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t, err := connect(u.options(), pin)
	if err != nil {
		return nil, err
	}
	s := &signer{token: t, lane: &lane{token: t}, uri: *u}
	if err := s.lane.run(func() error { return get(s) }); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// key finds one half of the pair.
func (s *signer) key(class uint) (p11.ObjectHandle, error) {
	template := []*p11.Attribute{attribute(p11.CKA_CLASS, class), attribute(p11.CKA_KEY_TYPE, ckkEdwards), attribute(p11.CKA_TOKEN, true)}
	if s.uri.Object != "" {
		template = append(template, attribute(p11.CKA_LABEL, s.uri.Object))
	}
	if s.uri.ID != nil {
		template = append(template, attribute(p11.CKA_ID, s.uri.ID))
	}
	handles, err := s.lane.find(template...)
	switch {
	case err != nil:
		return 0, err
	case len(handles) == 0:
		return 0, s.lane.absent(fmt.Errorf("%w: no Ed25519 key %q in %s", ErrNoKey, s.uri.Object, s.opts.name()))
	case len(handles) > 1:
		return 0, fmt.Errorf("pkcs11: %d Ed25519 keys are called %q: give the id too", len(handles), s.uri.Object)
	}
	return handles[0], nil
}

func (s *signer) load() error {
	public, err := s.key(p11.CKO_PUBLIC_KEY)
	if err != nil {
		return err
	}
	if _, err := s.key(p11.CKO_PRIVATE_KEY); err != nil {
		return err
	}
	b, err := s.lane.read(public, p11.CKA_EC_POINT)
	if err != nil {
		return err
	}
	b = unwrapOctets(b, ed25519.PublicKeySize)
	if len(b) != ed25519.PublicKeySize {
		return fmt.Errorf("pkcs11: the token gives a public key of %d bytes", len(b))
	}
	s.public = b
	return nil
}

func (s *signer) generate() error {
	_, err := s.key(p11.CKO_PRIVATE_KEY)
	if err == nil {
		return ErrKeyExists
	}
	if !errors.Is(err, ErrNoKey) {
		return err
	}
	id := s.uri.ID
	if id == nil {
		id = newID()
	}
	err = s.do("C_GenerateKeyPair", func() error {
		_, _, err := s.ctx.GenerateKeyPair(s.lane.session, mechanism(ckmEdwardsKeyPairGen, nil), []*p11.Attribute{
			attribute(p11.CKA_TOKEN, true), attribute(p11.CKA_PRIVATE, false), attribute(p11.CKA_LABEL, s.uri.Object), attribute(p11.CKA_ID, id),
			attribute(p11.CKA_EC_PARAMS, ed25519Params), attribute(p11.CKA_VERIFY, true),
		}, []*p11.Attribute{
			attribute(p11.CKA_TOKEN, true), attribute(p11.CKA_PRIVATE, true), attribute(p11.CKA_LABEL, s.uri.Object), attribute(p11.CKA_ID, id),
			attribute(p11.CKA_SENSITIVE, true), attribute(p11.CKA_EXTRACTABLE, false), attribute(p11.CKA_SIGN, true),
			attribute(p11.CKA_DERIVE, false), attribute(p11.CKA_DECRYPT, false), attribute(p11.CKA_UNWRAP, false),
			attribute(p11.CKA_COPYABLE, false), attribute(p11.CKA_MODIFIABLE, false),
		})
		return err
	})
	if err != nil {
		return err
	}
	return s.load()
}

// Public implements [crypto.Signer].
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign implements [crypto.Signer]: pure Ed25519 (RFC 8032 §5.1.6) of the message itself. What the token
// returns is verified, so that a fault in it is not published.
func (s *signer) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	if opts != nil && opts.HashFunc() != 0 {
		return nil, errors.New("pkcs11: a key on a token signs messages, not hashes of them")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	err = s.lane.run(func() error {
		private, err := s.key(p11.CKO_PRIVATE_KEY)
		if err != nil {
			return err
		}
		if err := s.do("C_SignInit", func() error { return s.ctx.SignInit(s.lane.session, mechanism(ckmEdDSA, nil), private) }); err != nil {
			return err
		}
		sig, err = ask(&s.caller, "C_Sign", func() ([]byte, error) { return s.ctx.Sign(s.lane.session, message) })
		return err
	})
	if err == nil && !ed25519.Verify(s.public, message, sig) {
		err = errors.New("pkcs11: the token returned a signature that does not hold")
	}
	if err != nil {
		return nil, fmt.Errorf("signing with the key %q in %s: %w", s.uri.Object, s.opts.name(), err)
	}
	return sig, nil
}

// Close implements [io.Closer].
func (s *signer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.lane.drop()
	return s.lib.release()
}
