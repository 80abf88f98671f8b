package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// An Issuer is one whose tokens are accepted.
type Issuer struct {
	// Name is the tokens' iss, byte for byte.
	Name string
	// Audience is the tokens' aud, byte for byte: who the verifier is.
	Audience string
	// Algorithms are those that the issuer signs with, of EdDSA, ES256, RS256
	// and PS256: one is best.
	Algorithms []string
	// Keys are the issuer's public keys.
	Keys KeySource
	// MaxLife is the longest time from iat to exp. 0 means [MaxLife], which it
	// cannot exceed.
	MaxLife time.Duration
}

// Claims are what an accepted token says.
type Claims struct {
	Issuer  string
	Subject string
	Expires time.Time
	// Thumbprint is that of the device key the token is bound to, if Bound.
	Thumbprint [32]byte
	Bound      bool
}

// A Reason is why a token was refused: a word for logs and metrics that holds
// nothing of the token.
type Reason string

// The reasons, in the order in which they are looked for.
const (
	BadFormat    Reason = "format"    // not a JWT in compact form, too large, a header that is not understood
	BadIssuer    Reason = "issuer"    // of an issuer that is not known
	BadAlgorithm Reason = "algorithm" // signed with one that is not on the issuer's list
	BadKey       Reason = "key"       // with a key that the issuer does not have, or that does not fit the algorithm
	BadSignature Reason = "signature"
	BadAudience  Reason = "audience" // meant for somebody else
	BadSubject   Reason = "subject"  // for nobody
	BadTime      Reason = "time"     // expired, not yet valid, or without exp or iat
	BadLife      Reason = "life"     // valid for longer than allowed
	BadBinding   Reason = "binding"  // bound to something that cannot be checked
)

// A Refusal is the error for a token that is not accepted.
type Refusal struct{ Reason Reason }

// Error names the reason.
func (r *Refusal) Error() string { return "token: refused for its " + string(r.Reason) }

func refuse(r Reason) error { return &Refusal{r} }

// A Verifier checks tokens. It is safe for concurrent use.
type Verifier struct{ issuers map[string]Issuer }

// NewVerifier makes a Verifier for issuers, whose names must differ.
func NewVerifier(issuers ...Issuer) (*Verifier, error) {
	v := &Verifier{make(map[string]Issuer)}
	for _, i := range issuers {
		if _, twice := v.issuers[i.Name]; twice {
			return nil, fmt.Errorf("token: two issuers named %q", i.Name)
		}
		if err := i.check(); err != nil {
			return nil, fmt.Errorf("token: issuer %q: %w", i.Name, err)
		}
		if i.MaxLife == 0 {
			i.MaxLife = MaxLife
		}
		i.Algorithms = slices.Clone(i.Algorithms)
		v.issuers[i.Name] = i
	}
	if len(v.issuers) == 0 {
		return nil, errors.New("token: no issuer")
	}
	return v, nil
}

func (i *Issuer) check() error {
	switch {
	case !validName(i.Name):
		return errors.New("a name is 1 to 255 bytes")
	case !validName(i.Audience):
		return errors.New("an audience is 1 to 255 bytes")
	case i.Keys == nil:
		return errors.New("no keys")
	case i.MaxLife < 0 || i.MaxLife > MaxLife:
		return fmt.Errorf("a token lives %v at most", MaxLife)
	case len(i.Algorithms) == 0:
		return errors.New("no algorithm")
	}
	for _, a := range i.Algorithms {
		if !slices.Contains(allowed, jose.SignatureAlgorithm(a)) {
			return fmt.Errorf("algorithm %q is none of EdDSA, ES256, RS256, PS256", a)
		}
	}
	return nil
}

func validName(s string) bool { return len(s) >= 1 && len(s) <= MaxName }

// allowed is what any issuer may be configured with.
var allowed = []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256, jose.PS256}

// Verify checks raw at the time now and gives what it says. The error is a
// [*Refusal]. With keys that are fetched it may wait for one fetch, a few
// seconds.
func (v *Verifier) Verify(raw string, now time.Time) (*Claims, error) {
	if !compact(raw) {
		return nil, refuse(BadFormat)
	}
	head, err := readHeader(raw)
	if err != nil {
		return nil, err
	}
	parsed, err := jose.ParseSignedCompact(raw, allowed)
	if err != nil {
		if !slices.Contains(allowed, jose.SignatureAlgorithm(head.Algorithm)) {
			return nil, refuse(BadAlgorithm)
		}
		return nil, refuse(BadFormat)
	}
	// The claims choose the issuer before the signature is checked, and nothing else.
	c, err := readClaims(parsed.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, err
	}
	issuer, ok := v.issuers[c.Issuer]
	if !ok {
		return nil, refuse(BadIssuer)
	}
	if err := issuer.authentic(parsed, head); err != nil {
		return nil, err
	}
	return issuer.accept(c, now)
}

// compact reports whether raw has the size and the letters of a token. The
// decoder of base64 passes over line ends, which have no place in one.
func compact(raw string) bool {
	if len(raw) > MaxSize || strings.Count(raw, ".") != 2 {
		return false
	}
	for i := range len(raw) {
		if c := raw[i]; !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

type header struct {
	Algorithm string          `json:"alg"`
	KeyID     string          `json:"kid"`
	Critical  json.RawMessage `json:"crit"`
	Base64    json.RawMessage `json:"b64"`
}

// readHeader reads the header beside go-jose, which understands the extension
// b64 (RFC 7797): with it the signature is over another text than the claims
// that are read. This json refuses a member that is there twice.
func readHeader(raw string) (*header, error) {
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil {
		return nil, refuse(BadFormat)
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil || h.Critical != nil || h.Base64 != nil {
		return nil, refuse(BadFormat)
	}
	return &h, nil
}

// authentic checks the signature with a key of this issuer alone.
func (i *Issuer) authentic(parsed *jose.JSONWebSignature, head *header) error {
	if !slices.Contains(i.Algorithms, head.Algorithm) {
		return refuse(BadAlgorithm)
	}
	k, ok := i.Keys.find(head.KeyID, head.Algorithm)
	if !ok {
		return refuse(BadKey)
	}
	if _, err := parsed.Verify(k.public); err != nil {
		return refuse(BadSignature)
	}
	return nil
}

// accept checks what an authentic token says.
func (i *Issuer) accept(c *claims, now time.Time) (*Claims, error) {
	if c.Audience != audience(i.Audience) {
		return nil, refuse(BadAudience)
	}
	if !validName(c.Subject) {
		return nil, refuse(BadSubject)
	}
	if c.Expires == nil || c.IssuedAt == nil {
		return nil, refuse(BadTime)
	}
	if c.Expires.time().After(c.IssuedAt.time().Add(i.MaxLife)) {
		return nil, refuse(BadLife)
	}
	early, late := now.Add(-Tolerance), now.Add(Tolerance)
	if !c.Expires.time().After(early) || c.IssuedAt.time().After(late) ||
		c.NotBefore != nil && c.NotBefore.time().After(late) {
		return nil, refuse(BadTime)
	}
	out := &Claims{Issuer: c.Issuer, Subject: c.Subject, Expires: c.Expires.time()}
	if c.Confirmation != nil {
		b, ok := c.Confirmation.thumbprint()
		if !ok {
			return nil, refuse(BadBinding)
		}
		out.Thumbprint, out.Bound = b, true
	}
	return out, nil
}
