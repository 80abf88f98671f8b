package peer

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Peer is one member of the fleet, as others reach it.
type Peer struct {
	Number   uint64
	Address  string   // host:port
	Identity [32]byte // its Ed25519 public key
}

// Config is what links are made of.
type Config struct {
	// Self is this member's number, and Key its identity key.
	Self uint64
	Key  ed25519.PrivateKey
	// Listener takes the other members' connections, without TLS. Close closes it.
	Listener net.Listener
	// Directory returns the members as they are now; the entry of Self is passed over. It
	// is called often, on goroutines of the links: it must be quick and must not call
	// them. What it returns decides who may connect.
	Directory func() []Peer
	// Receive takes a message and owns it. It is called on one goroutine for each member;
	// while it blocks, nothing is read from that member.
	Receive func(from uint64, group uint32, message []byte)
	// Serve answers a call; request is its own. What error it returns is not told to the
	// caller. Nil: no call is answered.
	Serve func(ctx context.Context, from uint64, request []byte) ([]byte, error)
	// Log hears of connections that come and go; nil: nobody does.
	Log    *slog.Logger
	Limits Limits
}

// Errors of Call. After ErrLost, as after the end of the context, the other side may
// have done what it was asked; after the others it has not, but for ErrFailed, which
// says as much as its Serve means by an error.
var (
	ErrUnknown     = errors.New("peer: no such member in the directory")
	ErrUnreachable = errors.New("peer: no connection to this member")
	ErrLost        = errors.New("peer: the connection was lost before the answer")
	ErrFailed      = errors.New("peer: the call failed at the other side")
	ErrLarge       = errors.New("peer: the request is larger than a call may be")
	ErrClosed      = errors.New("peer: closed")
)

// Links are the connections of one process to all others of the fleet. Their methods
// may be called concurrently.
type Links struct {
	c       Config
	limits  Limits
	log     *slog.Logger
	client  *tls.Config // without the check of who is dialed
	server  *tls.Config
	guests  *guests
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	all     sync.WaitGroup
	changed chan struct{} // Update was called
	once    sync.Once

	following sync.Mutex // one look at the directory at a time, so that an older one never undoes a newer one
	mu        sync.Mutex
	links     map[uint64]*link
}

// New starts the links: it listens, and dials everybody in the directory.
func New(c Config) (*Links, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	certificate, err := certify(c.Key)
	if err != nil {
		return nil, err
	}
	l := &Links{c: c, limits: c.Limits.filled(), log: c.Log, changed: make(chan struct{}, 1), links: map[uint64]*link{}}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.client = configuration(certificate)
	l.server = configuration(certificate)
	l.server.ClientAuth = tls.RequireAnyClientCert // TLS proves that the client has the key; whose it is, we look up
	l.server.VerifyConnection = l.verifyGuest
	l.guests = newGuests(l.limits.Handshakes)
	l.follow()
	l.all.Go(l.watch)
	l.all.Go(l.accept)
	return l, nil
}

func (c *Config) check() error {
	switch {
	case c.Self == 0:
		return errors.New("peer: a member's number is not 0")
	case len(c.Key) != ed25519.PrivateKeySize:
		return errors.New("peer: not an Ed25519 key")
	case c.Listener == nil || c.Directory == nil || c.Receive == nil:
		return errors.New("peer: Listener, Directory and Receive are needed")
	}
	return nil
}

// Send queues a message, which it owns from here on. It never blocks: a message for
// somebody unknown, or longer than MaxMessage, is dropped, and so is the oldest in
// the queue when there is no room. It may be lost without notice later, too.
func (l *Links) Send(to uint64, group uint32, message []byte) {
	if k := l.to(to); k != nil {
		k.queue.push(item{group: group, message: message, at: time.Now()})
	}
}

func (l *Links) to(number uint64) *link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.links[number]
}

// Call sends a request and waits for its answer. When the last attempt to connect to
// this member failed, it says ErrUnreachable at once: its caller knows others to ask.
func (l *Links) Call(ctx context.Context, to uint64, request []byte) ([]byte, error) {
	k := l.to(to)
	switch {
	case l.ctx.Err() != nil:
		return nil, ErrClosed
	case k == nil:
		return nil, ErrUnknown
	case len(request) > l.limits.Call:
		return nil, ErrLarge
	}
	ctx, cancel := context.WithTimeout(ctx, l.limits.CallTime)
	defer cancel()
	return k.calls.call(ctx, request)
}

// Update has the directory looked at now; without it that happens every Limits.Beat,
// and whenever somebody connects. It does not wait.
func (l *Links) Update() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Close ends all connections and waits until nothing is being received or served.
func (l *Links) Close() error {
	l.once.Do(func() {
		l.cancel()
		l.c.Listener.Close()
		l.guests.close()
		l.mu.Lock()
		for _, k := range l.links {
			k.close()
		}
		l.mu.Unlock()
	})
	l.all.Wait()
	return nil
}
