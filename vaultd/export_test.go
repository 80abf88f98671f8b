package vaultd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/http/httptest"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/door"
	"keepsake.example/vaultd/machine"
)

// Committer is what answering needs of a replica.
type Committer = committer

// Wrap puts something between the server and its replicas.
func (s *Server) Wrap(f func(Committer) Committer) {
	for _, g := range s.groups.list() {
		g.commits = f(g.commits)
	}
}

// KeepCheckpoints is the part of a keeper, beside the root group's own, that makes checkpoints by the clock,
// and LogBytes what it looks at.
func (s *Server) KeepCheckpoints() func(context.Context) error {
	g := &group{s: s, replica: s.root().replica}
	return func(ctx context.Context) error { return s.checkpoint(ctx, g) }
}

func (s *Server) LogBytes() int64 { return s.root().replica.Status().LogBytes }

// Decide answers a request below the channel.
func (s *Server) Decide(ctx context.Context, message []byte) *vaultapi.Answer {
	a, err := s.decide(ctx, message)
	if err != nil {
		return &vaultapi.Answer{Code: vaultapi.Busy}
	}
	return a
}

// NewDoor is a server without a vault behind it: what passes the door is busy.
func NewDoor(clock Clock, tokens *token.Verifier, fleet [32]byte, behind Committer) *Server {
	l := DefaultLimits()
	d, err := door.New(rand.Reader)
	if err != nil {
		panic(err)
	}
	s := &Server{
		door: d, clock: clock, tokens: tokens, fleet: fleet, limits: l, gate: newGate(l),
		ofAccount: newAccounts(l.PerAccount), metrics: newMetrics(), dead: make(chan struct{}),
	}
	at := startTime(clock, 0)
	s.known.Store(&roster.Roster{Groups: 1})
	s.groups.put(&group{s: s, commits: behind, time: at.now, current: func() bool { return true }})
	return s
}

// Propose brings a change past what a member looks at before it proposes one.
func (s *Server) Propose(ctx context.Context, signed []byte) error {
	_, err := s.root().replica.Change(ctx, signed)
	return err
}

// KeyCount is how many channel keys are ready for use.
func (s *Server) KeyCount() int {
	s.keys.mu.RLock()
	defer s.keys.mu.RUnlock()
	return len(s.keys.keys)
}

// Keep does at once what the keeper does every minute.
func (s *Server) Keep(ctx context.Context) error { return s.rotate(ctx, s.root()) }

// Pretend makes the server account for a request that is being worked.
func (s *Server) Pretend(account vaultapi.Account) (done func()) {
	s.ofAccount.enter(account)
	return func() { s.ofAccount.leave(account) }
}

// Fill takes all places at the gate.
func (s *Server) Fill() (free func()) {
	for range cap(s.gate.slots) {
		s.gate.slots <- struct{}{}
	}
	return func() {
		for range cap(s.gate.slots) {
			<-s.gate.slots
		}
	}
}

// ReplicaMachine is a replica's machine, for wrappers.
type ReplicaMachine = replica.Machine

// WipeCommand takes back what a command brought.
var WipeCommand = machine.Wipe

// SetVersion makes a server of another version of the program.
func SetVersion(c *Config, version uint32) { c.version = version }

// QuantumFor is the quantum of a vault with a device that takes so long.
var QuantumFor = quantumFor

// ErrBusy is what AskAs says when the other has no time, or no more, for the account.
var ErrBusy = errBusy

// AskAs has another machine decide a command, as this machine forwards what it verified.
func (s *Server) AskAs(ctx context.Context, to uint64, group uint32, c *vault.Command) (*vaultapi.Answer, error) {
	request := append(binary.BigEndian.AppendUint32(nil, group), c.Encode()...)
	return s.askCommand(ctx, to, request, c.Body.Type())
}

// NotJoined is a try to join a group that failed.
func (s *Server) NotJoined(number uint32, err error) {
	s.notJoined(number, err)
}

// CloseGroup is what letting go of a group does.
func (s *Server) CloseGroup(number uint32) error { return s.groups.get(number).close() }

// ChangesFrom are the changes that a group lacks.
var ChangesFrom = changesFrom

// SetRoom has a server believe what is said of the room in its logs.
func SetRoom(c *Config, room func(group uint32) error) { c.room = room }

// Ordered is the HTTP status of an order that came to an error.
func (s *Server) Ordered(err error) int {
	r := httptest.NewRecorder()
	s.done(r, "an order", err)
	return r.Code
}

// GroupOf is the group that keeps an account's record.
func (s *Server) GroupOf(a vaultapi.Account) (uint32, error) { return s.groupOf(a) }
