package client

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"keepsake.example/internal/durable"
	"keepsake.example/password"
)

// secretsFile holds the secrets of the password path when the keyring does not.
const secretsFile = "vault.key"

const redacted = "client(redacted)"

// vaultSecrets are kept where K is kept: in the system's keyring, or in a file that
// only the user can read.
//
// Whoever has them can change or delete the record that the vault keeps for this
// account, can ask the vault as this person, and so use up the attempts, and can try
// guesses at the password against the verifier. He has K as well, from beside them.
type vaultSecrets struct {
	device   [ed25519.SeedSize]byte // what the device's two keys come from
	refresh  string                 // token of the built-in issuer; "" when logged out
	verifier []byte                 // of the password that is set; nil when not known
	next     []byte                 // of the password that is on its way
}

// String returns a fixed word, never the secrets.
func (vaultSecrets) String() string { return redacted }

// GoString returns a fixed word, never the secrets.
func (vaultSecrets) GoString() string { return redacted }

// Format writes a fixed word for every verb and flag.
func (vaultSecrets) Format(f fmt.State, verb rune) { io.WriteString(f, redacted) }

// LogValue returns a fixed word, never the secrets.
func (vaultSecrets) LogValue() slog.Value { return slog.StringValue(redacted) }

func (s *vaultSecrets) wipe() {
	clear(s.device[:])
	clear(s.verifier)
	clear(s.next)
}

type secretsJSON struct {
	Version  int    `json:"version"`
	Device   string `json:"device"`
	Refresh  string `json:"refresh,omitempty"`
	Verifier string `json:"verifier,omitempty"`
	Next     string `json:"next_verifier,omitempty"`
}

func newSecrets() *vaultSecrets {
	s := &vaultSecrets{}
	rand.Read(s.device[:]) // never fails (crypto/rand)
	return s
}

// The device has two keys, so that what it signs for the server can never be taken
// for a word to the vault.
const (
	infoSignIn    = "keepsake device sign-in key"
	infoAuthority = "keepsake device authority key"
)

func (s *vaultSecrets) key(info string) ed25519.PrivateKey {
	seed, err := hkdf.Expand(sha256.New, s.device[:], info, ed25519.SeedSize)
	if err != nil {
		panic("client: internal error: " + err.Error()) // only for a longer output
	}
	defer clear(seed)
	return ed25519.NewKeyFromSeed(seed)
}

// signIn is the key that access tokens are bound to.
func (s *vaultSecrets) signIn() ed25519.PrivateKey { return s.key(infoSignIn) }

// authority is the device key of the vault's record (spec/vault-protocol.md §10.1).
func (s *vaultSecrets) authority() ed25519.PrivateKey { return s.key(infoAuthority) }

func publicOf(k ed25519.PrivateKey) [32]byte { return [32]byte(k.Public().(ed25519.PublicKey)) }

func encodeSecrets(s *vaultSecrets) ([]byte, error) {
	return json.Marshal(secretsJSON{1, hex.EncodeToString(s.device[:]), s.refresh, hex.EncodeToString(s.verifier), hex.EncodeToString(s.next)})
}

// errSecrets means that what is kept in the place of the secrets is damaged.
var errSecrets = fmt.Errorf("%w: what this device needs to speak to the vault is damaged", ErrLogin)

func decodeSecrets(data []byte) (*vaultSecrets, error) {
	var j secretsJSON
	if err := decodeStrictly(data, &j); err != nil || j.Version != 1 || !isHex(j.Device, 64) || len(j.Refresh) > maxJSON {
		return nil, errSecrets
	}
	s := &vaultSecrets{refresh: j.Refresh}
	if _, err := hex.Decode(s.device[:], []byte(j.Device)); err != nil {
		return nil, errSecrets
	}
	for _, v := range []struct {
		text string
		to   *[]byte
	}{{j.Verifier, &s.verifier}, {j.Next, &s.next}} {
		b, err := hex.DecodeString(v.text)
		if err != nil || len(b) != 0 && len(b) != password.VerifierSize {
			return nil, errSecrets
		}
		if len(b) != 0 {
			*v.to = b
		}
	}
	if again, err := encodeSecrets(s); err != nil || !bytes.Equal(again, bytes.TrimSuffix(data, []byte("\n"))) {
		return nil, errSecrets
	}
	return s, nil
}

func (c *Client) saveSecrets(st *VaultState, s *vaultSecrets) error {
	text, err := encodeSecrets(s)
	if err != nil {
		return fmt.Errorf("keeping the secrets of this device: %w", err)
	}
	defer clear(text)
	if st.Secrets == InKeyring {
		if c.s.Keyring == nil {
			return ErrKeyring
		}
		return c.s.Keyring.Set(keyringService, st.Name+" vault", string(text))
	}
	if err := durable.WriteFile(c.path(secretsFile), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("keeping the secrets of this device: %w", err)
	}
	return nil
}

// loadSecrets gives the secrets; nil when there are none.
func (c *Client) loadSecrets(st *VaultState) (*vaultSecrets, error) {
	text, err := c.secretsText(st)
	if errors.Is(err, ErrKeyMissing) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	return decodeSecrets(text)
}

func (c *Client) secretsText(st *VaultState) ([]byte, error) {
	if st.Secrets != InKeyring {
		return readLimited(c.path(secretsFile))
	}
	if c.s.Keyring == nil {
		return nil, ErrKeyring
	}
	text, err := c.s.Keyring.Get(keyringService, st.Name+" vault")
	return []byte(text), err
}

func (c *Client) removeSecrets(st *VaultState) error {
	var err error
	if st.Secrets == InKeyring {
		if c.s.Keyring == nil {
			return ErrKeyring
		}
		err = c.s.Keyring.Delete(keyringService, st.Name+" vault")
	} else {
		err = os.Remove(c.path(secretsFile))
	}
	if err == nil || errors.Is(err, ErrKeyMissing) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("forgetting the secrets of this device: %w", err)
}

// chooseSecrets keeps new secrets in the keyring when they can be had back from
// there, else in a file; want is as for the key.
func (c *Client) chooseSecrets(st *VaultState, want string, s *vaultSecrets) error {
	if want != InFile && c.s.Keyring != nil {
		st.Secrets = InKeyring
		err := c.saveSecrets(st, s)
		if err == nil {
			var back *vaultSecrets
			if back, err = c.loadSecrets(st); err == nil && (back == nil || back.device != s.device) {
				err = fmt.Errorf("%w: it gave back something else", ErrKeyring)
			}
		}
		if err == nil || want == InKeyring {
			return err
		}
	} else if want == InKeyring {
		return ErrKeyring
	}
	st.Secrets = InFile
	return c.saveSecrets(st, s)
}
