package chatd

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"keepsake.example/chatd/audit"
	"keepsake.example/chatd/issuer"
	"keepsake.example/chatd/limit"
	"keepsake.example/internal/hidden"
	"keepsake.example/token"
)

// Config is what a Server is made of.
type Config struct {
	// Relay is nil where this process does not relay, Issuer where it makes no
	// accounts; one of them is there. The caller closes the Issuer after Serve.
	Relay  *Relay
	Issuer *issuer.Issuer
	// Certificate gives the server's certificate for a connection, as
	// [CertificateFiles] does.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// Audit has a line for each relayed request, login and refresh. The caller
	// closes it after Serve.
	Audit *audit.Log
	// Names hashes accounts and addresses for logs and audit. Instances with the
	// same one name an account alike.
	Names  NameKey
	Limits Limits
	// Log is told of requests and failures; nil means nothing.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Relay says between whom is relayed.
type Relay struct {
	// Issuers are those whose tokens are accepted, with chatd's audience.
	Issuers []token.Issuer
	// Vaults are the replicas of one fleet.
	Vaults []Vault
	// Certificate is shown to them; each has its pin on a list.
	Certificate tls.Certificate
}

// Vault is where a vaultd listens.
type Vault struct {
	URL string // https, without a path
	Pin Pin    // of its certificate's key
}

// Limits bound what a server does for its clients. The zero value of a field
// means its default; a limit.Rate with a Burst below zero means no bound.
type Limits struct {
	// Connections at once, 10000 by default: some 40 KiB each.
	Connections int
	// ConnectionsPerAddress at once, 200 by default: an office behind one
	// address has fewer, somebody who holds connections open is stopped there.
	ConnectionsPerAddress int
	// Streams at once in a connection, 32 by default: a client needs one.
	Streams int
	// Relays at once, 512 by default; the next is answered 503. At 50 ms each
	// that is 10000 a second. A request that no vaultd can decide, of an account whose
	// group has no majority, keeps its place for RelayTimeout: some 34 of those a
	// second take all places, and the other groups' requests are answered 503 too.
	Relays int
	// Header is how many bytes the header of a request may have, 16 KiB by
	// default: a token has 4096.
	Header int
	// HeaderTimeout bounds the TLS handshake, 5 s by default, and BodyTimeout the
	// arrival of a request, 10 s by default: who is slower wants to hold the
	// connection open.
	HeaderTimeout, BodyTimeout time.Duration
	// WriteTimeout bounds a request with its answer, 30 s by default, more than
	// RelayTimeout.
	WriteTimeout time.Duration
	// IdleTimeout closes connections without a request, 2 min by default.
	IdleTimeout time.Duration
	// RelayTimeout bounds all tries of one relayed request, 15 s by default, less
	// than clients wait; TryTimeout one of them, 6 s by default, more than a vaultd
	// waits for a commit.
	RelayTimeout, TryTimeout time.Duration
	// ProbeEvery is the time between two probes of a vaultd that answers, 250 ms by
	// default, and ProbeTimeout bounds one, 1 s by default, or four times as long as
	// the last ones took, from 400 ms on, where that is less: a vaultd that fell
	// silent holds requests up for as long as both. PassOver is the first pause of
	// one that failed, 250 ms by default, doubled up to 64 times.
	ProbeEvery, ProbeTimeout, PassOver time.Duration
	// Tries is how often a request is sent to a vaultd, 12 by default; Pause the
	// time before another try when no vaultd answers, 50 ms by default, doubled each
	// time up to 500 ms, and up to as much again by chance: an election passes in them.
	Tries int
	Pause time.Duration
	// Retries bounds second tries of all requests together, 100 at once and one
	// more every 20 ms by default: an outage must not double the load.
	Retries limit.Rate
	// PerAccount bounds relayed requests of an account, 30 at once and one more
	// every 2 s by default: a recovery takes four.
	PerAccount limit.Rate
	// PerAddress bounds requests of a client address (of a /64 for IPv6), 200 at
	// once and one more every 50 ms by default: many people share one.
	PerAddress limit.Rate
	// Table is how many accounts and addresses are remembered, each 100000 by
	// default: 30 MB.
	Table int
	// BundleEvery is the age at which the fleet's bundle is fetched again, 2 s by
	// default: a client that has seen a newer one at another relay asks again for
	// about as long before it calls this one a liar.
	BundleEvery time.Duration
	// DrainDelay is the time between saying not ready and turning new
	// connections away, 5 s by default: load balancers look every few seconds.
	// Below zero means none. DrainTimeout bounds the end of requests under way
	// after it, 20 s by default.
	DrainDelay, DrainTimeout time.Duration
}

// DefaultLimits gives every limit's default.
func DefaultLimits() Limits {
	var l Limits
	l.setDefaults()
	return l
}

func (l *Limits) setDefaults() {
	def(&l.Connections, 10_000)
	def(&l.ConnectionsPerAddress, 200)
	def(&l.Streams, 32)
	def(&l.Relays, 512)
	def(&l.Header, 16<<10)
	def(&l.HeaderTimeout, 5*time.Second)
	def(&l.BodyTimeout, 10*time.Second)
	def(&l.WriteTimeout, 30*time.Second)
	def(&l.IdleTimeout, 2*time.Minute)
	def(&l.RelayTimeout, 15*time.Second)
	def(&l.TryTimeout, 6*time.Second)
	def(&l.ProbeEvery, 250*time.Millisecond)
	def(&l.ProbeTimeout, time.Second)
	def(&l.PassOver, 250*time.Millisecond)
	def(&l.Tries, 12)
	def(&l.Pause, 50*time.Millisecond)
	def(&l.Retries, limit.Rate{Burst: 100, Every: 20 * time.Millisecond})
	def(&l.PerAccount, limit.Rate{Burst: 30, Every: 2 * time.Second})
	def(&l.PerAddress, limit.Rate{Burst: 200, Every: 50 * time.Millisecond})
	def(&l.Table, 100_000)
	def(&l.BundleEvery, 2*time.Second)
	def(&l.DrainDelay, 5*time.Second)
	def(&l.DrainTimeout, 20*time.Second)
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (l *Limits) check() error {
	for name, n := range map[string]int{
		"connections": l.Connections, "connections per address": l.ConnectionsPerAddress, "streams": l.Streams,
		"relays": l.Relays, "tries": l.Tries, "table": l.Table,
	} {
		if n < 1 {
			return fmt.Errorf("chatd: the limit of %s is under 1", name)
		}
	}
	for name, d := range map[string]time.Duration{
		"header timeout": l.HeaderTimeout, "body timeout": l.BodyTimeout, "write timeout": l.WriteTimeout, "idle timeout": l.IdleTimeout,
		"relay timeout": l.RelayTimeout, "try timeout": l.TryTimeout,
		"probe interval": l.ProbeEvery, "probe timeout": l.ProbeTimeout, "pause of a vaultd that failed": l.PassOver, "pause": l.Pause, "bundle age": l.BundleEvery, "drain timeout": l.DrainTimeout,
	} {
		if d <= 0 {
			return fmt.Errorf("chatd: the %s is not above zero", name)
		}
	}
	switch {
	case l.Header < 8<<10:
		return errors.New("chatd: a header limit under 8 KiB has no room for a token")
	case l.WriteTimeout <= l.RelayTimeout:
		return errors.New("chatd: the write timeout must be longer than the relay timeout, or answers are cut off")
	}
	return nil
}

func (c *Config) prepare() error {
	c.Limits.setDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Relay == nil && c.Issuer == nil:
		return errors.New("chatd: neither a relay nor an issuer")
	case c.Certificate == nil:
		return errors.New("chatd: no certificate")
	case c.Audit == nil:
		return errors.New("chatd: no audit log")
	case c.Names == NameKey{}:
		return errors.New("chatd: no key for the names in logs")
	}
	return c.Limits.check()
}

// NameKey is the key under which names are hashed for logs. Who has it can
// find out which account a line of a log is about. It prints as a fixed word.
type NameKey struct {
	unprinted
	b [32]byte
}

// NewNameKey makes a NameKey of 32 random bytes.
func NewNameKey(b []byte) (NameKey, error) {
	if len(b) != 32 {
		return NameKey{}, errors.New("chatd: a key for names has 32 bytes")
	}
	return NameKey{b: [32]byte(b)}, nil
}

// unprinted is embedded in what must not be printed.
type unprinted = hidden.Text[owner]

type owner struct{}

// Owner names this package in what its secrets print as.
func (owner) Owner() string { return "chatd" }

// Account names an account in logs: 16 hexadecimal digits of
// HMAC-SHA256(key, "account" ‖ 0 ‖ issuer ‖ 0 ‖ subject).
func (k NameKey) Account(issuer, subject string) string {
	return k.name("account", issuer, subject)
}

func (k NameKey) name(parts ...string) string { return hex.EncodeToString(k.hash(parts...)[:8]) }

func (k NameKey) hash(parts ...string) []byte {
	m := hmac.New(sha256.New, k.b[:])
	for i, p := range parts {
		if i > 0 {
			m.Write([]byte{0})
		}
		io.WriteString(m, p)
	}
	return m.Sum(nil)
}
