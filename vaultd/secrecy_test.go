package vaultd_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// admin asks the operator's listener.
func (w *world) admin(method, path string) *httptest.ResponseRecorder {
	r := httptest.NewRecorder()
	w.server.Admin().ServeHTTP(r, httptest.NewRequest(method, path, nil))
	return r
}

// secretsOf are the bytes that nobody outside may see, by what they are.
func secretsOf(p *person, tokens ...string) map[string][]byte {
	s := map[string][]byte{
		"name": []byte(p.name), "account": p.account[:], "record id": p.record[:], "unlock key": p.unlock.Seed(), "envelope": []byte(envelopeText),
	}
	p.k.Use(func(k *[32]byte) { s["k"] = bytes.Clone(k[:]) })
	for _, raw := range tokens {
		s["token"] = []byte(raw[:60])
	}
	return s
}

// find reports every form of a secret in what somebody else can read.
func find(t *testing.T, where string, text []byte, secrets map[string][]byte) {
	t.Helper()
	for name, s := range secrets {
		for _, form := range []string{string(s), hex.EncodeToString(s), strings.ToUpper(hex.EncodeToString(s)), base64.StdEncoding.EncodeToString(s)[:8], base64.RawURLEncoding.EncodeToString(s)[:8]} {
			if bytes.Contains(text, []byte(form)) {
				t.Errorf("%s shows the %s", where, name)
				break
			}
		}
	}
}

func searchFolder(t *testing.T, dir string, secrets map[string][]byte) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a vault that runs takes files away
		}
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		find(t, path, data, secrets)
		files++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// A whole run, and then nothing of it in logs, metrics, status or on the disk.
func TestNoSecretsOutside(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice-of-wonderland", "right")
	raw := p.token()
	secrets := secretsOf(p, raw)
	g := newGuess("right")
	wants(t, p.ask(g.body), vaultapi.OK)
	wants(t, p.ask(p.prove(g)), vaultapi.OK)
	wants(t, p.status(raw), vaultapi.OK)
	wants(t, p.status(raw+"x"), vaultapi.Unauthorised)
	w.keep(8 * day)
	if r := w.admin("POST", "/checkpoint"); r.Code != 204 {
		t.Fatalf("checkpoint: %d %s", r.Code, r.Body)
	}
	wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	for _, path := range []string{"/metrics", "/status", "/bundle"} {
		find(t, path, w.admin("GET", path).Body.Bytes(), secrets)
	}
	if n := searchFolder(t, w.dir, secrets); n < 3 {
		t.Errorf("searched %d files", n)
	}
	w.stop()
	find(t, "the log", w.log.Bytes(), secrets)
	if !bytes.Contains(w.log.Bytes(), []byte("made a channel key")) {
		t.Errorf("the log says nothing at all: %s", w.log)
	}
}

// The search finds what is there.
func TestSearchFinds(t *testing.T) {
	secret := []byte("sixteen secret b")
	for _, text := range []string{"a line with sixteen secret b in it", hex.EncodeToString(secret), base64.StdEncoding.EncodeToString(secret)} {
		inner := new(testing.T)
		find(inner, "a text", []byte(text), map[string][]byte{"secret": secret})
		if !inner.Failed() {
			t.Errorf("found nothing in %q", text)
		}
	}
}

// Metrics do not tell how a request ended: after any two outcomes that the relay
// must not tell apart they have changed in the same way.
func TestMetricsTellNoOutcome(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	text := w.admin("GET", "/metrics").Body.String()
	for _, word := range []string{"wrong", "destroyed", "tombstone", "attempt", "conflict", "evaluat"} {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") && strings.Contains(line, word) {
				t.Errorf("a metric of %q: %s", word, line)
			}
		}
	}
	if !strings.Contains(text, `vaultd_connections_refused_total{reason="address"} 0`) {
		t.Error("refused connections are not counted from the start: an alarm on their rise misses the first")
	}
	if !strings.Contains(text, "vaultd_accounts 1000\n") {
		t.Error("the number of accounts is not rounded up")
	}
	if !strings.Contains(text, `vaultd_insecure{choice="insecure_software_anchor"} 1`) {
		t.Error("no metric says that the anchor is insecure")
	}
	wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
	for _, name := range []string{"vaultd_requests_total", "vaultd_answer_seconds_count", "vaultd_commit_seconds_count", "vaultd_ready 1", "vaultd_anchor_counter", "vaultd_tokens_refused_total", "vaultd_busy_total"} {
		if !strings.Contains(text, name) {
			t.Errorf("no metric %s", name)
		}
	}
}

// Rule 4: after the tenth wrong password k is nowhere: not in the objects of the
// process, and not on the disk, whose old key is gone after the checkpoint.
func TestDestroyedKeyIsNowhere(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	masked := mask(p)
	if !inHeap(t, masked) {
		t.Fatal("the search does not find the k of a live record")
	}
	p.exhaust("wrong")
	w.clock.advance(2 * time.Hour)
	w.keep(0)
	if r := w.admin("POST", "/checkpoint"); r.Code != 204 {
		t.Fatalf("checkpoint: %d %s", r.Code, r.Body)
	}
	w.http.CloseIdleConnections()
	if inHeap(t, masked) {
		t.Error("k is still in an object of the process")
	}
}

// regressions.md: a panic that leaks memory. It ends one request, with nothing of
// its value in the answer or the log, and keeps no place.
func TestRegressionPanicShowsNothing(t *testing.T) {
	w := newWorld(t, func(c *vaultd.Config) { c.Limits.Concurrent, c.Limits.PerAccount = 1, 1 })
	p := w.registered("alice", "right")
	b := &between{before: func() error { panic("the secret value") }}
	w.wrap(b)
	q := p.question(newGuess("right").body)
	for range 3 {
		if status, body, _ := w.post(q.bytes); status != 503 || string(body) != "unavailable\n" {
			t.Errorf("a panic was answered HTTP %d %q", status, body)
		}
	}
	b.before = nil
	wants(t, w.deliver(q), vaultapi.OK)
	w.stop()
	if text := w.log.String(); strings.Contains(text, "secret value") || !strings.Contains(text, "internal error") || !strings.Contains(text, "Propose") {
		t.Errorf("the log of a panic: %s", text)
	}
}

// What a command brought is taken back once the state has its own copy.
func TestCommandsAreWiped(t *testing.T) {
	p := &vaultapi.ProposeBody{Key: vaultapi.NewSecret(&[32]byte{1})}
	c := &vault.Command{IdentitySeed: vault.Seed{1}, NamingKey: vault.Seed{1}, ChannelKey: vault.ChannelKey{Seed: vault.Seed{1}}, Body: p}
	key := p.Key
	vaultd.WipeCommand(c)
	if c.IdentitySeed != (vault.Seed{}) || c.NamingKey != (vault.Seed{}) || c.ChannelKey.Seed != (vault.Seed{}) || key.Equal(key) {
		t.Error("a secret of the command is left")
	}
}

// mask hides a person's k, so that the test's own copy is not what is found, and
// takes what is left of it away from the person.
func mask(p *person) []byte {
	masked := make([]byte, 32)
	p.k.Use(func(k *[32]byte) {
		for i, b := range k {
			masked[i] = b ^ 0xa5
		}
	})
	return masked
}

// inHeap says whether the unmasked bytes are in any object that is alive.
func inHeap(t *testing.T, masked []byte) bool {
	t.Helper()
	runtime.GC()
	runtime.GC()
	f, err := os.CreateTemp(t.TempDir(), "heap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	debug.WriteHeapDump(f.Fd())
	dump := must(os.ReadFile(f.Name()))
	for i := range dump {
		dump[i] ^= 0xa5 // the needle stays masked
	}
	return bytes.Contains(dump, masked)
}
