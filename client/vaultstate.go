package client

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/vaultapi"
)

const vaultVersion = 1

// vaultFile, and attemptFile, are the profile's part of the password path.
const (
	vaultFile   = "vault.json"
	attemptFile = "attempt"
)

// VaultState is what this device remembers of its vault, in vault.json. Nothing of
// it is a secret. Whoever can write it can have the device ask another vault, or
// forget which bundle it has seen.
type VaultState struct {
	Version int     `json:"version"`
	Server  *Server `json:"server"`
	// Near is the URL of the server that answered last, where there are several: it
	// is asked first. It is a hint, and need not be one of them.
	Near string `json:"near,omitempty"`
	// AcceptInsecure is the person's word that a fleet may be one that does not
	// protect as it should.
	AcceptInsecure bool   `json:"accept_insecure,omitempty"`
	Handle         string `json:"handle,omitempty"`     // who the person is at the built-in issuer
	TokenFile      string `json:"token_file,omitempty"` // where the tokens of another issuer are
	Secrets        string `json:"secrets"`              // InKeyring or InFile
	Name           string `json:"name"`                 // 32 random hex digits, of the secrets in the keyring
	Account        string `json:"account,omitempty"`    // 64 hex digits, once known: it does not change
	// Serial and Digest are of the newest bundle seen. They never go down.
	Serial uint64 `json:"serial,omitempty"`
	Digest string `json:"digest,omitempty"`
	// FleetKey is the key in the fleet's hardware, 66 hex digits, once a bundle named
	// one: it does not change, nor go.
	FleetKey string `json:"fleet_key,omitempty"`
	// Record is the live record that holds this profile's key, 32 hex digits.
	Record string `json:"record,omitempty"`
	// Proposed is a record that is on its way to be the live one. It is written
	// before the vault is told of it.
	Proposed *Proposed `json:"proposed,omitempty"`
	// Proof is a proof of the password that the vault has not confirmed yet. It is
	// written before it is sent, and holds no secret.
	Proof *Proof `json:"proof,omitempty"`
	// Again says that the last attempt was the right one: the record is used up,
	// and the password has to be set again.
	Again bool `json:"again,omitempty"`
	// Policy is that of the newest bundle seen. No later one may be weaker.
	Policy *SeenPolicy `json:"policy,omitempty"`
}

// Proposed is a record that was proposed to the vault.
type Proposed struct {
	Record string    `json:"record"`
	Time   time.Time `json:"time"`
	Ripens time.Time `json:"ripens,omitzero"` // when it can be confirmed without authority
}

// Proof is the body of a Prove, in hex, and the record that it is for.
type Proof struct {
	Body   string `json:"body"`
	Record string `json:"record"`
}

// DecodeVaultState reads vault.json strictly. The error is [ErrProfileDamaged].
func DecodeVaultState(data []byte) (*VaultState, error) {
	var s VaultState
	if err := decodeProfile(vaultFile, data, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *VaultState) check() error {
	switch {
	case s.Version != vaultVersion:
		return fmt.Errorf("version %d", s.Version)
	case s.Server == nil:
		return errors.New("no server")
	case s.Secrets != InKeyring && s.Secrets != InFile:
		return errors.New("unknown secrets")
	case !isHex(s.Name, 32):
		return errors.New("name is not 32 hex digits")
	case s.Account != "" && !isHex(s.Account, 64), s.Digest != "" && !isHex(s.Digest, 64), (s.Serial == 0) != (s.Digest == ""):
		return errors.New("account or digest is not 64 hex digits")
	case s.FleetKey != "" && !isHex(s.FleetKey, 66):
		return errors.New("fleet_key is not 66 hex digits")
	case s.Record != "" && !isHex(s.Record, 32), s.Proposed != nil && !isHex(s.Proposed.Record, 32):
		return errors.New("a record is not 32 hex digits")
	case s.TokenFile != "" && !filepath.IsAbs(s.TokenFile):
		return errors.New("token_file is not absolute")
	case !s.Policy.valid():
		return errors.New("the policy is none")
	}
	if s.Proof == nil {
		return nil
	}
	if _, _, err := s.Proof.decode(); err != nil || !isHex(s.Proof.Record, 32) {
		return errors.New("the proof is none")
	}
	return nil
}

func (p *Proof) decode() (*vaultapi.ProveBody, vaultapi.ID, error) {
	b, err := hex.DecodeString(p.Body)
	if err != nil {
		return nil, vaultapi.ID{}, err
	}
	body, err := vaultapi.DecodeBody(vaultapi.Prove, b)
	if err != nil {
		return nil, vaultapi.ID{}, err
	}
	return body.(*vaultapi.ProveBody), idOf(p.Record), nil
}

// idOf reads an id that check has seen; zeros for "".
func idOf(text string) (id vaultapi.ID) {
	b, err := hex.DecodeString(text)
	if err == nil && len(b) == len(id) {
		copy(id[:], b)
	}
	return id
}

func textOf(id vaultapi.ID) string { return hex.EncodeToString(id[:]) }

// VaultState reads vault.json. It is ErrNoVault when there is none.
func (c *Client) VaultState() (*VaultState, error) {
	data, err := c.readProfile(vaultFile, ErrNoVault)
	if err != nil {
		return nil, err
	}
	return DecodeVaultState(data)
}

func (c *Client) writeVaultState(s *VaultState) error { return c.writeProfile(vaultFile, s) }

// BehindPassword says whether the key of this profile is, or may be, behind a
// password.
func (c *Client) BehindPassword() bool {
	s, err := c.VaultState()
	return err == nil && (s.Record != "" || s.Proposed != nil || s.Proof != nil || s.Again)
}

// sawBundle moves the serial on, never back, before anything is sealed to a key of
// the bundle. One that has lost the fleet key, or has another, is ErrFleetKey: a
// password that was set by it would be hardened no more.
func (s *VaultState) sawBundle(b *fleet.Bundle) (changed bool, err error) {
	var digest [32]byte
	if s.Serial != 0 {
		if _, err := hex.Decode(digest[:], []byte(s.Digest)); err != nil {
			return false, fmt.Errorf("%w: %s: digest", ErrProfileDamaged, vaultFile)
		}
	}
	if err := b.Follows(s.Serial, digest); err != nil {
		return false, err
	}
	if s.Serial == b.Serial {
		return false, nil
	}
	fleetKey := ""
	if b.Hardened() {
		fleetKey = hex.EncodeToString(b.FleetKey[:])
	}
	if s.FleetKey != "" && s.FleetKey != fleetKey {
		return false, ErrFleetKey
	}
	digest = b.Digest()
	s.Serial, s.Digest, s.FleetKey = b.Serial, hex.EncodeToString(digest[:]), fleetKey
	return true, nil
}

// newVaultState makes the state of a device that meets its vault for the first
// time.
func newVaultState(s *Server, secrets string) *VaultState {
	var name [16]byte
	rand.Read(name[:]) // never fails (crypto/rand)
	return &VaultState{Version: vaultVersion, Server: s, Secrets: secrets, Name: hex.EncodeToString(name[:])}
}

// forgetVault removes all of the password path from the profile. The secrets go
// before the file that says where they are.
func (c *Client) forgetVault() error {
	s, err := c.VaultState()
	if errors.Is(err, ErrNoVault) {
		return nil
	}
	if err == nil {
		if err := c.removeSecrets(s); err != nil {
			return err
		}
	}
	for _, name := range []string{attemptFile, secretsFile, vaultFile} {
		if err := os.Remove(c.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("emptying the profile: %w", err)
		}
	}
	return nil
}
