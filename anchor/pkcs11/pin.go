package pkcs11

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"keepsake.example/anchor"
	"keepsake.example/internal/durable"
)

// maxPIN is the length of the longest user PIN in bytes: some tokens take "user:password".
const maxPIN = 255

// A pin is where the user PIN comes from, and remembers that it was refused: tokens lock
// after three or ten wrong ones, and a service that is started again and again would get there.
type pin struct {
	file    string         // read at each login; empty: secret
	secret  *anchor.Secret // what a person typed
	refused error          // set once the token has refused it; not tried again by this process
}

// get returns the PIN, which the caller wipes.
func (p *pin) get() ([]byte, error) {
	if p.refused != nil {
		return nil, p.refused
	}
	if p.secret != nil {
		var b []byte
		p.secret.Use(func(secret []byte) { b = bytes.Clone(secret) })
		return b, nil
	}
	b, err := readPIN(p.file)
	if err != nil {
		return nil, err
	}
	if err := p.checkMark(b); err != nil {
		clear(b)
		return nil, err
	}
	return b, nil
}

// readPIN reads a file of one line.
func readPIN(file string) ([]byte, error) {
	if file == "" {
		return nil, errors.New("pkcs11: the user PIN is missing")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("reading the user PIN: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the user PIN: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("pkcs11: the PIN file %s has mode %v: it must be a file that its owner alone can read (chmod 600)", file, info.Mode())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPIN+3))
	if err != nil {
		return nil, fmt.Errorf("reading the user PIN: %w", err)
	}
	defer clear(data)
	line := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	if len(line) == 0 || len(line) > maxPIN || bytes.ContainsAny(line, "\x00\n") {
		return nil, fmt.Errorf("pkcs11: the PIN file %s must hold one line of 1 to %d bytes", file, maxPIN)
	}
	return bytes.Clone(line), nil
}

// A mark beside the PIN file says which PIN was refused: a salt and a hash, so that
// a new PIN in the file is tried, and the old one never again, by no process. It tells a
// reader no more than the file beside it, which has the PIN.
const (
	markSuffix = ".refused"
	markSalt   = 16
	markSize   = markSalt + sha256.Size
)

func mark(salt, pin []byte) []byte {
	h := sha256.New()
	h.Write([]byte("keepsake refused pin\x01"))
	h.Write(salt)
	h.Write(pin)
	return h.Sum(bytes.Clone(salt))
}

// checkMark returns [ErrPIN] for a PIN that was refused before.
func (p *pin) checkMark(b []byte) error {
	m, err := os.ReadFile(p.file + markSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading whether the user PIN was refused before: %w", err)
	}
	if len(m) == markSize && subtle.ConstantTimeCompare(m, mark(m[:markSalt], b)) == 0 {
		return nil
	}
	return p.refusal(ErrPIN)
}

// refuse remembers that the token refused the PIN.
func (p *pin) refuse(b []byte, why error) error {
	p.refused = p.refusal(why)
	if p.file == "" || !errors.Is(why, ErrPIN) {
		return p.refused
	}
	salt := make([]byte, markSalt)
	rand.Read(salt)
	if err := durable.WriteFile(p.file+markSuffix, mark(salt, b), 0o600); err != nil {
		return errors.Join(p.refused, fmt.Errorf("remembering that the user PIN was refused: %w", err))
	}
	return p.refused
}

// accepted forgets that another PIN was refused once.
func (p *pin) accepted() error {
	if p.file == "" {
		return nil
	}
	if err := os.Remove(p.file + markSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (p *pin) refusal(why error) error {
	if p.file == "" || !errors.Is(why, ErrPIN) {
		return why
	}
	return fmt.Errorf("%w; it is not tried again until the PIN in %s is another one, or %s is removed: most tokens lock after a few wrong ones", why, p.file, p.file+markSuffix)
}

// lockPIN locks the PIN file for as long as the device is open: [anchor.ErrInUse] if
// another device on this machine has it.
func lockPIN(file string) (*os.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("opening the PIN file: %w", err)
	}
	got, err := durable.TryLock(f)
	if err == nil && !got {
		err = anchor.ErrInUse
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the PIN file %s: %w", file, err), f.Close())
	}
	return f, nil
}
