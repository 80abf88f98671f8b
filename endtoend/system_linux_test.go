package endtoend_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// system is one vaultd and one chatd, made as an operator makes them, and the taps in
// front of each. chatd has its built-in issuer, and takes the tokens of an operator's
// own issuer as well, whose key the test holds.
type system struct {
	dir          string
	front, back  *tap // between clients and chatd, between chatd and vaultd
	vault, chat  *daemon
	card, fleet  string
	operator     ed25519.PrivateKey
	printed      buffer // by all commands of keepsake
	toVault      string // the block of vaultd.toml that names the operator's issuer
	serverPin    string
	clientPinned string
}

const operatorName = "https://id.operator.example"

// newSystem makes and starts a system. Waits between attempts are none.
func newSystem(t *testing.T) *system {
	t.Helper()
	s := prepared(t)
	s.startVault(t)
	s.startChat(t)
	s.chat.awaitReady(t)
	return s
}

// prepared makes a system and starts nothing.
func prepared(t *testing.T) *system {
	t.Helper()
	s := &system{dir: t.TempDir(), front: newTap(t), back: newTap(t)}
	s.vault = &daemon{name: "vaultd", config: s.path("vaultd", "vaultd.toml")}
	s.chat = &daemon{name: "chatd", config: s.path("chatd", "chatd.toml")}
	s.makeOperator(t)
	// chatd first: vaultd wants its keys' file. The pin is put in afterwards.
	noPin := strings.Repeat("0", 64)
	out := s.command(t, "chatd", "init", s.path("chatd"), "--url", s.front.url(), "--vault", s.back.url()+"="+noPin, "--allow", "*", "--insecure-terminal", "--insecure-self-signed", "127.0.0.1")
	s.clientPinned = field(t, out, "client pin")
	out = s.command(t, "vaultd", "init", s.path("vaultd"), "--issuer", s.front.url(), "--jwks", s.path("chatd", "jwks.json"),
		"--relay", s.clientPinned, "--insecure-software-anchor", "--insecure-waits", "0s")
	s.fleet, s.serverPin = field(t, out, "fleet id"), field(t, out, "server pin")
	s.configure(t, noPin)
	s.writeCard(t)
	return s
}

func (s *system) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// command runs a command of a server that has to succeed.
func (s *system) command(t *testing.T, name string, args ...string) string {
	t.Helper()
	code, out := oneShot(t, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// field reads a line "name  value".
func field(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("no %q in\n%s", name, text)
	return ""
}

var rates = regexp.MustCompile(`(?m)^(per_handle|per_address|per_account|in_all|tries_per_address|retries) = \{.*\}$`)

// configure puts in what init cannot know, and takes out limits of how often: a
// person takes minutes for what a test does in a second.
func (s *system) configure(t *testing.T, noPin string) {
	t.Helper()
	trust := func(audience string) string {
		return fmt.Sprintf("name = %q\naudience = %q\nalgorithms = [\"EdDSA\"]\nmax_life = \"1h\"\njwks_file = %q\n", operatorName, audience, s.path("operator.jwks"))
	}
	s.edit(t, s.chat.config, func(text string) string {
		text = rates.ReplaceAllString(text, `$1 = { burst = -1, every = "1s" }`)
		text = strings.Replace(text, "\n# ---- the built-in issuer", "\n[[relay.issuer]]\n"+trust("keepsake-chatd")+"\n# ---- the built-in issuer", 1)
		return settings(text, "listen", `"127.0.0.1:0"`, "admin", `"127.0.0.1:0"`, "drain_delay", `"-1s"`, "pin", `"`+s.serverPin+`"`)
	})
	s.edit(t, s.vault.config, func(text string) string {
		text = strings.Replace(text, "\n[limits]", "\n[[issuer]]\n"+trust("keepsake-vault")+"\n[limits]", 1)
		return settings(text, "listen", `"127.0.0.1:0"`, "admin", `"127.0.0.1:0"`)
	})
	if text := must(os.ReadFile(s.chat.config)); bytes.Contains(text, []byte(noPin)) {
		t.Fatalf("the pin was not put in:\n%s", text)
	}
}

func (s *system) edit(t *testing.T, file string, change func(string) string) {
	t.Helper()
	text := must(os.ReadFile(file))
	check(t, os.WriteFile(file, []byte(change(string(text))), 0o600))
}

// settings replaces the values of settings, each of which must be there once.
func settings(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		line := regexp.MustCompile(`(?m)^` + pairs[i] + `\s*=.*$`)
		if n := len(line.FindAllString(text, -1)); n != 1 {
			panic(fmt.Sprintf("%s is there %d times", pairs[i], n))
		}
		text = line.ReplaceAllLiteralString(text, pairs[i]+" = "+pairs[i+1])
	}
	return text
}

func (s *system) startVault(t *testing.T) {
	t.Helper()
	s.vault.run(t)
	s.vault.awaitReady(t)
	s.back.point(s.vault.listen)
}

func (s *system) startChat(t *testing.T) {
	t.Helper()
	s.chat.run(t)
	s.front.point(s.chat.listen)
}

// writeCard writes what the application would bring along.
func (s *system) writeCard(t *testing.T) {
	t.Helper()
	card := map[string]string{"url": s.front.url(), "fleet": s.fleet, "ca": string(must(os.ReadFile(s.path("chatd", "tls.crt"))))}
	s.card = s.path("card.json")
	check(t, os.WriteFile(s.card, must(json.Marshal(card)), 0o644))
}

// makeOperator makes the key of the operator's own issuer.
func (s *system) makeOperator(t *testing.T) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	s.operator = private
	jwks := fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"op","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	check(t, os.WriteFile(s.path("operator.jwks"), []byte(jwks), 0o644))
}

// token makes an access token of the operator's issuer.
func (s *system) token(subject, audience string, made time.Time) string {
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }
	text := part(map[string]string{"alg": "EdDSA", "kid": "op", "typ": "JWT"}) + "." +
		part(map[string]any{"iss": operatorName, "sub": subject, "aud": audience, "iat": made.Unix(), "exp": made.Add(time.Hour).Unix()})
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(s.operator, []byte(text)))
}
