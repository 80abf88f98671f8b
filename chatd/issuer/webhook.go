package issuer

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
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// SignatureHeader is the header of a webhook's request with its signature:
// "t=<Unix seconds>,v1=<HMAC-SHA256 in hexadecimal>". The MAC is under the shared
// secret and over the seconds as in the header, a dot, and the body.
const SignatureHeader = "Keepsake-Signature"

// Webhook says where codes are posted, as {"handle":…,"code":…,"expires":<Unix
// seconds>}; the receiver takes them on (SMS, push) and answers with a status
// from 200 to 299. It must check the signature and that the time is close, and
// must not keep the code.
type Webhook struct {
	URL    string // https
	Secret []byte // at least 32 bytes
	Roots  *x509.CertPool
	Now    func() time.Time
}

type webhookSender struct {
	c      Webhook
	client *http.Client
}

// NewWebhook makes a Sender that posts codes.
func NewWebhook(c Webhook) (Sender, error) {
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("issuer: a webhook has an https URL")
	}
	if len(c.Secret) < 32 {
		return nil, errors.New("issuer: a webhook's secret has 32 bytes at least")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &webhookSender{c, &http.Client{
		Timeout: sendTimeout / 3,
		Transport: &http.Transport{
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.Roots},
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 16 << 10,
		},
		// A redirect would take the code somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Send posts the code once.
func (w *webhookSender) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(map[string]any{"handle": m.Handle, "code": m.Code, "expires": m.Expires.Unix()})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.c.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(SignatureHeader, w.sign(strconv.FormatInt(w.c.Now().Unix(), 10), body))
	res, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("calling the webhook: %w", err)
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("issuer: the webhook answered %d", res.StatusCode)
	}
	return nil
}

func (w *webhookSender) sign(seconds string, body []byte) string {
	m := hmac.New(sha256.New, w.c.Secret)
	m.Write([]byte(seconds + "."))
	m.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(m.Sum(nil))
}
