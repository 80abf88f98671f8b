package endtoend_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openTaps gives the taps the keys of all servers, so that they see what the relay,
// the issuer and the vault's host see behind TLS.
func (s *system) openTaps(t *testing.T) {
	t.Helper()
	h2 := []string{"h2"}
	for p, name := range map[*tap]string{s.front: "relay", s.door: "issuer"} {
		own := must(tls.LoadX509KeyPair(s.path(name, "tls.crt"), s.path(name, "tls.key")))
		p.inner = &innerTLS{
			&tls.Config{Certificates: []tls.Certificate{own}, NextProtos: h2},
			&tls.Config{InsecureSkipVerify: true, NextProtos: h2},
		}
	}
	vault, relay := certify(t, s.path("vaultd", "tls.key")), certify(t, s.path("relay", "client.key"))
	s.back.inner = &innerTLS{
		&tls.Config{Certificates: []tls.Certificate{vault}, NextProtos: h2},
		&tls.Config{Certificates: []tls.Certificate{relay}, InsecureSkipVerify: true, NextProtos: h2},
	}
}

// privateKey reads an Ed25519 key of a server.
func privateKey(t *testing.T, file string) ed25519.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(must(os.ReadFile(file)))
	if block == nil {
		t.Fatalf("%s is no PEM file", file)
	}
	return must(x509.ParsePKCS8PrivateKey(block.Bytes)).(ed25519.PrivateKey)
}

// certify makes a certificate of a server's key: it is known by the key alone.
func certify(t *testing.T, file string) tls.Certificate {
	t.Helper()
	k := privateKey(t, file)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	check(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}
}

// The passwords of the run.
const (
	firstPassword  = "grüne Sofas am Dienstag"
	secondPassword = "sieben Kamele lesen Zeitung"
	wrongPassword  = "grüne Sofas am Montag"
	bobsPassword   = "zwei Boote auf dem Dach"
)

// A whole run, with everything that can be seen of it from outside kept: what the
// programs print and log, also when they crash; every file; what passes on the wires,
// as it is and without TLS; the pages for the operator. No secret is anywhere but
// where it is by design, and there the search finds it.
//
// The software anchor holds the key of the vault's disk by design; nothing else is
// exempt on the vault's side. The keys k of the records and the channel keys are not
// known here: vaultd.TestDestroyedKeyIsNowhere and vaultd.TestNoSecretsOutside look
// for those.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	s := prepared(t)
	s.openTaps(t)
	s.startAll(t)
	secrets := secretsOfServers(t, s)
	phones := wholeRun(t, s)
	pages := map[string][]byte{}
	for name, d := range map[string]*daemon{"vaultd": s.vault, "relay": s.chat, "issuer": s.issuer} {
		for _, path := range []string{"/metrics", "/status", "/readyz", "/healthz", "/bundle"} {
			_, pages["page:"+name+path] = d.look(path)
		}
	}
	for d, sig := range map[*daemon]syscall.Signal{s.vault: syscall.SIGABRT, s.chat: syscall.SIGQUIT, s.issuer: syscall.SIGABRT} {
		d.end(sig)
		if !bytes.Contains(d.log.Bytes(), []byte("SIG")) {
			t.Errorf("%s left no crash output:\n%s", d.config, d.log.Bytes())
		}
	}
	secrets = append(secrets, secretsOfPeople(t, s, phones)...)
	seen := map[string][]byte{
		"printed": s.printed.Bytes(), "log:vaultd": s.vault.log.Bytes(), "log:relay": s.chat.log.Bytes(), "log:issuer": s.issuer.log.Bytes(),
		"wire:front": s.front.raw.Bytes(), "wire:door": s.door.raw.Bytes(), "wire:back": s.back.raw.Bytes(),
		"inside:front": s.front.plain.Bytes(), "inside:door": s.door.plain.Bytes(), "inside:back": s.back.plain.Bytes(),
	}
	maps.Copy(seen, pages)
	searchAll(t, s, secrets, seen)
}

// searchAll looks everywhere, and for everything.
func searchAll(t *testing.T, s *system, secrets []*secret, seen map[string][]byte) {
	t.Helper()
	search := newSearcher(secrets)
	var places, leaks []string
	for _, place := range slices.Sorted(maps.Keys(seen)) {
		if len(seen[place]) == 0 && !strings.HasPrefix(place, "page:") {
			t.Errorf("%s is empty: nothing was kept", place)
		}
		places = append(places, place)
		leaks = append(leaks, search.in(place, seen[place])...)
	}
	files, more := search.folder(t, filepath.Dir(s.dir))
	for _, leak := range append(leaks, more...) {
		t.Error(leak)
	}
	places = append(places, files...)
	for _, one := range secrets {
		if search.blind(one, places) {
			t.Errorf("the search does not find %s where it is by design: %q", one.name, one.places)
		}
	}
	if len(secrets) < 30 || len(files) < 60 {
		t.Errorf("looked for %d secrets in %d files", len(secrets), len(files))
	}
	t.Logf("looked for %d secrets in %d files and %d other places", len(secrets), len(files), len(seen))
}

// wholeRun is everything that people do.
func wholeRun(t *testing.T, s *system) []*phone {
	t.Helper()
	chats, err := history()
	check(t, err)
	ann, second, thief := s.newPhone(t, "ann@mail.example"), s.newPhone(t, "ann@mail.example"), s.newPhone(t, "ann@mail.example")
	ann.enable(chats, firstPassword)
	thief.guess(ann, wrongPassword).wants(11)
	second.restore(second.path("Chats"), ann, firstPassword, "--enable").wants(0)
	same(t, chats, second.path("Chats"))
	second.run("password", "change", "--password-file", second.secret(secondPassword)).wants(0)
	second.run("password", "check", "--password-file", second.secret(wrongPassword)).wants(11)
	thief.guess(ann, firstPassword).wants(11)
	thief.guess(ann, secondPassword).wants(0)
	bob, other := s.newPhone(t, "bob@mail.example"), s.newPhone(t, "bob@mail.example")
	bob.enable(folder(t), bobsPassword)
	for i := range 9 {
		other.guess(bob, wrongPassword+" "+string(rune('a'+i))).wants(11)
	}
	other.guess(bob, wrongPassword).wants(13)
	other.guess(bob, bobsPassword).wants(13)
	bob.run("vault", "status").wants(0, "DESTROYED")
	return []*phone{ann, second, thief, bob, other}
}

// secretsOfServers are those that the operator's folders hold.
func secretsOfServers(t *testing.T, s *system) (list []*secret) {
	t.Helper()
	home := filepath.Base(s.dir)
	for _, file := range []string{"relay/tls.key", "relay/client.key", "issuer/tls.key", "issuer/issuer.key", "vaultd/tls.key"} {
		list = append(list, &secret{name: "the key of " + file, text: privateKey(t, s.path(file)).Seed(), places: []string{home + "/" + file}})
	}
	for _, file := range []string{"relay/name.key", "issuer/name.key", "issuer/issuer.secret"} {
		raw := must(hex.DecodeString(strings.TrimSpace(string(must(os.ReadFile(s.path(file)))))))
		list = append(list, &secret{name: "the secret of " + file, text: raw, places: []string{home + "/" + file}})
	}
	return append(list, &secret{name: "the epoch key", text: epochKey(t, s), places: []string{home + "/vaultd/anchor/anchor"}})
}

// epochKey is the key of the vault's disk, in the first slot of the software anchor's
// file: eight bytes of a name, a counter, a hash, and the key (spec/replication.md
// §3.1). Both slots hold the same key except while it is replaced.
func epochKey(t *testing.T, s *system) []byte {
	t.Helper()
	const at = 8 + 8 + 32
	return must(os.ReadFile(s.path("vaultd", "anchor", "anchor")))[at : at+32]
}

var (
	jwt     = regexp.MustCompile(`eyJ[\w-]+\.eyJ[\w-]+\.[\w-]{86}`)
	refresh = regexp.MustCompile(`"refresh":"([^"]{20,})"`)
)

// secretsOfPeople are their passwords, codes, keys and tokens.
func secretsOfPeople(t *testing.T, s *system, phones []*phone) (list []*secret) {
	t.Helper()
	for _, password := range []string{firstPassword, secondPassword, wrongPassword, bobsPassword} {
		list = append(list, &secret{name: "the password " + password[:4], text: []byte(password), places: []string{"*/password"}})
	}
	for i, p := range phones {
		for j, code := range s.codes(p.handle) {
			if i == 0 || p.handle != phones[i-1].handle {
				list = append(list, &secret{name: fmt.Sprintf("code %d of %s", j, p.handle), text: []byte(code), places: []string{"log:issuer", "inside:door"}, digits: true})
			}
		}
		list = append(list, secretsOfPhone(t, p)...)
	}
	door := s.door.plain.Bytes()
	for _, m := range refresh.FindAllSubmatch(door, -1) {
		list = append(list, &secret{name: "a refresh token", text: m[1], places: []string{"inside:door", "*/profile/vault.key"}})
	}
	for _, raw := range jwt.FindAll(door, -1) {
		one := &secret{name: "an access token", text: raw, places: []string{"inside:door"}}
		if bytes.Contains(must(base64.RawURLEncoding.DecodeString(string(bytes.Split(raw, []byte("."))[1]))), []byte("keepsake-chatd")) {
			one.places = append(one.places, "inside:front") // in a header, which HTTP/2 may pack
		}
		list = append(list, one)
	}
	return list
}

// secretsOfPhone are those that a profile holds: K, and what the device's keys come
// from.
func secretsOfPhone(t *testing.T, p *phone) (list []*secret) {
	t.Helper()
	if text, err := os.ReadFile(p.path("profile", "key")); err == nil {
		list = append(list, &secret{name: "K of " + p.handle, text: must(hex.DecodeString(strings.TrimSpace(string(text)))), places: []string{"*/profile/key"}})
	}
	var j struct{ Device, Verifier string }
	text, err := os.ReadFile(p.path("profile", "vault.key"))
	if err != nil {
		return list
	}
	check(t, json.Unmarshal(text, &j))
	device := must(hex.DecodeString(j.Device))
	mine := []string{filepath.Base(p.dir) + "/profile/vault.key"}
	list = append(list, &secret{name: "the seed of a device", text: device, places: mine})
	if j.Verifier != "" {
		list = append(list, &secret{name: "the verifier of a password", text: must(hex.DecodeString(j.Verifier)), places: mine})
	}
	for _, info := range []string{"keepsake device sign-in key", "keepsake device authority key"} {
		seed := must(hkdf.Expand(sha256.New, device, info, ed25519.SeedSize))
		list = append(list, &secret{name: "the " + info[9:], text: seed})
	}
	return list
}
