package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"keepsake.example/client"
	"keepsake.example/client/clienttest"
	"keepsake.example/password"
	"keepsake.example/token"
	"keepsake.example/vaultapi"
)

// What a device signs is what the issuer checks.
func TestSignedMessagesAreTheIssuers(t *testing.T) {
	id := [16]byte{1, 2, 3}
	if !bytes.Equal(client.LoginMessage("https://chat.example", id, "12345678"), token.LoginMessage("https://chat.example", id, "12345678")) {
		t.Error("login")
	}
	if !bytes.Equal(client.RefreshMessage("https://chat.example", "r"), token.RefreshMessage("https://chat.example", "r")) {
		t.Error("refresh")
	}
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	if client.Thumbprint(public) != token.Thumbprint(public) {
		t.Error("thumbprint")
	}
}

func TestLogin(t *testing.T) {
	p := newPerson(t)
	nobody := p.access()
	nobody.Code = nil
	_, err := p.device().Login(ctx, nobody)
	wants(t, err, client.ErrLogin)
	wrong := p.access()
	wrong.Code = func(context.Context, string) (string, error) { return "00000000", nil }
	_, err = p.device().Login(ctx, wrong)
	wants(t, err, client.ErrWrongCode)
	declined := p.access()
	declined.Code = func(context.Context, string) (string, error) { return "", errCrash }
	_, err = p.device().Login(ctx, declined)
	wants(t, err, errCrash)
	if _, err := p.device().Login(ctx, p.access()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.device().VaultStatus(ctx, nobody); err != nil {
		t.Errorf("with a session, without a code: %v", err)
	}
	p.server.EndSessions()
	_, err = p.device().VaultStatus(ctx, nobody)
	wants(t, err, client.ErrLogin)
	if _, err := p.device().VaultStatus(ctx, p.access()); err != nil || p.codes != 2 {
		t.Errorf("a new code: %v, %d codes", err, p.codes)
	}
	for _, want := range []bool{true, false} {
		if had, err := p.device().Logout(); err != nil || had != want {
			t.Errorf("logout: %v, %v", had, err)
		}
	}
	_, err = p.device().VaultStatus(ctx, nobody)
	wants(t, err, client.ErrLogin)
}

func TestLogoutWithoutVault(t *testing.T) {
	p := newPerson(t)
	if err := os.Mkdir(p.profile, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := p.device().Logout()
	wants(t, err, client.ErrNoVault)
}

// A refresh token whose answer was lost is good for the same request again.
func TestSessionSurvivesALostAnswer(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	before, err := os.ReadFile(filepath.Join(p.profile, "vault.json"))
	if err != nil || bytes.Contains(before, []byte("refresh")) {
		t.Fatalf("%s, %v", before, err)
	}
	secrets := map[string]string{}
	for k, v := range p.keyring {
		secrets[k] = v
	}
	p.status()
	p.keyring = secrets // as before the answer came
	p.status()
	if p.codes != 1 {
		t.Errorf("%d codes", p.codes)
	}
}

func TestTokenFile(t *testing.T) {
	p := newPerson(t)
	path := filepath.Join(t.TempDir(), "tokens.json")
	a := client.Access{Server: p.server.Card(), TokenFile: path}
	write := func(text string, mode os.FileMode) {
		os.Remove(path)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	good := fmt.Sprintf(`{"chatd": %q, "vault": %q}`, p.server.Token("bob", "chatd", [32]byte{}), p.server.Token("bob", "vault", [32]byte{}))
	bound := fmt.Sprintf(`{"chatd": %q, "vault": %q}`, p.server.Token("bob", "chatd", [32]byte{}), p.server.Token("bob", "vault", [32]byte{1}))
	for name, bad := range map[string]func(){
		"missing": func() {}, "readable": func() { write(good, 0o644) }, "empty": func() { write(`{}`, 0o600) }, "no JSON": func() { write(`x`, 0o600) },
		"no tokens": func() { write(`{"chatd": "a", "vault": "b"}`, 0o600) }, "another's key": func() { write(bound, 0o600) },
	} {
		bad()
		if _, err := p.device().Login(ctx, a); !errors.Is(err, client.ErrLogin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(good, 0o600)
	if st, err := p.device().Login(ctx, a); err != nil || st.TokenFile != path {
		t.Fatalf("%+v, %v", st, err)
	}
	if _, err := p.device().VaultStatus(ctx, client.Access{}); err != nil {
		t.Errorf("the profile does not know the file: %v", err)
	}
}

type source struct {
	*clienttest.Server
	calls int
}

func (s *source) Tokens(context.Context) (*client.Tokens, error) {
	s.calls++
	return &client.Tokens{Relay: s.Token("carol", "chatd", [32]byte{}), Vault: s.Token("carol", "vault", [32]byte{})}, nil
}

// A messenger brings its own tokens; one that is refused is asked for once more.
func TestTokenSource(t *testing.T) {
	p := newPerson(t)
	s := &source{Server: p.server}
	p.server.Fault = faultOn(vaultapi.Status, clienttest.Denied)
	_, err := p.device().VaultStatus(ctx, client.Access{Server: p.server.Card(), Tokens: s})
	wants(t, err, client.ErrLogin)
	if s.calls != 2 {
		t.Errorf("asked %d times", s.calls)
	}
	p.server.Fault = nil
	if r, err := p.device().VaultStatus(ctx, client.Access{Server: p.server.Card(), Tokens: s}); err != nil || r.Live {
		t.Errorf("%+v, %v", r, err)
	}
}

// Logged in as somebody else the key would go to another account: refused.
func TestOtherAccountIsRefused(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	p.server.Subject = "mallory"
	_, err := p.device().VaultStatus(ctx, p.access())
	wants(t, err, client.ErrOtherAccount)
	p.server.Subject = "alice"
	mallory := clienttest.New(t)
	a := p.access()
	a.Server = mallory.Card()
	_, err = p.device().VaultStatus(ctx, a)
	wants(t, err, client.ErrServer)
}

func TestServerCard(t *testing.T) {
	p := newPerson(t)
	card := p.server.Card()
	again, err := client.ParseServer(card.Card())
	if err != nil || !reflect.DeepEqual(again, card) {
		t.Errorf("%+v, %v", again, err)
	}
	id := strings.Repeat("ab", 32)
	for name, bad := range map[string][3]string{
		"http": {"http://chat.example", id, ""}, "no host": {"https://", id, ""}, "user": {"https://u:p@chat.example", id, ""},
		"query": {"https://chat.example/?x", id, ""}, "short id": {"https://chat.example", id[:62], ""}, "no certificate": {"https://chat.example", id, "x"},
	} {
		if _, err := client.NewServer(bad[0], bad[1], bad[2]); !errors.Is(err, client.ErrServer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"url":"https://a","fleet":"` + id + `","more":1}`, strings.Repeat(" ", 70000)} {
		if _, err := client.ParseServer([]byte(text)); !errors.Is(err, client.ErrServer) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if s, err := client.NewServer("https://chat.example:8443/keepsake/", id, ""); err != nil || s.URL != "https://chat.example:8443/keepsake" || s.Host() != "chat.example:8443" {
		t.Errorf("%+v, %v", s, err)
	}
}

// A server whose certificate nobody vouches for is not spoken to.
func TestUnknownCertificateIsRefused(t *testing.T) {
	p := newPerson(t)
	a := p.access()
	a.Server.CA = ""
	_, err := p.device().Login(ctx, a)
	lost, ok := errors.AsType[*client.NotCountedError](err)
	if !ok || lost.Sent || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVaultFilesAreStrict(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	phone := p.onPhone("new")
	p.server.Fault = faultOn(vaultapi.Prove, clienttest.Lost)
	if _, err := phone.recover(right); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(phone.profile, "vault.json"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := client.DecodeVaultState(data)
	if err != nil || st.Proof == nil {
		t.Fatalf("%+v, %v", st, err)
	}
	for n := range data[:len(data)-2] { // without the line feed it is whole
		if _, err := client.DecodeVaultState(data[:n]); !errors.Is(err, client.ErrProfileDamaged) {
			t.Fatalf("accepted %d of %d bytes: %v", n, len(data), err)
		}
	}
	for name, change := range map[string]func(*client.VaultState){
		"version": func(s *client.VaultState) { s.Version = 2 }, "server": func(s *client.VaultState) { s.Server = nil },
		"secrets": func(s *client.VaultState) { s.Secrets = "" }, "account": func(s *client.VaultState) { s.Account = "AB" },
		"serial": func(s *client.VaultState) { s.Digest = "" }, "record": func(s *client.VaultState) { s.Record = "x" },
		"proof": func(s *client.VaultState) { s.Proof.Body += "00" }, "token file": func(s *client.VaultState) { s.TokenFile = "x" },
		"proposed": func(s *client.VaultState) { s.Proposed = &client.Proposed{} }, "name": func(s *client.VaultState) { s.Name = "" },
		"fleet key": func(s *client.VaultState) { s.FleetKey = strings.Repeat("0", 64) },
	} {
		bad, err := client.DecodeVaultState(data)
		if err != nil {
			t.Fatal(err)
		}
		change(bad)
		if _, err := client.DecodeVaultState(marshal(t, bad)); !errors.Is(err, client.ErrProfileDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretsAreStrict(t *testing.T) {
	good := sampleSecrets(t)
	if again, err := client.RecodeSecrets(good); err != nil || !bytes.Equal(again, good) {
		t.Fatalf("%s, %v", again, err)
	}
	for n := range good {
		if _, err := client.RecodeSecrets(good[:n]); err == nil {
			t.Errorf("accepted %d of %d bytes", n, len(good))
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if again, err := client.RecodeSecrets(bad); err == nil && !bytes.Equal(again, bad) {
			t.Errorf("byte %d changed is encoded in another way", i)
		}
	}
}

func sampleSecrets(t testing.TB) []byte {
	t.Helper()
	v, err := password.NewVerifier(bytes.NewReader(make([]byte, 16)), typed(right), password.Floor)
	if err != nil {
		t.Fatal(err)
	}
	return client.SampleSecrets(v.Encode())
}

func FuzzSecrets(f *testing.F) {
	f.Add(sampleSecrets(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		if again, err := client.RecodeSecrets(data); err == nil && !bytes.Equal(again, bytes.TrimSuffix(data, []byte("\n"))) {
			t.Errorf("%q is encoded as %q", data, again)
		}
	})
}

func FuzzVaultState(f *testing.F) {
	f.Add([]byte(`{"version":1,"server":{"url":"https://a","fleet":"` + strings.Repeat("ab", 32) + `"},"secrets":"file","name":"` + strings.Repeat("0", 32) + `"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := client.DecodeVaultState(data)
		if err != nil {
			return
		}
		if _, err := client.DecodeVaultState(marshal(t, s)); err != nil {
			t.Errorf("%q is not read again: %v", data, err)
		}
	})
}

// Secrets print as one word, and vault.json has none.
func TestVaultSecretsAreNotPrinted(t *testing.T) {
	for _, v := range []any{client.PrintedSecrets(), client.Tokens{Relay: "aaa.bbb", Vault: "ccc.ddd"}, &client.Tokens{Relay: "aaa.bbb"}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if text := fmt.Sprintf(verb, v); text != "client(redacted)" {
				t.Errorf("%s: %s", verb, text)
			}
		}
	}
	p := newPerson(t)
	p.enable(right)
	data, err := os.ReadFile(filepath.Join(p.profile, "vault.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range p.keyring {
		for i := 0; i+32 <= len(secret); i += 32 {
			if bytes.Contains(data, []byte(secret[i:i+32])) {
				t.Errorf("vault.json holds a part of %s", name)
			}
		}
	}
}
