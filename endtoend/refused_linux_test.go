package endtoend_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stand puts a server of the test, which decides about every request, in front of the
// relay, and gives its card.
func (s *system) stand(t *testing.T, decide func(next http.Handler) http.HandlerFunc) (card string) {
	t.Helper()
	at := must(url.Parse("https://" + s.chat.listen))
	own := must(tls.LoadX509KeyPair(s.path("relay", "tls.crt"), s.path("relay", "tls.key")))
	relay := httputil.NewSingleHostReverseProxy(at)
	relay.Transport = &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	server := &http.Server{Handler: decide(relay), TLSConfig: &tls.Config{Certificates: []tls.Certificate{own}}}
	go server.ServeTLS(l, "", "")
	t.Cleanup(func() { server.Close() })
	return s.writeCard(t, "https://"+l.Addr().String())
}

// race lets each device's first sealed request pass, and holds the others until all
// devices have had their answer. A device is a token: it may come with one connection
// or, where the first is lost, with another.
type race struct {
	mu       sync.Mutex
	seen     map[string]bool
	left     int // devices without their answer
	answered chan struct{}
}

func newRace(devices int) *race {
	return &race{seen: map[string]bool{}, left: devices, answered: make(chan struct{})}
}

// came counts a device whose first request has ended.
func (r *race) came() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left--; r.left == 0 {
		close(r.answered)
	}
}

func (r *race) decide(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/v1/vault" {
			next.ServeHTTP(w, q)
			return
		}
		r.mu.Lock()
		device := q.Header.Get("Authorization")
		first := !r.seen[device]
		r.seen[device] = true
		r.mu.Unlock()
		if first {
			defer r.came()
		} else {
			<-r.answered
		}
		next.ServeHTTP(w, q)
	}
}

// Two devices have the right password and race for the last attempt. One attempt is
// evaluated: one device has the key, and the other learns that it is gone. No proof
// passes until both have their answer.
func TestRaceForTheLastAttempt(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	chats := folder(t)
	owner := s.managed(t, "ann")
	owner.enable(chats, "blue sofa on a tuesday")
	thief := s.managed(t, "ann")
	for i := range 9 {
		thief.guess(owner, "sofa number "+string(rune('a'+i))).wants(11)
	}
	owner.wantLeft(1)

	r := newRace(2)
	card := s.stand(t, r.decide)
	var waits []func() *result
	var phones []*phone
	for i := range 2 {
		p := s.managed(t, "ann")
		p.card = card
		made := time.Now().Add(-time.Duration(i) * time.Minute) // a token each, whatever the second
		p.bring(s.token("ann", "keepsake-chatd", made), s.token("ann", "keepsake-vault", made))
		phones = append(phones, p)
		waits = append(waits, p.begin(p.restoring(p.path("out"), owner, "blue sofa on a tuesday")...))
	}
	codes := []int{waits[0]().code, waits[1]().code}
	if first := slices.Index(codes, 0); first < 0 || codes[1-first] != 13 {
		t.Fatalf("ended with %d, want 0 and 13", codes)
	} else {
		same(t, chats, phones[first].path("out"))
		if _, err := os.Stat(phones[1-first].path("out")); err == nil {
			t.Error("the other has the chats too")
		}
	}
}

// Two devices race for the last attempt with wrong passwords: it is the end.
func TestWrongRaceDestroys(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	owner, thief := victim(t, s, "ann")
	for i := range 9 {
		thief.guess(owner, "sofa number "+string(rune('a'+i))).wants(11)
	}
	var waits []func() *result
	for _, p := range []*phone{s.managed(t, "ann"), s.managed(t, "ann"), s.managed(t, "ann")} {
		waits = append(waits, p.begin(p.restoring(p.path("out"), owner, "green sofa on a monday")...))
	}
	for _, wait := range waits {
		wait().wants(13, "after 10 wrong passwords", "only the 64-digit key or a new backup can help")
	}
	thief.restore(thief.path("out"), owner, "blue sofa on a tuesday").wants(13)
}

// Tokens that are not good, at the relay and at the vault: nothing is counted, and the
// person is told to log in.
func TestTokensThatAreNotGood(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	owner, thief := victim(t, s, "ann")
	now, past := time.Now(), time.Now().Add(-61*time.Minute)
	chatd, vault := s.token("ann", "keepsake-chatd", now), s.token("ann", "keepsake-vault", now)
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	for what, tokens := range map[string][2]string{
		"expired for chatd":              {s.token("ann", "keepsake-chatd", past), vault},
		"expired for the vault":          {chatd, s.token("ann", "keepsake-vault", past)},
		"chatd's given to the vault":     {chatd, chatd},
		"the vault's given to chatd":     {vault, vault},
		"not yet valid":                  {chatd, s.token("ann", "keepsake-vault", now.Add(10*time.Minute))},
		"of another key, at the vault":   {chatd, sign(stranger, "ann", "keepsake-vault", now)},
		"for another audience, at chatd": {s.token("ann", "else", now), vault},
	} {
		thief.bring(tokens[0], tokens[1])
		r := thief.guess(owner, "green sofa on a monday")
		if r.code != 16 || !strings.Contains(r.err, "refused") {
			t.Errorf("%s: exit code %d\n%s", what, r.code, r.err)
		}
	}
	owner.wantLeft(10)
	// A good token of one account opens no other.
	thief.bring(s.token("bob", "keepsake-chatd", now), s.token("bob", "keepsake-vault", now))
	thief.guess(owner, "blue sofa on a tuesday").wants(4, "the vault keeps no key for this account")
	// The relay learns the account from one token and the vault from the other: it is
	// the vault's that counts.
	thief.bring(s.token("bob", "keepsake-chatd", now), vault)
	thief.guess(owner, "green sofa on a monday").wants(11, `"left": 9`)
	owner.wantLeft(9)
}

// liar is a relay that shows a bundle of its choice, and counts what else it is asked.
type liar struct {
	mu     sync.Mutex
	bundle []byte
	others int
}

func (l *liar) shows(bundle []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bundle, l.others = bundle, 0
}

func (l *liar) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.others
}

func (l *liar) decide(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		l.mu.Lock()
		bundle, shows := l.bundle, q.URL.Path == "/v1/bundle"
		if !shows {
			l.others++
		}
		l.mu.Unlock()
		if shows {
			w.Write(bundle)
			return
		}
		next.ServeHTTP(w, q)
	}
}

// A relay shows another bundle than the newest one that the device has seen: the
// device stops, and asks nothing.
func TestBundlesThatAreNotBelieved(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	other := prepared(t)
	owner, _ := victim(t, s, "ann")
	foreign, ours := must(os.ReadFile(other.path("vaultd", "bundle"))), must(os.ReadFile(s.path("vaultd", "bundle")))
	edited := bytes.Clone(ours)
	edited[len(edited)/2] ^= 1
	var liar liar
	owner.card = s.stand(t, liar.decide)
	status := append([]string{"vault", "status"}, owner.access()...)
	liar.shows(ours)
	owner.run(status...).wants(0)
	for what, bundle := range map[string][]byte{"another fleet's": foreign, "changed": edited, "cut": ours[:len(ours)-1], "empty": {}} {
		liar.shows(bundle)
		if r := owner.run(status...); r.code != 15 || liar.asked() != 0 {
			t.Errorf("%s: exit code %d after %d requests\n%s", what, r.code, liar.asked(), r.err)
		}
	}
	// Keys change once a week at most, so the test writes down that the device has
	// seen the next bundle. The relay then replays this one.
	state := owner.path("profile", "vault.json")
	seen := must(os.ReadFile(state))
	for what, change := range map[string]map[string]any{
		"older":              {"serial": serialOf(t, seen) + 1},
		"of the same serial": {"digest": strings.Repeat("ab", 32)},
	} {
		liar.shows(ours)
		check(t, os.WriteFile(state, changed(t, seen, change), 0o600))
		if r := owner.run(status...); r.code != 15 || liar.asked() != 0 {
			t.Errorf("%s: exit code %d after %d requests\n%s", what, r.code, liar.asked(), r.err)
		}
	}
	check(t, os.WriteFile(state, seen, 0o600))
	owner.run(status...).wants(0)
}

func serialOf(t *testing.T, state []byte) uint64 {
	t.Helper()
	var j struct{ Serial uint64 }
	check(t, json.Unmarshal(state, &j))
	return j.Serial
}

// changed gives JSON with some of its members replaced.
func changed(t *testing.T, text []byte, change map[string]any) []byte {
	t.Helper()
	var j map[string]any
	check(t, json.Unmarshal(text, &j))
	for name, v := range change {
		j[name] = v
	}
	return must(json.Marshal(j))
}

// The vault's disk is put back to an earlier state: vaultd does not run on it, says
// what to do, and runs again on the newest.
func TestOldDiskPutBack(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	owner, thief := victim(t, s, "ann")
	state, image, newest := s.path("vaultd", "state"), t.TempDir(), t.TempDir()
	s.vault.end(syscall.SIGTERM)
	check(t, os.CopyFS(image, os.DirFS(state)))
	s.startVault(t)
	thief.guess(owner, "green sofa on a monday").wants(11)
	s.vault.end(syscall.SIGKILL)
	check(t, os.CopyFS(newest, os.DirFS(state)))

	s.putBack(t, image)
	s.refusesToRun(t, 6, "rolled back", "do not delete or replace anything", "doc/vaultd.md")
	s.putBack(t, newest)
	cutLog(t, state)
	s.refusesToRun(t, 5, "damaged", "Nothing was repaired and nothing changed")
	s.putBack(t, newest)
	editLog(t, state)
	s.refusesToRun(t, 5, "damaged", "Nothing was repaired and nothing changed")

	s.putBack(t, newest)
	anchor := s.path("vaultd", "anchor")
	check(t, os.Rename(anchor, anchor+".away"))
	s.refusesToRun(t, 4, "the anchor is missing", "mount the folder of the anchor")
	check(t, os.RemoveAll(anchor))
	check(t, os.Rename(anchor+".away", anchor))
	s.startVault(t)
	owner.wantLeft(9)
}

func (s *system) putBack(t *testing.T, image string) {
	t.Helper()
	state := s.path("vaultd", "state")
	check(t, os.RemoveAll(state))
	check(t, os.CopyFS(state, os.DirFS(image)))
}

func (s *system) refusesToRun(t *testing.T, want int, parts ...string) {
	t.Helper()
	code, out := oneShot(t, "vaultd", "serve", "--config", s.vault.config)
	if code != want {
		t.Errorf("vaultd ended with %d, want %d\n%s", code, want, out)
	}
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("vaultd does not say %q\n%s", part, out)
		}
	}
}

// newestLog gives the newest file of the log, and where its last record ends: files
// are made with zeros at their full length.
func newestLog(t *testing.T, state string) (file string, data []byte, end int) {
	t.Helper()
	names := must(filepath.Glob(filepath.Join(state, "log-*")))
	if len(names) == 0 {
		t.Fatal("no log")
	}
	file = slices.Max(names)
	data = must(os.ReadFile(file))
	return file, data, len(bytes.TrimRight(data, "\x00"))
}

// cutLog takes the end of the last record away.
func cutLog(t *testing.T, state string) {
	t.Helper()
	file, _, end := newestLog(t, state)
	check(t, os.Truncate(file, int64(end-40)))
}

// editLog changes a byte in the middle of the log.
func editLog(t *testing.T, state string) {
	t.Helper()
	file, data, end := newestLog(t, state)
	data[end/2] ^= 1
	check(t, os.WriteFile(file, data, 0o600))
}
