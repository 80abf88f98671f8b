package chatd_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/chatd/audit"
	"keepsake.example/chatd/issuer"
	"keepsake.example/internal/clocktest"
	"keepsake.example/token"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func key(c string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte(c), 32))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

const (
	name  = "https://chat.example"
	aud   = "keepsake-chatd"
	vault = "keepsake-vault"
)

var (
	request = bytes.Repeat([]byte("q"), 8192)
	reply   = bytes.Repeat([]byte("a"), 4096)
	phone   = key("p")
)

// vaultd is a played vault: real TLS 1.3 and HTTP/2, with a client certificate
// asked for. What it answers can be exchanged.
type vaultd struct {
	*httptest.Server
	pin     chatd.Pin
	answer  atomic.Pointer[http.HandlerFunc]
	mu      sync.Mutex
	got     [][]byte    // bodies of requests, in order
	clients []chatd.Pin // who sent them
	bundles atomic.Int32
}

func newVaultd(t testing.TB) *vaultd {
	v := &vaultd{}
	v.serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(reply) })
	v.Server = httptest.NewUnstartedServer(v)
	cert := must(chatd.MakeCertificate(key("v"), time.Now()))
	v.pin = chatd.PinOf(cert.Leaf)
	v.EnableHTTP2 = true
	v.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert}
	v.Config.ErrorLog = log.New(io.Discard, "", 0)
	v.StartTLS()
	t.Cleanup(v.Close)
	return v
}

func (v *vaultd) serve(h http.HandlerFunc) { v.answer.Store(&h) }

func (v *vaultd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead && r.URL.Path == "/v1/bundle" {
		return // a probe
	}
	if r.URL.Path == "/v1/bundle" {
		v.bundles.Add(1)
		fmt.Fprintf(w, "bundle %d", v.bundles.Load())
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/request" || r.ProtoMajor != 2 {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	v.mu.Lock()
	v.got = append(v.got, body)
	v.clients = append(v.clients, chatd.PinOf(r.TLS.PeerCertificates[0]))
	v.mu.Unlock()
	(*v.answer.Load())(w, r)
}

func (v *vaultd) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.got)
}

// inbox is a Sender that keeps what it is given.
type inbox struct{ messages chan issuer.Message }

func (b *inbox) Send(_ context.Context, m issuer.Message) error {
	b.messages <- m
	return nil
}

// kit is a chatd with everything round it: real TLS on the loopback.
type kit struct {
	t        testing.TB
	server   *chatd.Server
	c        chatd.Config
	clock    *clocktest.Clock
	vaults   []*vaultd
	inbox    *inbox
	auditLog string
	logs     *logs
	client   *http.Client
	url      string
	admin    string
	stop     context.CancelFunc
	ended    chan error
}

// logs keeps what is logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// newKit serves with both roles and the given number of vaultds.
func newKit(t testing.TB, vaults int, change ...func(*kit)) *kit {
	t.Helper()
	k := prepareKit(t, vaults)
	for _, f := range change {
		f(k)
	}
	k.serve()
	return k
}

func prepareKit(t testing.TB, vaults int) *kit {
	dir := t.TempDir()
	k := &kit{t: t, clock: clocktest.At(time.Now().Truncate(time.Second)), inbox: &inbox{make(chan issuer.Message, 100)}, auditLog: filepath.Join(dir, "audit"), logs: &logs{}}
	own := must(chatd.MakeCertificate(key("c"), time.Now()))
	relay := &chatd.Relay{Certificate: own}
	for range vaults {
		v := newVaultd(t)
		k.vaults = append(k.vaults, v)
		relay.Vaults = append(relay.Vaults, chatd.Vault{URL: v.URL, Pin: v.pin})
	}
	accounts := must(issuer.Open(issuer.Config{
		Name: name, Chatd: aud, Vault: vault, Key: key("i"), Secret: must(issuer.NewSecret(bytes.Repeat([]byte("s"), 32))),
		Store: filepath.Join(dir, "issuer.db"), Allow: []string{"*@example.com"}, Sender: k.inbox, Now: k.clock.Now,
	}))
	t.Cleanup(func() { accounts.Close(context.Background()) })
	relay.Issuers = []token.Issuer{{Name: name, Audience: aud, Algorithms: []string{token.EdDSA}, Keys: must(token.Static(accounts.JWKS()))}}
	lines := must(audit.Open(k.auditLog, audit.Options{}))
	t.Cleanup(func() { lines.Close() })
	front := must(chatd.MakeCertificate(key("f"), time.Now(), "127.0.0.1"))
	k.c = chatd.Config{
		Relay: relay, Issuer: accounts, Audit: lines, Names: must(chatd.NewNameKey(bytes.Repeat([]byte("n"), 32))),
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &front, nil },
		// No probes: what a test sends is all that is sent. Those about probes are in
		// upstream_internal_test.go, with a clock of their own.
		Limits: chatd.Limits{DrainDelay: -1, Tries: 4, Pause: time.Microsecond, ProbeEvery: time.Hour, PassOver: time.Hour},
		Log:    slog.New(slog.NewJSONHandler(k.logs, nil)), Now: k.clock.Now,
	}
	roots := x509.NewCertPool()
	roots.AddCert(front.Leaf)
	k.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	return k
}

func (k *kit) serve() {
	k.t.Helper()
	k.server = must(chatd.New(k.c))
	l := chatd.Listeners{Public: must(net.Listen("tcp", "127.0.0.1:0")), Admin: must(net.Listen("tcp", "127.0.0.1:0"))}
	k.url, k.admin = "https://"+l.Public.Addr().String(), "http://"+l.Admin.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	k.stop, k.ended = stop, make(chan error, 1)
	go func() { k.ended <- k.server.Serve(ctx, l) }()
	k.t.Cleanup(func() {
		k.client.CloseIdleConnections()
		stop()
		<-k.ended
	})
}

// end stops the server and gives what Serve returned.
func (k *kit) end() error {
	k.client.CloseIdleConnections()
	k.stop()
	err := <-k.ended
	k.ended <- err
	return err
}

// token makes an access token for an account.
func (k *kit) token(subject string) string { return k.tokenFor(subject, aud) }

func (k *kit) tokenFor(subject, audience string) string {
	s := must(token.NewSigner(name, key("i")))
	return must(s.Sign(token.Grant{Subject: subject, Audience: audience, Key: public(phone), Issued: k.clock.Now(), Life: 10 * time.Minute}))
}

// got is an answer.
type got struct {
	status int
	header http.Header
	body   []byte
}

// word is the error's word.
func (g *got) word() string {
	var e struct{ Error string }
	if json.Unmarshal(g.body, &e) != nil {
		return "?" + string(g.body)
	}
	return e.Error
}

func (k *kit) do(method, path string, body []byte, header ...string) *got {
	k.t.Helper()
	g, err := k.try(method, path, body, header...)
	if err != nil {
		k.t.Fatal(err)
	}
	return g
}

func (k *kit) try(method, path string, body []byte, header ...string) (*got, error) {
	req := must(http.NewRequest(method, k.url+path, bytes.NewReader(body)))
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return &got{res.StatusCode, res.Header, b}, err
}

const octets = "application/octet-stream"

// send relays the request for an account.
func (k *kit) send(subject string) *got {
	k.t.Helper()
	return k.do(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+k.token(subject))
}

func (k *kit) json(path string, v any) *got {
	k.t.Helper()
	return k.do(http.MethodPost, path, must(json.Marshal(v)), "Content-Type", "application/json")
}

func (k *kit) expect(g *got, status int, word string) {
	k.t.Helper()
	if g.status != status || status >= 400 && g.word() != word {
		k.t.Fatalf("got %d %s, want %d %s", g.status, g.body, status, word)
	}
}

// look asks the admin address.
func (k *kit) look(path string) (int, string) {
	k.t.Helper()
	c := http.Client{Timeout: time.Minute} // nothing here waits for anybody
	res, err := c.Get(k.admin + path)
	if err != nil {
		k.t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode, string(must(io.ReadAll(res.Body)))
}

// audited gives the lines of the audit log, having checked the chain.
func (k *kit) audited() []map[string]any {
	k.t.Helper()
	text := must(os.ReadFile(k.auditLog))
	if _, err := audit.Verify(bytes.NewReader(text), &audit.Head{}); err != nil {
		k.t.Fatal(err)
	}
	var events []map[string]any
	for line := range strings.Lines(string(text)) {
		var l struct{ Event map[string]any }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			k.t.Fatal(err)
		}
		events = append(events, l.Event)
	}
	return events
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func hexOf(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// login goes through a whole login.
func (k *kit) login(handle string) (refresh, chatdToken, vaultToken string) {
	k.t.Helper()
	g := k.json("/v1/login", map[string]string{"handle": handle, "key": b64(public(phone))})
	k.expect(g, http.StatusAccepted, "")
	var started struct{ Login string }
	must(0, json.Unmarshal(g.body, &started))
	code := (<-k.inbox.messages).Code
	return k.tokens(k.json("/v1/login/"+started.Login, k.codeBody(started.Login, code)))
}

func (k *kit) codeBody(login, code string) map[string]string {
	id := [16]byte(must(hex.DecodeString(login)))
	return map[string]string{"code": code, "proof": b64(ed25519.Sign(phone, token.LoginMessage(name, id, code)))}
}

func refreshBody(refresh string) map[string]string {
	return map[string]string{"refresh": refresh, "proof": b64(ed25519.Sign(phone, token.RefreshMessage(name, refresh)))}
}

func (k *kit) tokens(g *got) (refresh, chatdToken, vaultToken string) {
	k.t.Helper()
	k.expect(g, http.StatusOK, "")
	var out struct {
		Refresh string
		Tokens  struct{ Chatd, Vault string }
		Expires int64
	}
	must(0, json.Unmarshal(g.body, &out))
	if out.Expires != k.clock.Now().Add(10*time.Minute).Unix() {
		k.t.Errorf("expires %d", out.Expires)
	}
	return out.Refresh, out.Tokens.Chatd, out.Tokens.Vault
}

// pemPair makes a certificate and its key as files have them.
func pemPair(c string) (cert, keyText []byte) {
	pair := must(chatd.MakeCertificate(key(c), time.Now(), "localhost"))
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key(c)))})
}
