package chatd_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"keepsake.example/token"
)

func TestLoginThenRelayThenRefresh(t *testing.T) {
	k := newKit(t, 1)
	refresh, chatdToken, _ := k.login("ann@example.com")
	send := func(raw string) *got {
		return k.do(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+raw)
	}
	k.expect(send(chatdToken), 200, "")
	k.clock.Pass(20 * time.Minute)
	k.expect(send(chatdToken), 401, "token")
	_, chatdToken, vaultToken := k.tokens(k.json("/v1/token", refreshBody(refresh)))
	k.expect(send(chatdToken), 200, "")
	k.expect(send(vaultToken), 401, "token")
}

func TestWrongCodeIsDenied(t *testing.T) {
	k := newKit(t, 1)
	g := k.json("/v1/login", map[string]string{"handle": "ann@example.com", "key": b64(public(phone))})
	var started struct{ Login string }
	must(0, json.Unmarshal(g.body, &started))
	<-k.inbox.messages
	k.expect(k.json("/v1/login/"+started.Login, k.codeBody(started.Login, "00000000")), 403, "denied")
	k.expect(k.json("/v1/login/"+strings.Repeat("0", 32), k.codeBody(started.Login, "00000000")), 403, "denied")
}

// The whole answers are compared: what a stranger sees tells nothing.
func TestUnknownHandleGetsTheSameAnswerOverHTTP(t *testing.T) {
	k := newKit(t, 1)
	known := k.json("/v1/login", map[string]string{"handle": "ann@example.com", "key": b64(public(phone))})
	unknown := k.json("/v1/login", map[string]string{"handle": "ann@elsewhere.example", "key": b64(public(phone))})
	k.expect(unknown, 202, "")
	if len(known.body) != len(unknown.body) || len(known.header) != len(unknown.header) {
		t.Errorf("%s %v and %s %v", known.body, known.header, unknown.body, unknown.header)
	}
}

func TestReusedRefreshTokenEndsTheSessionAndIsAudited(t *testing.T) {
	k := newKit(t, 1)
	first, _, _ := k.login("ann@example.com")
	second, _, _ := k.tokens(k.json("/v1/token", refreshBody(first)))
	third, _, _ := k.tokens(k.json("/v1/token", refreshBody(second)))
	k.expect(k.json("/v1/token", refreshBody(first)), 403, "denied")
	k.expect(k.json("/v1/token", refreshBody(third)), 403, "denied")
	var outcomes []string
	for _, line := range k.audited() {
		outcomes = append(outcomes, line["event"].(string)+" "+line["outcome"].(string))
	}
	if got, want := strings.Join(outcomes, ", "), "login ok, code ok, token ok, token ok, token reused, token denied"; got != want {
		t.Errorf("audit: %s", got)
	}
}

func TestMalformedIssuerRequestsAreRefused(t *testing.T) {
	k := newKit(t, 1)
	proof := b64(make([]byte, 64))
	id := "/v1/login/" + strings.Repeat("0", 32)
	for _, tt := range []struct{ path, body string }{
		{"/v1/login", ``}, {"/v1/login", `{}`}, {"/v1/login", `[]`}, {"/v1/login", `{"handle":"ann@example.com"}`},
		{"/v1/login", `{"handle":"ann@example.com","key":"` + b64(public(phone)[:31]) + `"}`},
		{"/v1/login", `{"handle":"ann@example.com","key":"` + b64(public(phone)) + `="}`},
		{"/v1/login", `{"handle":"ann@example.com","key":"` + b64(public(phone)) + `\n"}`},
		{"/v1/login", `{"handle":"ann@example.com","key":"` + b64(public(phone)) + `","more":1}`},
		{"/v1/login", `{"handle":"ann@example.com","key":"` + b64(public(phone)) + `"} {}`},
		{"/v1/login", `{"handle":"ann\u0000@example.com","key":"` + b64(public(phone)) + `"}`},
		{id, `{"code":"1234567","proof":"` + proof + `"}`}, {id, `{"code":"1234567x","proof":"` + proof + `"}`}, {id, `{"code":"12345678","proof":"` + proof[2:] + `"}`},
		{id, `{"code":12345678,"proof":"` + proof + `"}`},
		{"/v1/token", `{"refresh":"","proof":"` + proof + `"}`}, {"/v1/token", `{"refresh":"x"}`},
	} {
		k.expect(k.do(http.MethodPost, tt.path, []byte(tt.body), "Content-Type", "application/json"), 400, "format")
	}
	long := []byte(`{"handle":"` + strings.Repeat("a", 3000) + `"}`)
	k.expect(k.do(http.MethodPost, "/v1/login", long, "Content-Type", "application/json"), 413, "size")
	k.expect(k.do(http.MethodPost, "/v1/login", []byte(`{}`)), 415, "type")
	for _, id := range []string{"x", strings.Repeat("0", 31), strings.Repeat("A", 32), strings.Repeat("0", 34)} {
		k.expect(k.json("/v1/login/"+id, k.codeBody(strings.Repeat("0", 32), "12345678")), 404, "path")
	}
}

func TestLoginsAreLimited(t *testing.T) {
	k := newKit(t, 1)
	body := map[string]string{"handle": "ann@example.com", "key": b64(public(phone))}
	for range 5 {
		k.expect(k.json("/v1/login", body), 202, "")
	}
	g := k.json("/v1/login", body)
	k.expect(g, 429, "rate")
	if g.header.Get("Retry-After") != "720" {
		t.Error(g.header)
	}
}

// A relay in hostile hands has the issuer's public key and no more: there is no
// way to give it another, and what it publishes is nothing.
func TestRelayAloneHasNoIssuer(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Issuer = nil })
	k.expect(k.send("ann"), 200, "")
	for _, path := range []string{"/v1/login", "/v1/login/" + strings.Repeat("0", 32), "/v1/token", "/v1/jwks.json", "/.well-known/openid-configuration"} {
		k.expect(k.do(http.MethodGet, path, nil), 404, "path")
	}
}

func TestIssuerAloneRelaysNothing(t *testing.T) {
	k := newKit(t, 0, func(k *kit) { k.c.Relay = nil })
	k.login("ann@example.com")
	k.expect(k.send("ann"), 404, "path")
	k.expect(k.do(http.MethodGet, "/v1/bundle", nil), 404, "path")
	if status, text := k.look("/readyz"); status != 200 {
		t.Error(text)
	}
}

// Nothing secret, and nobody's name or address, is in logs, audit or metrics.
func TestLogsHoldNoSecretAndNoName(t *testing.T) {
	k := newKit(t, 1)
	refresh, chatdToken, vaultToken := k.login("ann@example.com")
	k.json("/v1/token", refreshBody(refresh))
	k.json("/v1/token", map[string]string{"refresh": refresh, "proof": b64(ed25519.Sign(phone, []byte("x")))})
	k.expect(k.send("ann-the-subject"), 200, "")
	k.do(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+vaultToken)
	claims := must(must(token.NewVerifier(k.c.Relay.Issuers...)).Verify(chatdToken, k.clock.Now()))
	_, metrics := k.look("/metrics")
	all := k.logs.String() + metrics + string(must(os.ReadFile(k.auditLog)))
	for what, secret := range map[string]string{
		"handle": "ann@", "subject": "ann-the-subject", "random subject": claims.Subject, "address": "127.0.0.1", "refresh token": refresh[:20],
		"token": chatdToken[:60], "signature": chatdToken[len(chatdToken)-40:], "issuer's key": string(key("i").Seed()), "request": "qqqqqqqq", "answer": "aaaaaaaa",
	} {
		if strings.Contains(all, secret) {
			t.Errorf("the %s is there", what)
		}
	}
	if !strings.Contains(k.logs.String(), k.c.Names.Account(name, "ann-the-subject")) || !bytes.Contains([]byte(k.logs.String()), []byte(`"refused":"token-audience"`)) {
		t.Errorf("logs tell too little: %s", k.logs)
	}
}
