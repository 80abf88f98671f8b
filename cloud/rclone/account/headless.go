package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/lib/oauthutil"
)

const headlessText = `On a computer or phone with a browser, open this address and sign in:

  %s

At the end the browser is sent to an address that begins with http://127.0.0.1:53682/ or
http://localhost:53682/ and says that it cannot reach it: that is right. Copy that whole
address from the browser's address line and paste it here. It is good for a few minutes, and
for this sign-in only. (What "rclone authorize" prints can be pasted here as well.)

`

// headless signs in with a browser elsewhere. rclone's listener waits on this
// computer as ever; the person carries the redirect to it by hand.
func (f *flow) headless(ctx context.Context, answers configmap.Simple) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	carried := make(chan carry, 1)
	oauthutil.OpenURL = func(local string) error {
		go func() {
			c := f.carry(inner, local)
			carried <- c
			if c.err != nil || c.blob != "" {
				cancel() // the listener will not be asked any more
			}
		}()
		return nil
	}
	err := f.configure(inner, answers)
	cancel()
	select {
	case c := <-carried:
		return f.carried(ctx, answers, c, err)
	default:
		return err // the flow ended before or behind the browser
	}
}

// carry is what became of the paste.
type carry struct {
	blob string // what "rclone authorize" printed
	err  error
}

// carried goes on after the flow ended with err.
func (f *flow) carried(ctx context.Context, answers configmap.Simple, c carry, err error) error {
	switch {
	case c.err != nil:
		return c.err
	case c.blob == "":
		return err
	}
	answers = maps.Clone(answers)
	answers["config_is_local"], answers["config_token"] = "false", c.blob
	return f.configure(ctx, answers)
}

// carry shows the provider's address, and brings the answer to the listener.
func (f *flow) carry(ctx context.Context, local string) carry {
	address, err := redirected(ctx, local)
	if err != nil {
		return carry{err: err}
	}
	f.Tell(fmt.Sprintf(headlessText, address))
	for range maxTries {
		s, err := f.AskSecret(ctx, "Paste it here (nothing is shown): ")
		if err != nil {
			return carry{err: err}
		}
		text := strings.TrimSpace(s.reveal())
		s.Wipe()
		if isBlob(text) {
			return carry{blob: text}
		}
		query, ok := answerIn(text)
		if !ok {
			f.Tell("That is not the address: it has no code in it.\n")
			continue
		}
		return carry{err: deliver(ctx, local, query)}
	}
	return carry{err: ErrUnanswered}
}

// isBlob says whether the text is a token (JSON), or base64 of options as
// "rclone authorize" prints them.
func isBlob(text string) bool {
	if strings.HasPrefix(text, "{") {
		_, ok := parseToken(text)
		return ok
	}
	return configmap.Simple{}.Decode(text) == nil && len(text) > 16
}

// answerIn takes the query out of the address the browser ended at; a provider's
// refusal is an answer too.
func answerIn(text string) (url.Values, bool) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, false
	}
	q := u.Query()
	return q, q.Has("state") && (q.Has("code") || q.Has("error"))
}

// loopback asks rclone's listener. It follows nothing: a redirect is an answer.
var loopback = &http.Client{
	Timeout: 30 * time.Second,
	Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// redirected gives the provider's address, which rclone's listener redirects to.
func redirected(ctx context.Context, local string) (string, error) {
	resp, err := get(ctx, local)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	address, err := resp.Location()
	if err != nil {
		return "", fmt.Errorf("account: asking for the provider's address: %w", err)
	}
	return address.String(), nil
}

// deliver gives the listener the answer the browser could not bring. rclone closes its
// listener as soon as it has the answer, sometimes before its page is sent
// (oauthutil.authServer): what the sign-in came to, the flow says.
func deliver(ctx context.Context, local string, query url.Values) error {
	u, err := url.Parse(local)
	if err != nil {
		return fmt.Errorf("account: %w", err)
	}
	u.Path, u.RawQuery = "/", query.Encode()
	resp, err := get(ctx, u.String())
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	if err != nil {
		return err
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	return resp.Body.Close()
}

// get asks the listener. What it asks holds a code: errors do not show it.
func get(ctx context.Context, address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("account: asking the listener of the sign-in: not an address")
	}
	resp, err := loopback.Do(req)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = fmt.Errorf("account: asking the listener of the sign-in: %w", e.Err)
	}
	return resp, err
}
