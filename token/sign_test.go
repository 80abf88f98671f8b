package token_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"keepsake.example/token"
)

func mustJSON(v any) []byte { return must(json.Marshal(v)) }

func unmarshal(s string, v any) {
	if err := json.Unmarshal([]byte(s), v); err != nil {
		panic(err)
	}
}

// The thumbprint of RFC 8037 appendix A.3.
func TestThumbprintOfRFC8037(t *testing.T) {
	k := must(base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))
	got := token.Thumbprint(k)
	if b64(got[:]) != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("got %s", b64(got[:]))
	}
}

func signer(t *testing.T) *token.Signer {
	t.Helper()
	s, err := token.NewSigner(ours, edKey.private.(ed25519.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func grant() token.Grant {
	return token.Grant{Subject: "ann", Audience: vault, Key: device, Issued: now, Life: 10 * time.Minute}
}

func TestSignedTokensVerifyWithTheExportedKeys(t *testing.T) {
	s := signer(t)
	keys := must(token.Static(must(s.JWKS(otherKey.private.Public().(ed25519.PublicKey)))))
	v := must(token.NewVerifier(issuer(ours, keys, token.EdDSA)))
	c := accepted(t, v, must(s.Sign(grant())))
	if c.Subject != "ann" || !c.Bound || c.Thumbprint != token.Thumbprint(device) {
		t.Errorf("%+v", c)
	}
	// After the issuer's key was rotated, the older one goes on being good.
	old := must(token.NewSigner(ours, otherKey.private.(ed25519.PrivateKey)))
	accepted(t, v, must(old.Sign(grant())))
}

// What is signed is exactly the text of this vector, so that another
// implementation can be compared with it.
func TestSignedTokenIsTheVector(t *testing.T) {
	raw := must(signer(t).Sign(grant()))
	parts := strings.Split(raw, ".")
	want := []string{
		`{"alg":"EdDSA","kid":"` + kid(edKey) + `","typ":"JWT"}`,
		`{"iss":"https://accounts.example","sub":"ann","aud":"keepsake-vault","exp":1795349400,"iat":1795348800,"cnf":{"jkt":"` + thumb(device) + `"}}`,
	}
	for i, w := range want {
		if got := string(must(base64.RawURLEncoding.DecodeString(parts[i]))); got != w {
			t.Errorf("part %d is %s, want %s", i, got, w)
		}
	}
	if parts[2] != b64(edKey.sign(parts[0]+"."+parts[1])) {
		t.Error("another signature")
	}
}

func thumb(k ed25519.PublicKey) string { b := token.Thumbprint(k); return b64(b[:]) }
func kid(p pair) string                { return thumb(p.private.Public().(ed25519.PublicKey)) }

func TestSignerRefusesGrantsThatNobodyWouldAccept(t *testing.T) {
	for name, change := range map[string]func(*token.Grant){
		"no subject":   func(g *token.Grant) { g.Subject = "" },
		"long subject": func(g *token.Grant) { g.Subject = strings.Repeat("s", 256) },
		"no audience":  func(g *token.Grant) { g.Audience = "" },
		"no key":       func(g *token.Grant) { g.Key = nil },
		"short key":    func(g *token.Grant) { g.Key = g.Key[:31] },
		"no life":      func(g *token.Grant) { g.Life = 0 },
		"long life":    func(g *token.Grant) { g.Life = time.Hour + 1 },
	} {
		g := grant()
		change(&g)
		if _, err := signer(t).Sign(g); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestSignerNeverPrintsItsKey(t *testing.T) {
	s := signer(t)
	seed := fmt.Sprintf("%x", edKey.private.(ed25519.PrivateKey).Seed())
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%#v %+v %x %s", s, s, s, s.LogValue()), string(mustJSON(s)), s.GoString(), string(must(s.JWKS()))} {
		if strings.Contains(text, seed) || strings.Contains(text, strings.Repeat("a", 32)) || strings.Contains(text, `"d"`) {
			t.Errorf("prints %q", text)
		}
	}
}

// The bytes of spec/vault-protocol.md §8.1, written out.
func TestProofMessages(t *testing.T) {
	login := token.LoginMessage("https://a.example", [16]byte{15: 7}, "01234567")
	want := "keepsake login\x01\x00\x11https://a.example" + strings.Repeat("\x00", 15) + "\x07" + "01234567"
	if string(login) != want {
		t.Errorf("login: %q", login)
	}
	refresh := fmt.Sprintf("%x", token.RefreshMessage("https://a.example", "abc"))
	want = fmt.Sprintf("%x", "keepsake refresh\x01\x00\x11https://a.example") + "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if refresh != want {
		t.Errorf("refresh: %s", refresh)
	}
}

func Example() {
	public, private, _ := ed25519.GenerateKey(nil)
	phone, _, _ := ed25519.GenerateKey(nil)
	issuer, _ := token.NewSigner("https://accounts.example", private)
	raw, _ := issuer.Sign(token.Grant{Subject: "ann", Audience: "keepsake-vault", Key: phone, Issued: time.Now(), Life: 10 * time.Minute})

	published, _ := issuer.JWKS()
	keys, _ := token.Static(published)
	verifier, _ := token.NewVerifier(token.Issuer{Name: "https://accounts.example", Audience: "keepsake-vault", Algorithms: []string{token.EdDSA}, Keys: keys})
	claims, err := verifier.Verify(raw, time.Now())
	fmt.Println(claims.Subject, claims.Thumbprint == token.Thumbprint(phone), claims.Thumbprint == token.Thumbprint(public), err)
	// Output: ann true false <nil>
}
