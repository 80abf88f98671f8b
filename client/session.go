package client

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"keepsake.example/vaultapi"
)

// Tokens are two access tokens for one account, each good for one audience only:
// chatd sees the first, and the second lies sealed in the request. It prints as a
// fixed word.
type Tokens struct {
	Relay, Vault string
}

// String returns a fixed word, never the tokens.
func (Tokens) String() string { return redacted }

// GoString returns a fixed word, never the tokens.
func (Tokens) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (Tokens) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the tokens.
func (Tokens) LogValue() slog.Value { return slog.StringValue(redacted) }

// A TokenSource is a messenger's own way to access tokens, in place of the issuer
// that chatd brings.
type TokenSource interface {
	// Tokens gives tokens that are fresh: after one was refused it is asked once
	// more. ErrLogin means that the person has to log in again.
	Tokens(ctx context.Context) (*Tokens, error)
}

// Access is how the person of a call is let in.
type Access struct {
	Server *Server // nil: the one that the profile knows
	// Handle is who the person is at the built-in issuer, "" for whoever the
	// profile knows.
	Handle string
	// Code asks the person for the one-time code that was sent to handle. nil
	// means that there is nobody to ask: ErrLogin then, where one is needed.
	Code func(ctx context.Context, handle string) (string, error)
	// Tokens, or TokenFile, take the place of the built-in issuer.
	Tokens    TokenSource
	TokenFile string // an absolute path, as for [FileTokens]
	// AcceptInsecure goes on with a fleet that says of itself that it does not
	// protect as it should.
	AcceptInsecure bool
	// Leave gives up the record that this device has at another vault than Server's,
	// one that is lost for good. It is forgotten once Server's has shown its bundle,
	// without being asked: a vault that still runs goes on answering attempts.
	Leave bool
	// Secrets is where a new device keeps what it needs for the vault: InKeyring,
	// InFile, or "" for the keyring if there is one.
	Secrets string
}

// FileTokens reads tokens from a file that the operator's own program keeps fresh:
// JSON, {"chatd": "...", "vault": "..."}. It must be readable by its owner only.
type FileTokens string

// Tokens reads the file. A missing one is ErrLogin.
func (path FileTokens) Tokens(context.Context) (*Tokens, error) {
	if err := CheckPrivate(string(path)); err != nil {
		return nil, fmt.Errorf("%w: the token file: %w", ErrLogin, err)
	}
	data, err := readLimited(string(path))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	var t tokensJSON
	if err := decodeStrictly(data, &t); err != nil || t.Chatd == "" || t.Vault == "" {
		return nil, fmt.Errorf(`%w: the token file must be {"chatd": "...", "vault": "..."}`, ErrLogin)
	}
	return &Tokens{t.Chatd, t.Vault}, nil
}

type tokensJSON struct {
	Chatd string `json:"chatd"`
	Vault string `json:"vault"`
}

// CheckPrivate refuses a file that others than its owner can read.
func CheckPrivate(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if readableByOthers(info) {
		return fmt.Errorf("others can read %s: chmod 600 it", path)
	}
	return nil
}

// tokens gives tokens, from the source of the call, the profile's token file, or the
// built-in issuer.
func (l *link) tokens(ctx context.Context) (*Tokens, error) {
	switch {
	case l.access.Tokens != nil:
		return l.access.Tokens.Tokens(ctx)
	case l.st.TokenFile != "":
		return FileTokens(l.st.TokenFile).Tokens(ctx)
	case l.sec.refresh != "":
		t, err := l.refresh(ctx)
		if !errors.Is(err, ErrLogin) || l.access.Code == nil {
			return t, err
		}
	}
	return l.login(ctx)
}

// identity is what a token says of itself. It is not verified: the vault does that,
// and a wrong account here opens no envelope.
type identity struct {
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	Confirm struct {
		Thumbprint string `json:"jkt"`
	} `json:"cnf"`
}

func readIdentity(token string) (*identity, error) {
	parts := strings.Split(token, ".")
	if len(token) > vaultapi.MaxToken || len(parts) != 3 {
		return nil, fmt.Errorf("%w: not an access token", ErrLogin)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("%w: not an access token", ErrLogin)
	}
	var id identity
	if err := json.Unmarshal(payload, &id); err != nil {
		return nil, fmt.Errorf("%w: not an access token", ErrLogin)
	}
	return &id, nil
}

func (id *identity) account() (vaultapi.Account, error) {
	a, err := vaultapi.NewAccount(id.Issuer, id.Subject)
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrLogin, err)
	}
	return a, nil
}

// thumbprint is the RFC 7638 SHA-256 thumbprint of an Ed25519 key.
func thumbprint(key [32]byte) [32]byte {
	return sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(key[:]) + `"}`))
}

// bound says whether a token is bound to this device's key. One that is bound to
// another's is of no use here.
func (id *identity) bound(key ed25519.PrivateKey) (bool, error) {
	if id.Confirm.Thumbprint == "" {
		return false, nil
	}
	mine := thumbprint(publicOf(key))
	if id.Confirm.Thumbprint != base64.RawURLEncoding.EncodeToString(mine[:]) {
		return false, fmt.Errorf("%w: the access token is bound to another device's key", ErrLogin)
	}
	return true, nil
}
