package replica

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"io"

	"keepsake.example/anchor"
	"keepsake.example/internal/memo"
)

const (
	saltSize  = 32
	keyIDSize = 16
	tagSize   = 16
	headSize  = anchor.HeadSize
)

// What keys and heads are made for. No label begins with another.
const (
	labelKeyID      = "keepsake replica key id\x01"
	labelRecord     = "keepsake replica record\x01"
	labelCheckpoint = "keepsake replica checkpoint\x01"
)

// chain is a place in the history: how many batches there were, and the hash
// over all of them (spec/replication.md §2).
type chain struct {
	number uint64
	head   [headSize]byte
}

func (c chain) state() anchor.State { return anchor.State{Counter: c.number, Head: c.head} }

func (c chain) next(head [headSize]byte) chain { return chain{c.number + 1, head} }

// epoch is the time of one epoch key: from one checkpoint to the next.
type epoch struct {
	key *anchor.Key
	id  [keyIDSize]byte // stands in files, and says nothing of the key
}

func newEpoch(k *anchor.Key) (*epoch, error) {
	e := &epoch{key: k}
	id, err := e.derive(nil, labelKeyID, keyIDSize)
	copy(e.id[:], id)
	return e, err
}

func (e *epoch) derive(salt []byte, label string, size int) (out []byte, err error) {
	e.key.Use(func(secret *[anchor.KeySize]byte) {
		out, err = memo.HKDF(secret[:], salt, label, size)
	})
	return out, err
}

// aead makes the cipher of one record or one checkpoint. Each has a salt of its own and so a key of its
// own: were the key the epoch's and the nonce the batch's number, a host that puts the log
// back by the one batch that the anchor did not count yet would see two batches under
// one nonce.
func (e *epoch) aead(label string, salt []byte) (cipher.AEAD, error) {
	key, err := e.derive(salt, label, anchor.KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (e *epoch) wipe() { e.key.Wipe() }

// readSalt reads the random bytes of a new salt.
func readSalt(random io.Reader, salt []byte) error {
	if _, err := io.ReadFull(random, salt); err != nil {
		return fmt.Errorf("reading random bytes: %w", err)
	}
	return nil
}

var be = binary.BigEndian
