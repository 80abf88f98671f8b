package issuer

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/internal/hidden"
	"keepsake.example/token"
)

// Secret is the issuer's lasting secret. Handles are hashed and refresh tokens
// authenticated under it: with another one every account is another. It prints
// as a fixed word.
type Secret struct {
	unprinted
	b [32]byte
}

// NewSecret makes a Secret of 32 random bytes.
func NewSecret(b []byte) (Secret, error) {
	if len(b) != 32 {
		return Secret{}, errors.New("issuer: a secret has 32 bytes")
	}
	return Secret{b: [32]byte(b)}, nil
}

// unprinted is embedded in what must not be printed.
type unprinted = hidden.Text[owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "issuer" }

// derive gives the key for one use, so that what was made for one means
// nothing in another.
func (s Secret) derive(use string) []byte {
	k, err := hkdf.Key(sha256.New, s.b[:], nil, "keepsake issuer "+use, 32)
	if err != nil {
		panic("issuer: internal error: " + err.Error()) // only for a length over 255 hashes
	}
	return k
}

// Limits bound what the issuer does. The zero value of each field means its
// default.
type Limits struct {
	// CodeLife is how long a code is good, 10 min by default: mail arrives in
	// seconds, and people look for their glasses.
	CodeLife time.Duration
	// TokenLife is how long access tokens are good, 10 min by default: how long
	// a device that was shut out can go on.
	TokenLife time.Duration
	// RefreshIdle is after how long without use a device must log in again, 90
	// days by default.
	RefreshIdle time.Duration
	// Repeat is how long after a refresh its request may be repeated, 10 min by
	// default: the life of the tokens that were in the lost answer.
	Repeat time.Duration
	// PerHandle bounds logins: 5 at once, one more every 12 min by default.
	PerHandle limit.Rate
	// PerAddress bounds logins of one client address (of a /64 for IPv6): 10 at
	// once, one more every 2 min by default. Offices share an address.
	PerAddress limit.Rate
	// InAll bounds logins of everybody, and so the messages sent: 100 at once,
	// one more every 200 ms by default.
	InAll limit.Rate
	// TriesPerAddress bounds codes and refreshes of one address: 60 at once, one
	// more a second by default.
	TriesPerAddress limit.Rate
	// Devices is how many devices of an account can be logged in, 20 by default;
	// the one that was used longest ago is logged out.
	Devices int
	// Queue is how many messages may wait to be sent, 256 by default.
	Queue int
	// Table is how many handles and addresses are remembered, 100000 by default.
	Table int
}

func (l *Limits) setDefaults() {
	def(&l.CodeLife, 10*time.Minute)
	def(&l.TokenLife, 10*time.Minute)
	def(&l.RefreshIdle, 90*24*time.Hour)
	def(&l.Repeat, 10*time.Minute)
	def(&l.PerHandle, limit.Rate{Burst: 5, Every: 12 * time.Minute})
	def(&l.PerAddress, limit.Rate{Burst: 10, Every: 2 * time.Minute})
	def(&l.InAll, limit.Rate{Burst: 100, Every: 200 * time.Millisecond})
	def(&l.TriesPerAddress, limit.Rate{Burst: 60, Every: time.Second})
	def(&l.Devices, 20)
	def(&l.Queue, 256)
	def(&l.Table, 100_000)
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// DefaultLimits gives every limit's default.
func DefaultLimits() Limits {
	var l Limits
	l.setDefaults()
	return l
}

func (l *Limits) check() error {
	switch {
	case l.CodeLife < time.Minute || l.CodeLife > time.Hour:
		return errors.New("a code lives from a minute to an hour")
	case l.TokenLife < time.Minute || l.TokenLife > token.MaxLife:
		return fmt.Errorf("a token lives from a minute to %v", token.MaxLife)
	case l.RefreshIdle < l.TokenLife || l.Repeat < 0 || l.Repeat > time.Hour:
		return errors.New("a refresh token lives longer than a token, and is repeated for an hour at most")
	case l.Devices < 1 || l.Queue < 1 || l.Table < 1:
		return errors.New("devices, queue and table are 1 at least")
	}
	return nil
}

// Config is what an Issuer is made of.
type Config struct {
	// Name is the iss of the tokens, by custom the URL of the issuer.
	Name string
	// Chatd and Vault are the two audiences.
	Chatd, Vault string
	// Key signs the tokens; Older are the public keys of those before it, which
	// stay published until their tokens have expired.
	Key   ed25519.PrivateKey
	Older []ed25519.PublicKey
	// Secret lasts as long as the accounts.
	Secret Secret
	// Store is the path of the SQLite file; its folder must exist.
	Store string
	// Allow says who may have an account: exact handles, "*@domain" for all of a
	// domain, "*" for everybody.
	Allow []string
	// Sender takes the codes to people.
	Sender Sender
	// Sent, if not nil, is told how the sending of each code went.
	Sent   func(error)
	Limits Limits
	// Now is the clock, nil means time.Now; Random the source of codes and
	// names, nil means crypto/rand's.
	Now    func() time.Time
	Random io.Reader
}

// ErrSettings tells that a [Config] cannot be meant so.
var ErrSettings = errors.New("issuer: settings")

func (c *Config) prepare() error {
	c.Limits.setDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Sent == nil {
		c.Sent = func(error) {}
	}
	switch {
	case c.Chatd == c.Vault:
		return fmt.Errorf("%w: the audiences of chatd and vault must differ, or chatd could spend attempts", ErrSettings)
	case c.Sender == nil:
		return fmt.Errorf("%w: no sender", ErrSettings)
	case c.Secret == Secret{}:
		return fmt.Errorf("%w: no secret", ErrSettings)
	case len(c.Allow) == 0 || slices.Contains(c.Allow, ""):
		return fmt.Errorf(`%w: nobody is allowed an account; "*" allows everybody`, ErrSettings)
	}
	c.Allow = slices.Clone(c.Allow)
	for i, a := range c.Allow {
		c.Allow[i] = strings.ToLower(a)
	}
	if err := c.Limits.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrSettings, err)
	}
	return nil
}

// allows reports whether a handle in canonical form may have an account.
func (c *Config) allows(handle string) bool {
	return slices.ContainsFunc(c.Allow, func(a string) bool {
		domain, any := strings.CutPrefix(a, "*")
		return a == handle || any && strings.HasSuffix(handle, domain)
	})
}

// Canonical gives the one form of a handle, or ErrFormat. Handles are ASCII:
// letters that only look alike, or become alike in lower case as the Kelvin
// sign does, would give one person's account to another.
func Canonical(handle string) (string, error) {
	if len(handle) < 1 || len(handle) > 254 {
		return "", ErrFormat
	}
	for i := range len(handle) {
		if handle[i] <= ' ' || handle[i] > '~' {
			return "", ErrFormat
		}
	}
	return strings.ToLower(handle), nil
}
