package client

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// loginAnswer names a login that waits for its code.
type loginAnswer struct {
	Login string `json:"login"`
}

type grantAnswer struct {
	Refresh string     `json:"refresh"`
	Tokens  tokensJSON `json:"tokens"`
}

// login asks the issuer to send a code, asks the person for it, and exchanges it
// for tokens.
func (l *link) login(ctx context.Context) (*Tokens, error) {
	if l.st.Handle == "" || l.access.Code == nil {
		return nil, ErrLogin
	}
	public := publicOf(l.sec.signIn())
	var started loginAnswer
	request := map[string]string{"handle": l.st.Handle, "key": base64.RawURLEncoding.EncodeToString(public[:])}
	if err := l.relay.post(ctx, "/v1/login", http.StatusAccepted, request, &started); err != nil {
		return nil, loginError(err, ErrLogin)
	}
	id, err := hex.DecodeString(started.Login)
	if err != nil || len(id) != 16 {
		return nil, errors.New("client: the server's answer makes no sense: no login id")
	}
	code, err := l.access.Code(ctx, l.st.Handle)
	if err != nil {
		return nil, err
	}
	code = strings.TrimSpace(code)
	return l.grant(ctx, "/v1/login/"+started.Login, map[string]string{
		"code": code, "proof": l.sign(loginMessage(l.relay.server.issuer(), [16]byte(id), code)),
	}, ErrWrongCode)
}

// refresh exchanges the refresh token for new tokens and the next refresh token.
func (l *link) refresh(ctx context.Context) (*Tokens, error) {
	return l.grant(ctx, "/v1/token", map[string]string{
		"refresh": l.sec.refresh, "proof": l.sign(refreshMessage(l.relay.server.issuer(), l.sec.refresh)),
	}, ErrLogin)
}

// grant keeps the new refresh token before the access tokens are used: the old one
// is worth nothing any more.
func (l *link) grant(ctx context.Context, path string, request map[string]string, denied error) (*Tokens, error) {
	var got grantAnswer
	if err := l.relay.post(ctx, path, http.StatusOK, request, &got); err != nil {
		return nil, loginError(err, denied)
	}
	if got.Refresh == "" || got.Tokens.Chatd == "" || got.Tokens.Vault == "" {
		return nil, errors.New("client: the server's answer makes no sense: a token is missing")
	}
	l.sec.refresh = got.Refresh
	if err := l.c.saveSecrets(l.st, l.sec); err != nil {
		return nil, err
	}
	return &Tokens{got.Tokens.Chatd, got.Tokens.Vault}, nil
}

func loginError(err, denied error) error {
	if errors.Is(err, errToken) {
		return denied
	}
	if e, ok := errors.AsType[*RefusedError](err); ok && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound || e.Status == http.StatusGone) {
		return denied
	}
	return err
}

func (l *link) sign(message []byte) string {
	return base64.RawURLEncoding.EncodeToString(ed25519.Sign(l.sec.signIn(), message))
}

// loginMessage is what a device signs to redeem a code (spec/vault-protocol.md §8.1).
func loginMessage(issuer string, login [16]byte, code string) []byte {
	return append(append(signInMessage("keepsake login", issuer), login[:]...), code...)
}

// refreshMessage is what a device signs to use a refresh token.
func refreshMessage(issuer, refresh string) []byte {
	digest := sha256.Sum256([]byte(refresh))
	return append(signInMessage("keepsake refresh", issuer), digest[:]...)
}

func signInMessage(label, issuer string) []byte {
	b := append([]byte(label), 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(issuer))) // a URL, bounded by maxCard
	return append(b, issuer...)
}

// Login logs in at the built-in issuer, or tries the tokens of another one, and
// makes sure that the vault is the pinned one.
func (c *Client) Login(ctx context.Context, a Access) (*VaultState, error) {
	var st *VaultState
	err := c.vault(ctx, a, func(l *link) error {
		if l.st.TokenFile == "" && l.access.Tokens == nil && !l.fresh {
			t, err := l.login(ctx) // a new session, also where the old one still holds
			if err != nil {
				return err
			}
			if err := l.use(t); err != nil {
				return err
			}
		}
		st = l.st
		return nil
	})
	return st, err
}

// Logout forgets the session. The device keeps its keys, so that it may still
// change its record after the next login. It says whether there was a session.
func (c *Client) Logout() (bool, error) {
	unlock, err := c.lockVault()
	if err != nil {
		return false, err
	}
	defer unlock()
	st, err := c.VaultState()
	if err != nil {
		return false, err
	}
	sec, err := c.loadSecrets(st)
	if err != nil || sec == nil {
		return false, err
	}
	defer sec.wipe()
	had := sec.refresh != "" || st.TokenFile != ""
	sec.refresh, st.TokenFile = "", ""
	if err := c.saveSecrets(st, sec); err != nil {
		return had, err
	}
	return had, c.writeVaultState(st)
}

func (c *Client) lockVault() (unlock func(), err error) {
	unlock, err = waitLock(c.path("vault.lock"))
	if err != nil {
		return nil, fmt.Errorf("locking the profile: %w", err)
	}
	return unlock, nil
}
