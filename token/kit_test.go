package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"keepsake.example/token"
)

// now is the time of every test that does not move it.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

const (
	ours   = "https://accounts.example"
	theirs = "https://other.example"
	vault  = "keepsake-vault"
	relay  = "keepsake-chatd"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// pair is a private key with its JWK, written without the code under test.
type pair struct {
	id      string
	alg     string
	private crypto.Signer
}

var (
	edKey    = pair{"ed", "EdDSA", ed25519.NewKeyFromSeed([]byte(strings.Repeat("a", 32)))}
	otherKey = pair{"other", "EdDSA", ed25519.NewKeyFromSeed([]byte(strings.Repeat("b", 32)))}
	ecKey    = pair{"ec", "ES256", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	rsaKey   = pair{"rsa", "RS256", must(rsa.GenerateKey(rand.Reader, 2048))}
	pssKey   = pair{"rsa", "PS256", rsaKey.private}
	device   = ed25519.NewKeyFromSeed([]byte(strings.Repeat("d", 32))).Public().(ed25519.PublicKey)
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p pair) jwk() string {
	switch k := p.private.Public().(type) {
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, p.id, b64(k))
	case *ecdsa.PublicKey:
		point := must(k.Bytes())
		return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q}`, p.id, b64(point[1:33]), b64(point[33:]))
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, p.id, b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes()))
	}
	panic("no such key")
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// sign makes the signature of RFC 7518 §3 for the pair's algorithm.
func (p pair) sign(input string) []byte {
	digest := sha256.Sum256([]byte(input))
	switch p.alg {
	case "EdDSA":
		return ed25519.Sign(p.private.(ed25519.PrivateKey), []byte(input))
	case "ES256":
		r, s, err := ecdsa.Sign(rand.Reader, p.private.(*ecdsa.PrivateKey), digest[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "RS256":
		return must(rsa.SignPKCS1v15(nil, p.private.(*rsa.PrivateKey), crypto.SHA256, digest[:]))
	case "PS256":
		return must(rsa.SignPSS(rand.Reader, p.private.(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: 32}))
	}
	panic("no such algorithm")
}

// jwt is a token being made: change what a test is about.
type jwt struct {
	header  map[string]any
	claims  map[string]any
	headers string // if not empty, the header's text
	payload string // if not empty, the payload's text
	signer  pair
}

func good(p pair) *jwt {
	return &jwt{
		header: map[string]any{"alg": p.alg, "kid": p.id, "typ": "JWT"},
		claims: map[string]any{"iss": ours, "sub": "ann", "aud": vault, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix()},
		signer: p,
	}
}

func (j *jwt) input() string {
	h, c := string(must(json.Marshal(j.header))), string(must(json.Marshal(j.claims)))
	if j.headers != "" {
		h = j.headers
	}
	if j.payload != "" {
		c = j.payload
	}
	return b64([]byte(h)) + "." + b64([]byte(c))
}

func (j *jwt) String() string { in := j.input(); return in + "." + b64(j.signer.sign(in)) }

func hmacToken(j *jwt, secret []byte) string {
	j.header["alg"] = "HS256"
	in := j.input()
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(in))
	return in + "." + b64(m.Sum(nil))
}

func issuer(name string, keys token.KeySource, algorithms ...string) token.Issuer {
	return token.Issuer{Name: name, Audience: vault, Algorithms: algorithms, Keys: keys}
}

// verifier knows two issuers, as a vault does.
func verifier(t testing.TB) *token.Verifier {
	t.Helper()
	mine := must(token.Static(jwks(edKey.jwk(), ecKey.jwk(), rsaKey.jwk())))
	foreign := must(token.Static(jwks(otherKey.jwk())))
	v, err := token.NewVerifier(
		issuer(ours, mine, token.EdDSA, token.ES256, token.RS256, token.PS256),
		issuer(theirs, foreign, token.EdDSA))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func accepted(t *testing.T, v *token.Verifier, raw string) *token.Claims {
	t.Helper()
	c, err := v.Verify(raw, now)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return c
}

func refused(t *testing.T, v *token.Verifier, raw string, want token.Reason) {
	t.Helper()
	c, err := v.Verify(raw, now)
	var r *token.Refusal
	if !errors.As(err, &r) || r.Reason != want || c != nil {
		t.Errorf("got %v, %v; want refused for its %s", c, err, want)
	}
}
