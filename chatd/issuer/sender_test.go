package issuer_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"keepsake.example/chatd/issuer"
	"keepsake.example/internal/clocktest"
)

// received is a mail as a server got it.
type received struct {
	from, to string
	overTLS  bool
	text     string
}

// mailServer is a real SMTP server (emersion/go-smtp) on the loopback.
type mailServer struct {
	port  int
	roots *x509.CertPool
	got   chan received
	fail  error // what it answers to every recipient
}

func newMailServer(t *testing.T, withTLS bool) *mailServer {
	t.Helper()
	web := httptest.NewUnstartedServer(nil) // for its certificate
	web.StartTLS()
	t.Cleanup(web.Close)
	m := &mailServer{roots: x509.NewCertPool(), got: make(chan received, 10)}
	m.roots.AddCert(web.Certificate())
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &mailSession{server: m, conn: c}, nil }))
	s.Domain = "mail.example.com"
	s.ErrorLog = quiet{}
	if withTLS {
		s.TLSConfig = &tls.Config{Certificates: web.TLS.Certificates}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.port = l.Addr().(*net.TCPAddr).Port
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); l.Close(); <-done }) // Close knows no listener before Serve has begun
	return m
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

type mailSession struct {
	server *mailServer
	conn   *smtp.Conn
	mail   received
}

func (s *mailSession) Reset()        {}
func (s *mailSession) Logout() error { return nil }
func (s *mailSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail.from = from
	return nil
}

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mail.to = to
	return s.server.fail
}

func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.mail.text = string(text)
	_, s.mail.overTLS = s.conn.TLSConnectionState()
	s.server.got <- s.mail
	return err
}

func (m *mailServer) config() issuer.SMTP {
	return issuer.SMTP{Host: "127.0.0.1", Port: m.port, Roots: m.roots, From: "Example Chat <codes@example.com>", Service: "Example Chat", Now: clocktest.At(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)).Now}
}

func message() issuer.Message {
	return issuer.Message{Handle: "ann@example.com", Code: "12345678", Expires: clocktest.At(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)).Now().Add(10 * time.Minute)}
}

func TestMailHasTheCodeAndGoesOverTLS(t *testing.T) {
	m := newMailServer(t, true)
	s := must(issuer.NewSMTP(m.config()))
	if err := s.Send(context.Background(), message()); err != nil {
		t.Fatal(err)
	}
	got := <-m.got
	if got.from != "codes@example.com" || got.to != "ann@example.com" || !got.overTLS {
		t.Errorf("%+v", got)
	}
	parsed := must(mail.ReadMessage(strings.NewReader(got.text)))
	body := string(must(io.ReadAll(parsed.Body)))
	if !strings.Contains(body, "1234 5678") || !strings.Contains(body, "10 minutes") || strings.Contains(parsed.Header.Get("Subject"), "1234") {
		t.Errorf("subject %q, body %s", parsed.Header.Get("Subject"), body)
	}
	if parsed.Header.Get("Auto-Submitted") != "auto-generated" || parsed.Header.Get("To") != "<ann@example.com>" {
		t.Errorf("header %v", parsed.Header)
	}
}

func TestLoginByMailFromEndToEnd(t *testing.T) {
	m := newMailServer(t, true)
	k := newKit(t, func(c *issuer.Config) { c.Sender = must(issuer.NewSMTP(m.config())) })
	id, err := k.Login(context.Background(), home, "ann@example.com", public(phone))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut((<-m.got).text, "code for Example Chat is\r\n\r\n    ")
	if _, err := k.redeem(id, after[:4]+after[5:9], phone); err != nil {
		t.Error(err)
	}
}

func TestMailIsNotSentInTheClear(t *testing.T) {
	m := newMailServer(t, false)
	if err := must(issuer.NewSMTP(m.config())).Send(context.Background(), message()); err == nil {
		t.Error("sent without TLS")
	}
	c := m.config()
	c.InsecurePlaintext = true
	if err := must(issuer.NewSMTP(c)).Send(context.Background(), message()); err != nil {
		t.Error(err)
	}
}

func TestMailGoesToTheTrustedServerOnly(t *testing.T) {
	m := newMailServer(t, true)
	c := m.config()
	c.Roots = x509.NewCertPool()
	if err := must(issuer.NewSMTP(c)).Send(context.Background(), message()); err == nil || len(m.got) != 0 {
		t.Errorf("sent to a stranger: %v", err)
	}
}

func TestMailErrorsHoldNoAddressAndNoCode(t *testing.T) {
	m := newMailServer(t, true)
	m.fail = &smtp.SMTPError{Code: 550, Message: "no mailbox ann@example.com here"}
	err := must(issuer.NewSMTP(m.config())).Send(context.Background(), message())
	if err == nil || strings.Contains(err.Error(), "ann") || strings.Contains(err.Error(), "1234") {
		t.Errorf("got %v", err)
	}
}

func TestMailGoesToOneAddressOnly(t *testing.T) {
	m := newMailServer(t, true)
	s := must(issuer.NewSMTP(m.config()))
	for _, handle := range []string{"ann@example.com,eve@example.com", "Ann<eve@example.com>", "ann", "<ann@example.com>"} {
		msg := message()
		msg.Handle = handle
		if err := s.Send(context.Background(), msg); err == nil {
			t.Errorf("sent to %q", handle)
		}
	}
	if len(m.got) != 0 {
		t.Errorf("got %+v", <-m.got)
	}
}

var webhookSecret = bytes.Repeat([]byte("w"), 32)

// hook is the receiver of a webhook.
func hook(t *testing.T, h http.HandlerFunc) issuer.Webhook {
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return issuer.Webhook{URL: s.URL + "/codes", Secret: webhookSecret, Roots: roots, Now: clocktest.At(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)).Now}
}

func TestWebhookIsSigned(t *testing.T) {
	var body []byte
	var signature string
	c := hook(t, func(w http.ResponseWriter, r *http.Request) {
		body = must(io.ReadAll(r.Body))
		signature = r.Header.Get(issuer.SignatureHeader)
		w.WriteHeader(http.StatusAccepted)
	})
	if err := must(issuer.NewWebhook(c)).Send(context.Background(), message()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Handle, Code string
		Expires      int64
	}
	if err := json.Unmarshal(body, &got); err != nil || got.Handle != "ann@example.com" || got.Code != "12345678" || got.Expires != message().Expires.Unix() {
		t.Errorf("%s", body)
	}
	seconds := strconv.FormatInt(clocktest.At(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)).Now().Unix(), 10)
	m := hmac.New(sha256.New, webhookSecret)
	m.Write([]byte(seconds + "." + string(body)))
	if want := "t=" + seconds + ",v1=" + hex.EncodeToString(m.Sum(nil)); signature != want {
		t.Errorf("signature %s, want %s", signature, want)
	}
}

func TestWebhookFailures(t *testing.T) {
	for what, h := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"cut off": func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
	} {
		if err := must(issuer.NewWebhook(hook(t, h))).Send(context.Background(), message()); err == nil || strings.Contains(err.Error(), "1234") {
			t.Errorf("%s: %v", what, err)
		}
	}
	good := hook(t, func(http.ResponseWriter, *http.Request) {})
	for what, change := range map[string]func(*issuer.Webhook){
		"plain http":   func(c *issuer.Webhook) { c.URL = "http://hook.example" },
		"short secret": func(c *issuer.Webhook) { c.Secret = c.Secret[:31] },
	} {
		c := good
		change(&c)
		if _, err := issuer.NewWebhook(c); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

func TestTerminalPrintsTheCodeUnderItsInsecureName(t *testing.T) {
	var out strings.Builder
	if err := (&issuer.InsecureTerminal{W: &out}).Send(context.Background(), message()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "insecure-terminal: the code for ann@example.com is 12345678 until 12:10:00\n" {
		t.Errorf("%q", got)
	}
}

// failing is a Sender that cannot send.
type failing struct{}

var errSending = errors.New("no way")

func (failing) Send(context.Context, issuer.Message) error { return errSending }

func TestFailedSendingIsToldToTheOperatorNotToTheClient(t *testing.T) {
	told := make(chan error, 1)
	k := newKit(t, func(c *issuer.Config) { c.Sender = failing{}; c.Sent = func(err error) { told <- err } })
	if _, err := k.Login(context.Background(), home, "ann@example.com", public(phone)); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, errSending) {
		t.Error(err)
	}
}
