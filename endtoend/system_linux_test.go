package endtoend_test

import (
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

// system is the servers, made as an operator makes them, with a tap in front of each:
// vaultd, chatd as the relay, and chatd as the issuer of accounts. Relay and vault
// take the tokens of an operator's own issuer as well, whose key the test holds.
type system struct {
	dir                 string
	front, door, back   *tap // in front of the relay, the issuer and vaultd
	vault, chat, issuer *daemon
	card, fleet         string
	operator            ed25519.PrivateKey
	printed             buffer // by all commands of keepsake
	serverPin           string
	clientPin           string
}

const operatorName = "https://id.operator.example"

// newSystem makes and starts a system. Waits between attempts are none.
func newSystem(t *testing.T) *system {
	t.Helper()
	s := prepared(t)
	s.startAll(t)
	return s
}

// prepared makes a system and starts nothing. anchor are the flags of what the vault
// counts on; without any, files.
func prepared(t *testing.T, anchor ...string) *system {
	t.Helper()
	if len(anchor) == 0 {
		anchor = []string{"--insecure-software-anchor"}
	}
	s := &system{dir: t.TempDir(), front: newTap(t), door: newTap(t), back: newTap(t)}
	s.vault = &daemon{name: "vaultd", config: s.path("vaultd", "vaultd.toml")}
	s.chat = &daemon{name: "chatd", config: s.path("relay", "chatd.toml")}
	s.issuer = &daemon{name: "chatd", config: s.path("issuer", "chatd.toml")}
	s.makeOperator(t)
	s.command(t, "chatd", "init", s.path("issuer"), "--role", "issuer", "--url", s.door.url(), "--allow", "*", "--insecure-terminal", "--insecure-self-signed", "127.0.0.1")
	out := s.command(t, "vaultd", append([]string{"init", s.path("vaultd"), "--issuer", s.door.url(), "--jwks", s.path("issuer", "jwks.json"), "--insecure-waits", "0s"}, anchor...)...)
	s.fleet, s.serverPin = field(t, out, "fleet id"), field(t, out, "server pin")
	out = s.command(t, "chatd", "init", s.path("relay"), "--url", s.front.url(), "--vault", s.back.url()+"="+s.serverPin,
		"--issuer", s.door.url(), "--jwks", s.path("issuer", "jwks.json"), "--insecure-self-signed", "127.0.0.1")
	s.clientPin = field(t, out, "client pin")
	s.configure(t)
	s.card = s.writeCard(t, s.front.url())
	return s
}

func (s *system) startAll(t *testing.T) {
	t.Helper()
	s.startVault(t)
	s.issuer.run(t)
	s.door.point(s.issuer.listen)
	s.issuer.awaitReady(t)
	s.startChat(t)
	s.chat.awaitReady(t)
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

// configure puts in what init is not told, and takes out limits of how often: a
// person takes minutes for what a test does in a second.
func (s *system) configure(t *testing.T) {
	t.Helper()
	s.edit(t, s.issuer.config, ofChatd)
	s.edit(t, s.chat.config, func(text string) string {
		return ofChatd(strings.Replace(text, "\n[limits]", s.trust("relay.issuer", "keepsake-chatd"), 1))
	})
	s.edit(t, s.vault.config, func(text string) string {
		text = strings.Replace(text, "\n[limits]", s.trust("issuer", "keepsake-vault"), 1)
		return settings(text, "listen", `"127.0.0.1:0"`, "admin", `"127.0.0.1:0"`, "relays", fmt.Sprintf("[%q]", s.clientPin))
	})
}

// trust is the part of a configuration that has the operator's issuer trusted.
func (s *system) trust(table, audience string) string {
	return fmt.Sprintf("\n[[%s]]\nname = %q\naudience = %q\nalgorithms = [\"EdDSA\"]\nmax_life = \"1h\"\njwks_file = %q\n\n[limits]", table, operatorName, audience, s.path("operator.jwks"))
}

func ofChatd(text string) string {
	text = rates.ReplaceAllString(text, `$1 = { burst = -1, every = "1s" }`)
	return settings(text, "listen", `"127.0.0.1:0"`, "admin", `"127.0.0.1:0"`, "drain_delay", `"-1s"`)
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
func (s *system) writeCard(t *testing.T, url string) (file string) {
	t.Helper()
	ca := string(must(os.ReadFile(s.path("relay", "tls.crt")))) + string(must(os.ReadFile(s.path("issuer", "tls.crt"))))
	card := map[string]string{"url": url, "issuer": s.door.url(), "fleet": s.fleet, "ca": ca}
	file = filepath.Join(t.TempDir(), "card.json")
	check(t, os.WriteFile(file, must(json.Marshal(card)), 0o644))
	return file
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
	return sign(s.operator, subject, audience, made)
}

func sign(k ed25519.PrivateKey, subject, audience string, made time.Time) string {
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(must(json.Marshal(v))) }
	text := part(map[string]string{"alg": "EdDSA", "kid": "op", "typ": "JWT"}) + "." +
		part(map[string]any{"iss": operatorName, "sub": subject, "aud": audience, "iat": made.Unix(), "exp": made.Add(time.Hour).Unix()})
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k, []byte(text)))
}

// relay makes a second chatd in front of the same vault, which only relays. It has
// the TLS certificate of the first, as instances behind one address have.
func (s *system) relay(t *testing.T) *daemon {
	t.Helper()
	d := &daemon{name: "chatd", config: s.path("second", "chatd.toml")}
	out := s.command(t, "chatd", "init", s.path("second"), "--role", "relay", "--url", s.front.url(), "--vault", s.back.url()+"="+s.serverPin,
		"--issuer", operatorName, "--jwks", s.path("operator.jwks"))
	s.edit(t, d.config, ofChatd)
	for _, name := range []string{"tls.crt", "tls.key"} {
		check(t, os.WriteFile(s.path("second", name), must(os.ReadFile(s.path("relay", name))), 0o600))
	}
	pin := field(t, out, "client pin")
	s.edit(t, s.vault.config, func(text string) string {
		return settings(text, "relays", fmt.Sprintf("[%q, %q]", s.clientPin, pin))
	})
	return d
}
