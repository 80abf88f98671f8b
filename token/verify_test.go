package token_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"keepsake.example/token"
)

func TestEveryAlgorithmVerifies(t *testing.T) {
	v := verifier(t)
	for _, p := range []pair{edKey, ecKey, rsaKey, pssKey} {
		c := accepted(t, v, good(p).String())
		if c.Issuer != ours || c.Subject != "ann" || c.Bound || !c.Expires.Equal(now.Add(10*time.Minute)) {
			t.Errorf("%s: %+v", p.alg, c)
		}
	}
}

func TestBoundTokenTellsTheThumbprint(t *testing.T) {
	j := good(edKey)
	want := token.Thumbprint(device)
	j.claims["cnf"] = map[string]any{"jkt": b64(want[:])}
	if c := accepted(t, verifier(t), j.String()); !c.Bound || c.Thumbprint != want {
		t.Errorf("%+v", c)
	}
}

// A binding that cannot be checked must not count as no binding: the token
// would be good for whoever stole it.
func TestRefusesABindingItDoesNotKnow(t *testing.T) {
	for _, cnf := range []any{
		map[string]any{}, map[string]any{"x5t#S256": strings.Repeat("A", 43)}, map[string]any{"jkt": ""},
		map[string]any{"jkt": strings.Repeat("A", 42)}, map[string]any{"jkt": strings.Repeat("A", 42) + "B"}, map[string]any{"jkt": strings.Repeat("A", 44)},
	} {
		j := good(edKey)
		j.claims["cnf"] = cnf
		refused(t, verifier(t), j.String(), token.BadBinding)
	}
}

func TestRefusesAlgorithmNone(t *testing.T) {
	for _, alg := range []string{"none", "None", "NONE", "nOnE", ""} {
		j := good(edKey)
		j.header["alg"] = alg
		refused(t, verifier(t), j.input()+".", token.BadAlgorithm)
		refused(t, verifier(t), j.String(), token.BadAlgorithm)
	}
}

// The public key as the secret of an HMAC is the oldest of the attacks on JWT.
func TestRefusesHMACWithThePublicKey(t *testing.T) {
	der, err := x509.MarshalPKIXPublicKey(rsaKey.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	for _, secret := range [][]byte{der, text, []byte(rsaKey.jwk()), edKey.private.Public().(ed25519.PublicKey)} {
		refused(t, verifier(t), hmacToken(good(rsaKey), secret), token.BadAlgorithm)
	}
}

func TestRefusesAnAlgorithmThatIsNotTheIssuers(t *testing.T) {
	j := good(ecKey)
	keys := must(token.Static(jwks(edKey.jwk(), ecKey.jwk())))
	v := must(token.NewVerifier(issuer(ours, keys, token.EdDSA)))
	refused(t, v, j.String(), token.BadAlgorithm)
}

func TestRefusesAnAlgorithmThatDoesNotFitTheKey(t *testing.T) {
	j := good(edKey)
	j.header["alg"] = "ES256"
	refused(t, verifier(t), j.String(), token.BadKey)
	withAlg := strings.Replace(rsaKey.jwk(), `"kty"`, `"alg":"PS256","kty"`, 1)
	v := must(token.NewVerifier(issuer(ours, must(token.Static(jwks(withAlg))), token.RS256, token.PS256)))
	accepted(t, v, good(pssKey).String())
	refused(t, v, good(rsaKey).String(), token.BadKey)
}

// chatd sees its own tokens: a vault that took them would let it spend attempts.
func TestVaultRefusesATokenForChatd(t *testing.T) {
	for _, aud := range []any{relay, []string{relay}, vault + " ", strings.ToUpper(vault), "", nil, []string{}} {
		j := good(edKey)
		j.claims["aud"] = aud
		refused(t, verifier(t), j.String(), token.BadAudience)
	}
}

func TestRefusesATokenForTwoAudiences(t *testing.T) {
	j := good(edKey)
	j.claims["aud"] = []string{vault}
	accepted(t, verifier(t), j.String())
	for _, aud := range [][]string{{vault, relay}, {relay, vault}, {vault, vault}} {
		j.claims["aud"] = aud
		refused(t, verifier(t), j.String(), token.BadAudience)
	}
}

func TestRefusesAnotherIssuersKey(t *testing.T) {
	// Signed by the other issuer, about ours, with either key id or none.
	for _, kid := range []string{edKey.id, otherKey.id} {
		j := good(otherKey)
		j.header["kid"] = kid
		want := token.BadSignature
		if kid == otherKey.id {
			want = token.BadKey
		}
		refused(t, verifier(t), j.String(), want)
	}
	j := good(otherKey)
	delete(j.header, "kid")
	refused(t, verifier(t), j.String(), token.BadSignature)
}

func TestRefusesAnUnknownIssuer(t *testing.T) {
	for _, iss := range []any{"https://evil.example", ours + "/", "", nil, strings.ToUpper(ours)} {
		j := good(edKey)
		j.claims["iss"] = iss
		refused(t, verifier(t), j.String(), token.BadIssuer)
	}
}

func TestTimes(t *testing.T) {
	type times map[string]any
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	tests := []struct {
		name string
		set  times
		want token.Reason // "" is accepted
	}{
		{"expired within the tolerance", times{"iat": at(-30 * time.Minute), "exp": at(-59 * time.Second)}, ""},
		{"expired", times{"iat": at(-30 * time.Minute), "exp": at(-time.Minute)}, token.BadTime},
		{"long expired", times{"iat": 0, "exp": 60}, token.BadTime},
		{"no exp", times{"exp": nil}, token.BadTime},
		{"no iat", times{"iat": nil}, token.BadTime},
		{"issued within the tolerance ahead", times{"iat": at(time.Minute)}, ""},
		{"issued ahead", times{"iat": at(61 * time.Second)}, token.BadTime},
		{"issued far ahead", times{"iat": at(10000 * time.Hour), "exp": at(10000*time.Hour + time.Minute)}, token.BadTime},
		{"an hour", times{"exp": at(time.Hour)}, ""},
		{"over an hour", times{"exp": at(time.Hour + time.Second)}, token.BadLife},
		{"for ever", times{"exp": int64(1) << 53}, token.BadLife},
		{"not before, within the tolerance", times{"nbf": at(time.Minute)}, ""},
		{"not before", times{"nbf": at(61 * time.Second)}, token.BadTime},
		{"fractions", times{"iat": float64(at(0)) + 0.5, "exp": float64(at(time.Minute)) + 0.5}, ""},
		{"before 1970", times{"iat": -1}, token.BadFormat},
		{"huge", times{"exp": 1e300}, token.BadFormat},
		{"a string", times{"exp": fmt.Sprint(at(time.Minute))}, token.BadFormat},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := good(edKey)
			for k, v := range tt.set {
				j.claims[k] = v
			}
			if tt.want == "" {
				accepted(t, verifier(t), j.String())
			} else {
				refused(t, verifier(t), j.String(), tt.want)
			}
		})
	}
}

func TestIssuersOwnLimitOfLife(t *testing.T) {
	i := issuer(ours, must(token.Static(jwks(edKey.jwk()))), token.EdDSA)
	i.MaxLife = 5 * time.Minute
	refused(t, must(token.NewVerifier(i)), good(edKey).String(), token.BadLife)
}

func TestRefusesSubjectsOutsideTheirLimits(t *testing.T) {
	for _, sub := range []any{"", nil, strings.Repeat("s", 256)} {
		j := good(edKey)
		j.claims["sub"] = sub
		refused(t, verifier(t), j.String(), token.BadSubject)
	}
	j := good(edKey)
	j.payload = strings.Replace(string(mustJSON(j.claims)), "ann", "an\xff", 1)
	refused(t, verifier(t), j.String(), token.BadFormat)
}

func TestRefusesAnOversizedToken(t *testing.T) {
	j := good(edKey)
	// The largest that fits, then one letter of padding more.
	j.claims["x"] = ""
	fill := (token.MaxSize - len(j.String())) * 3 / 4
	j.claims["x"] = strings.Repeat("x", fill)
	raw := j.String()
	accepted(t, verifier(t), raw)
	j.claims["x"] = strings.Repeat("x", fill+4)
	if raw = j.String(); len(raw) <= token.MaxSize {
		t.Fatalf("%d bytes are not too many", len(raw))
	}
	refused(t, verifier(t), raw, token.BadFormat)
}

func TestRefusesDuplicateAndCriticalHeaders(t *testing.T) {
	for _, header := range []string{
		`{"alg":"EdDSA","kid":"ed","alg":"EdDSA"}`,
		`{"alg":"none","alg":"EdDSA","kid":"ed"}`,
		`{"alg":"EdDSA","kid":"other","kid":"ed"}`,
		`{"alg":"EdDSA","kid":"ed","crit":["exp"],"exp":1}`,
		`{"alg":"EdDSA","kid":"ed","crit":[]}`,
		`{"alg":"EdDSA","kid":"ed","crit":["b64"],"b64":true}`,
		`{"alg":"EdDSA","kid":"ed","b64":false}`,
		`{"alg":"EdDSA","kid":"ed"} x`,
		`{"alg":["EdDSA"],"kid":"ed"}`,
		`[]`, `null `, `"EdDSA"`,
	} {
		j := good(edKey)
		j.headers = header
		if _, err := verifier(t).Verify(j.String(), now); err == nil {
			t.Errorf("%s is accepted", header)
		}
	}
}

func TestRefusesDuplicateClaims(t *testing.T) {
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "cnf"} {
		j := good(edKey)
		text := string(mustJSON(j.claims))
		j.payload = text[:len(text)-1] + fmt.Sprintf(`,%q:%q,%q:%q}`, name, "a", name, "b")
		refused(t, verifier(t), j.String(), token.BadFormat)
	}
	j := good(edKey)
	j.payload = strings.Replace(string(mustJSON(j.claims)), `"sub"`, `"SUB"`, 1)
	refused(t, verifier(t), j.String(), token.BadSubject)
}

func TestKeysInTheHeaderAreIgnored(t *testing.T) {
	evil := pair{"ed", "EdDSA", otherKey.private}
	var key map[string]any
	unmarshal(evil.jwk(), &key)
	for name, v := range map[string]any{"jwk": key, "jku": "https://evil.example/keys", "x5u": "https://evil.example/x"} {
		j := good(evil)
		j.header[name] = v
		refused(t, verifier(t), j.String(), token.BadSignature)
		j = good(edKey)
		j.header[name] = v
		accepted(t, verifier(t), j.String())
	}
}

func TestTokenWithoutKeyIDNeedsASingleKey(t *testing.T) {
	j := good(edKey)
	delete(j.header, "kid")
	accepted(t, verifier(t), j.String())
	second := otherKey
	second.id = "second"
	v := must(token.NewVerifier(issuer(ours, must(token.Static(jwks(edKey.jwk(), second.jwk()))), token.EdDSA)))
	refused(t, v, j.String(), token.BadKey)
}

func TestRefusesOtherSerializations(t *testing.T) {
	raw := good(edKey).String()
	parts := strings.Split(raw, ".")
	for _, bad := range []string{
		"", ".", "..", "...", raw + ".", raw + "=", raw + "\n", " " + raw, raw[:20] + "\r\n" + raw[20:], parts[0] + "." + parts[1], parts[0] + ".." + parts[2],
		fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
	} {
		refused(t, verifier(t), bad, token.BadFormat)
	}
}

// No change of a single byte and no beginning of a token is accepted, but for
// the spare bits of base64's last letter, which mean nothing.
func TestMangledTokensAreRefused(t *testing.T) {
	v, raw := verifier(t), good(edKey).String()
	for i := range raw {
		if _, err := v.Verify(raw[:i], now); err == nil {
			t.Errorf("cut to %d bytes: accepted", i)
		}
		for _, c := range []byte("A_.-b\x00 \xff") {
			if raw[i] == c || i == len(raw)-1 {
				continue
			}
			if _, err := v.Verify(raw[:i]+string(rune(c))+raw[i+1:], now); err == nil && !spare(raw, i) {
				t.Errorf("byte %d as %q: accepted", i, c)
			}
		}
	}
}

// spare reports whether the letter at i is the last of a part.
func spare(raw string, i int) bool { return i+1 == len(raw) || raw[i+1] == '.' }

func TestErrorsHoldNothingOfTheToken(t *testing.T) {
	j := good(edKey)
	j.claims["sub"] = "ann-the-secret"
	j.claims["aud"] = "elsewhere-entirely"
	_, err := verifier(t).Verify(j.String(), now)
	if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "ann") || strings.Contains(text, "elsewhere") {
		t.Errorf("%s", text)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	keys := must(token.Static(jwks(edKey.jwk())))
	for name, i := range map[string]token.Issuer{
		"no name":      {Audience: vault, Algorithms: []string{"EdDSA"}, Keys: keys},
		"no audience":  {Name: ours, Algorithms: []string{"EdDSA"}, Keys: keys},
		"no keys":      {Name: ours, Audience: vault, Algorithms: []string{"EdDSA"}},
		"no algorithm": {Name: ours, Audience: vault, Keys: keys},
		"none":         {Name: ours, Audience: vault, Algorithms: []string{"none"}, Keys: keys},
		"HMAC":         {Name: ours, Audience: vault, Algorithms: []string{"EdDSA", "HS256"}, Keys: keys},
		"long life":    {Name: ours, Audience: vault, Algorithms: []string{"EdDSA"}, Keys: keys, MaxLife: time.Hour + 1},
		"long name":    {Name: strings.Repeat("n", 256), Audience: vault, Algorithms: []string{"EdDSA"}, Keys: keys},
	} {
		if _, err := token.NewVerifier(i); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	i := issuer(ours, keys, token.EdDSA)
	if _, err := token.NewVerifier(i, i); err == nil {
		t.Error("two issuers of one name: accepted")
	}
	if _, err := token.NewVerifier(); err == nil {
		t.Error("no issuer: accepted")
	}
}

func FuzzVerify(f *testing.F) {
	v := verifier(f)
	f.Add(good(edKey).String())
	f.Add(hmacToken(good(edKey), []byte("k")))
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := v.Verify(raw, now)
		if (c == nil) != (err != nil) {
			t.Fatalf("%v, %v", c, err)
		}
		if c != nil && (c.Issuer != ours && c.Issuer != theirs || c.Subject == "" || len(raw) > token.MaxSize) {
			t.Fatalf("accepted %+v", c)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v, raw := verifier(b), good(edKey).String()
	for b.Loop() {
		if _, err := v.Verify(raw, now); err != nil {
			b.Fatal(err)
		}
	}
}
