package vaultd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"keepsake.example/internal/hidden"
	"keepsake.example/roster"
)

const (
	keysType    = "KEEPSAKE MEMBER KEYS"
	keysVersion = 1
	seedSize    = 32
)

var errKeys = errors.New("vaultd: not the keys of a member in their one form")

// Keys are what a machine of the fleet is known by: an identity key for its links,
// Ed25519, and a sealing key that group secrets are sealed to: HPKE with ML-KEM-768
// and X25519, or, where the machine has a device (NewDeviceKeys), with ML-KEM-768 and
// a P-256 key that does not leave that device. Who has them and the machine's network
// is that member, but has no record: those are under the anchor's key. They print as
// one fixed word.
type Keys struct {
	unprinted
	held func() *memberKeys // a function is what printers cannot look into
}

type memberKeys struct {
	identity ed25519.PrivateKey
	seed     []byte // of the sealing key, or, with a device, of its half outside
	sealing  hpke.PrivateKey
	box      []byte // the seeds as the device sealed them; nil without one
}

// NewKeys draws the keys of a new member.
func NewKeys() (*Keys, error) {
	var both [2 * seedSize]byte
	defer clear(both[:])
	rand.Read(both[:])
	return newKeys(&both)
}

func newKeys(both *[2 * seedSize]byte) (*Keys, error) {
	k := &memberKeys{identity: ed25519.NewKeyFromSeed(both[:seedSize]), seed: bytes.Clone(both[seedSize:])}
	var err error
	if k.sealing, err = hpke.MLKEM768X25519().NewPrivateKey(k.seed); err != nil {
		return nil, fmt.Errorf("making a sealing key: %w", err)
	}
	return &Keys{held: func() *memberKeys { return k }}, nil
}

// Encode returns a PEM file, for the caller to write where only the vault's user
// reads it, and to clear. With a device it says nothing to who does not have that.
func (k *Keys) Encode() []byte {
	m := k.held()
	if m.box != nil {
		return pem.EncodeToMemory(&pem.Block{Type: sealedKeysType, Bytes: append([]byte{keysVersion}, m.box...)})
	}
	b := append([]byte{keysVersion}, m.identity.Seed()...)
	b = append(b, m.seed...)
	defer clear(b)
	return pem.EncodeToMemory(&pem.Block{Type: keysType, Bytes: b})
}

// DecodeKeys reads the file of Encode of keys that are under no device.
func DecodeKeys(file []byte) (*Keys, error) {
	b, err := decodeKeysFile(file, keysType)
	defer clear(b)
	if err != nil || len(b) != 2*seedSize {
		return nil, errKeys
	}
	both := [2 * seedSize]byte(b)
	defer clear(both[:])
	return newKeys(&both)
}

// decodeKeysFile returns what is in a PEM file of a type, without its version.
func decodeKeysFile(file []byte, kind string) ([]byte, error) {
	block, rest := pem.Decode(file)
	if block == nil || block.Type != kind || len(block.Headers) != 0 || len(bytes.TrimSpace(rest)) != 0 {
		return nil, errKeys
	}
	if len(block.Bytes) == 0 || block.Bytes[0] != keysVersion {
		clear(block.Bytes)
		return nil, errKeys
	}
	return block.Bytes[1:], nil
}

// Wipe overwrites the keys, as far as Go lets one.
func (k *Keys) Wipe() {
	m := k.held()
	clear(m.identity)
	clear(m.seed)
}

// unprinted is embedded in what must not be printed.
type unprinted = hidden.Text[owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "vaultd" }

// Card is what others must know of a machine before it can be a member. There is
// no secret in it, but who signs for it must have it from the machine itself: it
// says whom the group's secret is given to.
type Card struct {
	Name, DataCenter string   // of people's choice; see roster.Member
	Address          string   // host:port at which the other members reach it
	Identity         [32]byte // Ed25519 public key
	Sealing          []byte   // HPKE public key; its length says of which KEM
}

// Card returns the card of the machine that has the keys.
func (k *Keys) Card(name, dataCenter, address string) Card {
	m := k.held()
	return Card{name, dataCenter, address, [32]byte(m.identity.Public().(ed25519.PublicKey)), m.sealing.PublicKey().Bytes()}
}

// Member is the machine of the card as a learner of the fleet with a number.
func (c Card) Member(number uint64) roster.Member {
	return roster.Member{
		Number: number, Name: c.Name, DataCenter: c.DataCenter, Address: c.Address,
		Identity: c.Identity, Sealing: c.Sealing, Learner: true,
	}
}

const cardTitle = "keepsake member card v1"

var errCard = errors.New("vaultd: not a member card in its one form")

// Text returns the card for people and files, one line for each field.
func (c Card) Text() string {
	return fmt.Sprintf("%s\nname %s\ndata-center %s\naddress %s\nidentity %s\nsealing %s\n",
		cardTitle, c.Name, c.DataCenter, c.Address, hex.EncodeToString(c.Identity[:]), base64.StdEncoding.EncodeToString(c.Sealing))
}

// ParseCard reads the text of a card, in its one form.
func ParseCard(text string) (Card, error) {
	var c Card
	lines := strings.Split(text, "\n")
	if len(text) > 4096 || len(lines) != 7 || lines[0] != cardTitle || lines[6] != "" {
		return c, errCard
	}
	var identity, sealing string
	for i, f := range []struct {
		name string
		to   *string
	}{{"name", &c.Name}, {"data-center", &c.DataCenter}, {"address", &c.Address}, {"identity", &identity}, {"sealing", &sealing}} {
		var ok bool
		if *f.to, ok = strings.CutPrefix(lines[1+i], f.name+" "); !ok {
			return Card{}, errCard
		}
	}
	id, err := hex.DecodeString(identity)
	if err != nil || len(id) != len(c.Identity) {
		return Card{}, errCard
	}
	c.Identity = [32]byte(id)
	c.Sealing, err = base64.StdEncoding.DecodeString(sealing)
	if _, bad := sealingKey(c.Sealing); err != nil || bad != nil || c.Text() != text {
		return Card{}, errCard
	}
	return c, nil
}
