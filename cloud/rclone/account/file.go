package account

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// MaxFile bounds the file of an account, in bytes: the largest real one seen
// holds the cookies of an Apple account, about 10 kB.
const MaxFile = 256 << 10

// Where the secrets of an account are.
const (
	InKeyring = "keyring" // the file is sealed with a key that the keyring keeps
	InFile    = "file"    // in the file, which only the user can read
)

const fileVersion = 1

// file is the text of an account's file: JSON, indented, with a checksum.
// There is one text of each content: what does not encode to itself again is
// damaged. With Kept "keyring", Sealed is AES-256-GCM (a random nonce of 12
// bytes in front) of the JSON of Options; associated data are the login and the
// backend. The key is used for one sign-in, rewritten with each refreshed
// token: hourly for a century is under 2^20 messages, of 2^32 allowed
// (NIST SP 800-38D section 8.3).
//
// The checksum is against accidents. Whoever can change the file is the user,
// or is already able to run programs as the user.
type file struct {
	Version int               `json:"version"`
	Login   string            `json:"login"`
	Backend string            `json:"backend"`
	Since   time.Time         `json:"since"`
	Kept    string            `json:"kept"`
	Key     string            `json:"key,omitempty"`     // what the keyring calls the key
	Sealed  []byte            `json:"sealed,omitempty"`  // kept in the keyring
	Options map[string]string `json:"options,omitempty"` // kept in the file
	Sum     string            `json:"sum"`
}

// encode gives the text of f.
func (f file) encode() ([]byte, error) {
	f.Version, f.Sum = fileVersion, ""
	sum, err := f.sum()
	if err != nil {
		return nil, err
	}
	f.Sum = sum
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("account: writing: %w", err)
	}
	if len(text) >= MaxFile {
		return nil, fmt.Errorf("account: a sign-in of %d bytes is larger than %d", len(text), MaxFile)
	}
	return append(text, '\n'), nil
}

func (f file) sum() (string, error) {
	f.Sum = ""
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("account: writing: %w", err)
	}
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:]), nil
}

// decode reads the text of a file; any error is ErrDamaged.
func decode(text []byte) (*file, error) {
	var f file
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%w: over %d bytes", ErrDamaged, MaxFile)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%w: not JSON", ErrDamaged) // the error of json may quote what it read
	}
	if f.Version != fileVersion {
		return nil, fmt.Errorf("%w: version %d is unknown", ErrDamaged, f.Version)
	}
	again, err := f.encode()
	if err != nil || !bytes.Equal(again, text) {
		return nil, fmt.Errorf("%w: it was changed after it was written", ErrDamaged)
	}
	if f.Kept != InFile && f.Kept != InKeyring {
		return nil, fmt.Errorf("%w: kept nowhere", ErrDamaged)
	}
	return &f, nil
}

// seal puts options into f, under key if that is what f is kept by.
func (f *file) seal(options map[string]string, key []byte) error {
	if f.Kept == InFile {
		f.Options = options
		return nil
	}
	plain, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("account: writing: %w", err)
	}
	defer clear(plain)
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	f.Sealed = aead.Seal(nil, nil, plain, f.associated())
	return nil
}

// open gives the options in f.
func (f *file) open(key []byte) (map[string]string, error) {
	if f.Kept == InFile {
		if f.Options == nil {
			return map[string]string{}, nil
		}
		return f.Options, nil
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, f.Sealed, f.associated())
	if err != nil {
		return nil, fmt.Errorf("%w: the key in the keyring does not open it", ErrDamaged)
	}
	defer clear(plain)
	options := map[string]string{}
	if err := json.Unmarshal(plain, &options); err != nil {
		return nil, fmt.Errorf("%w: sealed, but not JSON", ErrDamaged)
	}
	return options, nil
}

func (f *file) associated() []byte {
	return []byte("keepsake cloud account 1\n" + f.Login + "\n" + f.Backend)
}

const keySize = 32

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("%w: it is no key", ErrKeyMissing)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("account: sealing: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func newKey() []byte {
	key := make([]byte, keySize)
	rand.Read(key) // never fails (crypto/rand)
	return key
}

// fileName is that of the account's file: readable as far as a name can be, told
// apart by a hash where file systems would not (case, length, slashes).
func fileName(login string) string {
	kind, _, _ := strings.Cut(login, ":")
	kind, _, _ = strings.Cut(kind, "@")
	if !knownKind(kind) {
		kind = "other"
	}
	h := sha256.Sum256([]byte(login))
	return kind + "-" + hex.EncodeToString(h[:8]) + ".json"
}
