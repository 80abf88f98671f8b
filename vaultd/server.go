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

	"keepsake.example/replica"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/door"
)

// committer is what answering needs of a replica.
type committer interface {
	Propose(ctx context.Context, entry []byte) (effect any, err error)
	Read(ctx context.Context, f func(replica.Machine)) error
}

// Server is one running vaultd. Its methods may be called concurrently.
type Server struct {
	log     *slog.Logger
	clock   Clock
	limits  Limits
	tokens  *token.Verifier
	time    vaultTime
	fleet   sealed.FleetID
	warns   []string
	replica *replica.Replica
	commits committer
	keys    keyring
	door    *door.Door
	gate    *gate
	// ofAccount bounds what one account has in work.
	ofAccount *accounts
	metrics   *metrics
	full      atomic.Bool // the disk; the operator was told
	// checkpointed is when the keeper, whose field it is, last made a checkpoint.
	checkpointed time.Duration
	rotating     sync.Mutex

	mu      sync.Mutex
	closing bool
	working sync.WaitGroup // requests; keeper
	stop    chan struct{}  // closed when the keeper is to end
	once    sync.Once
	closed  error
}

// New opens the replica of c.Dir and gets ready to answer. It refuses, with the
// replica's own errors, a disk that is damaged, or older than its anchor; with
// ErrInsecure, what was not accepted by name; and a host whose date cannot be.
func New(ctx context.Context, c Config) (*Server, error) {
	c, err := c.filled()
	if err != nil {
		return nil, err
	}
	s := &Server{
		log: c.Log, clock: c.Clock, limits: c.Limits, tokens: c.Tokens, gate: newGate(c.Limits),
		ofAccount: newAccounts(c.Limits.PerAccount), metrics: newMetrics(), stop: make(chan struct{}),
	}
	if s.door, err = door.New(rand.Reader); err != nil {
		return nil, err
	}
	s.replica, err = replica.Open(ctx, replica.Config{Dir: c.Dir, Anchor: c.Anchor, Machine: newMachine()})
	if err != nil {
		return nil, fmt.Errorf("opening the replica: %w", err)
	}
	s.commits = s.replica
	if err := s.start(ctx, c); err != nil {
		return nil, errors.Join(err, s.replica.Close())
	}
	s.publish()
	s.working.Add(1)
	go s.keep()
	return s, nil
}

// start looks at the fleet that the replica holds, and brings its keys up to date.
func (s *Server) start(ctx context.Context, c Config) error {
	view, err := s.view(ctx)
	if err != nil {
		return err
	}
	defer view.Wipe()
	if err := c.accept(view.Policy); err != nil {
		return err
	}
	s.warns = warnings(c, view.Policy)
	s.fleet = sealed.FleetID(view.ID)
	if err := checkDate(c, view.Time); err != nil {
		return err
	}
	s.time, s.checkpointed = startTime(c.Clock, view.Time), c.Clock.Elapsed()
	return s.rotate(ctx)
}

// checkDate refuses a host's date that would do harm if it were believed.
func checkDate(c Config, known uint64) error {
	wall := c.Clock.Wall()
	last := time.UnixMilli(int64(known))
	if ahead := wall.Sub(last); ahead > c.MaxClockJump || wall.UnixMilli() > vaultapi.MaxTime {
		return &ClockError{Host: wall, Last: last}
	}
	return nil
}

// ClockError is a host whose date is too far ahead of the last time that the
// vault knows. Config.MaxClockJump accepts it, once and for good.
type ClockError struct{ Host, Last time.Time }

func (e *ClockError) Error() string {
	return fmt.Sprintf("vaultd: the host says it is %s, the vault last ran at %s: time that it takes over it never gives back",
		e.Host.UTC().Format(time.DateTime), e.Last.UTC().Format(time.DateTime))
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

// view is the fleet as the state has it now. The caller wipes it.
func (s *Server) view(ctx context.Context) (*vault.FleetView, error) {
	var view *vault.FleetView
	err := s.replica.Read(ctx, func(m replica.Machine) { view = m.(*machine).state.Fleet() })
	if err != nil {
		return nil, fmt.Errorf("reading the fleet: %w", err)
	}
	if view == nil {
		return nil, errors.New("vaultd: the replica's state has no fleet")
	}
	return view, nil
}

// Fleet returns the fleet id that clients pin.
func (s *Server) Fleet() sealed.FleetID { return s.fleet }

// Warnings are what is insecure about this server, a line each, for start and status.
func (s *Server) Warnings() []string { return s.warns }

// Bundle returns the signed bundle as it is now (§7.1). The caller must not change it.
func (s *Server) Bundle() []byte {
	bundle, _ := s.keys.signed()
	return bundle
}

// Checkpoint makes the replica write its state and begin a new log. What was
// destroyed before it cannot be read from the disk after it.
func (s *Server) Checkpoint(ctx context.Context) error { return s.replica.Checkpoint(ctx) }

// Done is closed when the replica runs no more; Err says why.
func (s *Server) Done() <-chan struct{} { return s.replica.Done() }

// Err returns why the replica halted, nil while it runs and after Close.
func (s *Server) Err() error { return s.replica.Err() }

// enter counts a request in, or refuses it: while draining, when halted, or when
// there is no place for it.
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
	if s.closing {
		return ErrClosed
	}
	select {
	case <-s.replica.Done():
		return ErrHalted
	default:
		s.working.Add(1) // under the lock: never after Close began to wait
		return nil
	}
}

func (s *Server) leave() {
	s.gate.leave()
	s.working.Done()
}

// Close turns new requests away, lets those that are being worked finish for
// Limits.Drain, closes the replica and wipes the keys. It may be called twice.
func (s *Server) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		close(s.stop)
		drained := make(chan struct{})
		go func() { s.working.Wait(); close(drained) }()
		select {
		case <-drained:
		case <-time.After(s.limits.Drain):
			s.log.Warn("closing with requests unanswered; repeated, they are answered without cost")
		}
		s.closed = s.replica.Close()
		s.keys.wipe()
		s.door.Wipe()
	})
	return s.closed
}
