package token

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"keepsake.example/internal/hidden"
)

// Thumbprint is the RFC 7638 SHA-256 thumbprint of an Ed25519 public key as a
// JWK (RFC 8037 §2): what cnf.jkt has of the key that a token is bound to. k
// must have 32 bytes.
func Thumbprint(k ed25519.PublicKey) [32]byte {
	return sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(k) + `"}`))
}

// A Grant is what a token is to say.
type Grant struct {
	Subject  string
	Audience string
	// Key is the device key that the token is bound to, 32 bytes.
	Key ed25519.PublicKey
	// Issued is the time of signing, Life how long the token is valid, up to
	// [MaxLife]; whole seconds of both count.
	Issued time.Time
	Life   time.Duration
}

// A Signer makes tokens with EdDSA. It holds the private key that can invent
// accounts, prints as a fixed word, and is safe for concurrent use.
type Signer struct {
	unprinted
	issuer string
	public ed25519.PublicKey
	signer jose.Signer
}

// NewSigner makes a Signer for issuer. The key's id is its thumbprint.
func NewSigner(issuer string, k ed25519.PrivateKey) (*Signer, error) {
	if !validName(issuer) || len(k) != ed25519.PrivateKeySize {
		return nil, errors.New("token: an issuer is 1 to 255 bytes and a key 64")
	}
	public := k.Public().(ed25519.PublicKey)
	signing := jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: k, KeyID: keyID(public)}}
	s, err := jose.NewSigner(signing, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("making a signer of tokens: %w", err)
	}
	return &Signer{issuer: issuer, public: public, signer: s}, nil
}

func keyID(k ed25519.PublicKey) string {
	t := Thumbprint(k)
	return base64.RawURLEncoding.EncodeToString(t[:])
}

// Issuer is the iss of the tokens.
func (s *Signer) Issuer() string { return s.issuer }

// Sign makes the token for g, bound to g.Key.
func (s *Signer) Sign(g Grant) (string, error) {
	if !validName(g.Subject) || !validName(g.Audience) || len(g.Key) != ed25519.PublicKeySize ||
		g.Life < time.Second || g.Life > MaxLife {
		return "", errors.New("token: a grant outside its limits")
	}
	issued := seconds(g.Issued.Unix())
	expires := issued + seconds(g.Life/time.Second)
	text, err := json.Marshal(claims{
		Issuer: s.issuer, Subject: g.Subject, Audience: audience(g.Audience),
		Expires: &expires, IssuedAt: &issued, Confirmation: &confirmation{keyID(g.Key)},
	})
	if err != nil {
		return "", fmt.Errorf("writing a token: %w", err)
	}
	signed, err := s.signer.Sign(text)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed.CompactSerialize()
}

// JWKS is the JWK Set with which the tokens are checked, and with which those
// of older keys of the issuer go on being checked.
func (s *Signer) JWKS(older ...ed25519.PublicKey) ([]byte, error) {
	var set jose.JSONWebKeySet
	for _, k := range append([]ed25519.PublicKey{s.public}, older...) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: keyID(k), Algorithm: EdDSA, Use: "sig"})
		if t, err := set.Keys[len(set.Keys)-1].Thumbprint(crypto.SHA256); err != nil || len(t) != sha256.Size {
			return nil, errors.New("token: not an Ed25519 public key")
		}
	}
	return json.Marshal(set)
}

// unprinted is embedded in what must not be printed.
type unprinted = hidden.Text[owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "token" }
