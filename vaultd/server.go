package vaultd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/peer"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultd/door"
	"keepsake.example/vaultd/machine"
)

// Server is one running vaultd. Its methods may be called concurrently.
type Server struct {
	config Config
	log    *slog.Logger
	clock  Clock
	limits Limits
	tokens *token.Verifier
	time   hostTime // this machine's reading; what counts is the quorum's
	// disbelieved is why the host's date was not taken for this machine's reading; nil when it was.
	disbelieved error
	fleet       sealed.FleetID
	self        uint64 // this member's number
	warns       []string

	groups   groups
	links    atomic.Pointer[peer.Links]    // nil for a fleet of one without Peers
	known    atomic.Pointer[roster.Roster] // as the root group has it here, for reading
	asked    sync.Map                      // who answered last, by the number of a group that is elsewhere
	unjoined unjoined
	welcomes pace     // that were proposed here
	repeats  pace     // of who was welcomed already, that were logged
	leaving  sync.Map // groups, by number, that are being let go of
	keys     keyring
	door     *door.Door
	device   *device // nil in a fleet without a key in its devices
	gate     *gate
	// ofAccount bounds what one account has in work.
	ofAccount *accounts
	metrics   *metrics
	draining  atomic.Bool
	removed   atomic.Bool  // the roster does not have this machine any more
	caught    atomic.Int64 // when catchUp was last tried, of clock.Elapsed

	mu      sync.Mutex
	closing bool
	working sync.WaitGroup // requests
	once    sync.Once
	closed  error

	dying sync.Once
	dead  chan struct{} // closed when this machine answers no more
	cause error         // why; written before dead is closed
}

// New opens this machine's replicas in c.Dir and gets ready to answer. It refuses,
// with the replica's own errors, a disk that is damaged, or older than its anchor;
// with ErrInsecure, what was not accepted by name; and, where it is the only voter,
// a host whose date cannot be. With other members it returns before it has heard
// of them: ready is what Status says. An error closes c.Peers, too.
func New(ctx context.Context, c Config) (*Server, error) {
	s, err := newServer(ctx, c)
	if err != nil && c.Peers != nil {
		c.Peers.Close() // if the links have it, they did
	}
	return s, err
}

func newServer(ctx context.Context, c Config) (*Server, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	s := &Server{
		config: c, log: c.Log, clock: c.Clock, limits: c.Limits, tokens: c.Tokens, gate: newGate(c.Limits),
		ofAccount: newAccounts(c.Limits.PerAccount), metrics: newMetrics(), dead: make(chan struct{}), unjoined: newUnjoined(),
	}
	s.time.clock = c.Clock
	if s.door, err = door.New(rand.Reader); err != nil {
		return nil, err
	}
	s.door.Retry = s.again
	root, err := s.host(ctx, machine.Root, c.Anchor)
	if errors.Is(err, replica.ErrRemoved) {
		return nil, fmt.Errorf("%w (%w)", ErrRemoved, err)
	}
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, root); err != nil {
		return nil, errors.Join(err, s.shut())
	}
	s.publish()
	for _, g := range s.groups.list() {
		s.run(g)
	}
	return s, nil
}

// start looks at the fleet that the root's replica holds, and gets links, keys and
// the other groups ready.
func (s *Server) start(ctx context.Context, root *group) error {
	s.self = root.replica.Status().Member
	r, err := s.startRoster(root)
	if err != nil {
		return err
	}
	s.known.Store(r)
	s.fleet = sealed.FleetID(r.Fleet)
	s.warns = warnings(s.config, vault.Policy(r.Policy))
	if err := s.config.accept(vault.Policy(r.Policy)); err != nil {
		return err
	}
	if err := s.openDevice(ctx, r); err != nil {
		return err
	}
	if err := s.startClock(root, r); err != nil {
		return err
	}
	if err := s.connect(r); err != nil {
		return err
	}
	if err := s.hostOthers(ctx, r); err != nil {
		return err
	}
	if s.alone(r) {
		return s.rotate(ctx, root)
	}
	if err := s.takeOver(root); !errors.Is(err, errNoState) {
		return err
	}
	return nil // a newcomer: the leader fills it
}

// startRoster is who belongs to the fleet as the state has it, or, as long as a
// newcomer has none, as its welcome said.
func (s *Server) startRoster(root *group) (*roster.Roster, error) {
	r := root.roster()
	if r == nil {
		var err error
		if r, err = readRoster(s.config.Dir); err != nil {
			return nil, err
		}
	}
	if r.MinVersion > s.config.version {
		return nil, &VersionError{Least: r.MinVersion, Has: s.config.version}
	}
	if _, ok := r.Member(s.self); !ok && s.self <= r.Highest {
		return nil, ErrRemoved
	}
	return r, nil
}

// alone says whether this machine is the only voter of the root group.
func (s *Server) alone(r *roster.Roster) bool {
	for _, m := range r.In(machine.Root) {
		if !m.Learner && m.Number != s.self {
			return false
		}
	}
	return true
}

// connect starts the links to the other members.
func (s *Server) connect(r *roster.Roster) error {
	if s.config.Keys == nil || s.config.Peers == nil {
		if len(r.Members) > 1 {
			return ErrAlone
		}
		return nil
	}
	l, err := newLinks(s.config.Keys, s.config.Peers, s.self, s.directory, s.receive, s.serve, s.log)
	if err != nil {
		return err
	}
	s.links.Store(l)
	return nil
}

// warnings are what is insecure about this server, in one line each.
func warnings(c Config, p vault.Policy) (w []string) {
	if d := c.Anchor.Describe(); d.Insecure {
		w = append(w, "insecure_software_anchor: "+d.Protects)
	}
	if c.AcceptInsecureWaits {
		w = append(w, "insecure_waits: waits between attempts or the cool-down are shorter than they should be")
	}
	return append(w, c.Notes...)
}

// root is this machine's member of the root group.
func (s *Server) root() *group { return s.groups.get(machine.Root) }

// now is the vault's time, milliseconds: that of the root group's quorum.
func (s *Server) now() uint64 { return s.root().Time() }

// Fleet returns the fleet id that clients pin.
func (s *Server) Fleet() sealed.FleetID { return s.fleet }

// Member returns this machine's number.
func (s *Server) Member() uint64 { return s.self }

// Warnings are what is insecure about this server, a line each, for start and status.
func (s *Server) Warnings() []string { return s.warns }

// Bundle returns the signed bundle as it is now (§7.1). The caller must not change it.
func (s *Server) Bundle() []byte {
	bundle, _ := s.keys.signed()
	return bundle
}

// Checkpoint makes the replicas write their states and begin new logs. What was
// destroyed before it cannot be read from this machine's disk after it.
func (s *Server) Checkpoint(ctx context.Context) error {
	for _, g := range s.groups.list() {
		if err := g.replica.Checkpoint(ctx); err != nil {
			return fmt.Errorf("making a checkpoint of group %d: %w", g.number, err)
		}
	}
	return nil
}

// Done is closed when this machine answers no more; Err says why.
func (s *Server) Done() <-chan struct{} { return s.dead }

// Err returns why the server halted, nil while it runs and after Close.
func (s *Server) Err() error {
	select {
	case <-s.dead:
		return s.cause
	default:
		return nil
	}
}

// die ends answering, with a cause or, at Close, without.
func (s *Server) die(cause error) {
	s.dying.Do(func() {
		if s.cause = cause; cause != nil {
			s.log.Error("halted", "reason", cause)
		}
		close(s.dead)
	})
}

// enter counts a request in, or refuses it: while draining, when halted, when
// nothing can be decided here, or when there is no place for it.
func (s *Server) enter(ctx context.Context) error {
	if err := s.admit(); err != nil {
		return err
	}
	if err := s.gate.enter(ctx); err != nil {
		s.working.Done()
		return err
	}
	return nil
}

func (s *Server) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.halted() != nil && !s.closing:
		return ErrHalted
	case s.closing || s.draining.Load():
		return ErrClosed
	case !s.decides():
		return ErrNoQuorum
	}
	s.working.Add(1) // under the lock: never after Close began to wait
	return nil
}

// decides says whether the root group can, as far as is known here.
func (s *Server) decides() bool {
	g := s.root()
	return !s.removed.Load() && s.keys.longest() > 0 && g.led()
}

func (s *Server) leave() {
	s.gate.leave()
	s.working.Done()
}

// halted is why this machine answers no more, nil while it does.
func (s *Server) halted() error {
	select {
	case <-s.dead:
		if s.cause != nil {
			return s.cause
		}
		return ErrClosed
	default:
		return nil
	}
}

// Close turns new requests away, gives leadership away, lets the requests that are
// being worked finish for Limits.Drain, closes the replicas and wipes the keys. It
// may be called twice.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		s.giveAway()
		drained := make(chan struct{})
		go func() { s.working.Wait(); close(drained) }()
		select {
		case <-drained:
		case <-time.After(s.limits.Drain):
			s.log.Warn("closing with requests unanswered; repeated, they are answered without cost")
		}
		s.closed = s.shut()
	})
	return s.closed
}

// shut lets go of everything. It returns why the server had halted, if it had.
func (s *Server) shut() error {
	s.die(nil)
	err := s.Err()
	also := func(e error) {
		// Why it halted is told once, also where a replica says it in its own words.
		told := errors.Is(err, e) || errors.Is(err, ErrRemoved) && errors.Is(e, replica.ErrRemoved)
		switch {
		case e == nil || told:
		case err == nil:
			err = e
		default:
			err = errors.Join(err, e)
		}
	}
	also(s.root().close()) // who follows it joins groups and lets go of them: from here on nobody does
	for _, g := range s.groups.list() {
		also(g.close())
	}
	if l := s.links.Load(); l != nil {
		also(l.Close())
	}
	s.keys.wipe()
	s.door.Wipe()
	return err
}
