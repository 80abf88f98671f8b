package vaultd

import (
	"context"
	"crypto/rand"

	"keepsake.example/replica"
	"keepsake.example/token"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/door"
)

// Committer is what answering needs of a replica.
type Committer = committer

// Wrap puts something between the server and its replica.
func (s *Server) Wrap(f func(Committer) Committer) { s.commits = f(s.commits) }

// Decide answers a request below the channel.
func (s *Server) Decide(ctx context.Context, message []byte) *vaultapi.Answer {
	return s.decide(ctx, message)
}

// NewDoor is a server without a vault behind it: what passes the door is busy.
func NewDoor(clock Clock, tokens *token.Verifier, fleet [32]byte, behind Committer) *Server {
	l := DefaultLimits()
	d, err := door.New(rand.Reader)
	if err != nil {
		panic(err)
	}
	return &Server{
		door:  d,
		clock: clock, time: startTime(clock, 0), tokens: tokens, fleet: fleet, limits: l, gate: newGate(l),
		ofAccount: newAccounts(l.PerAccount), metrics: newMetrics(), commits: behind,
	}
}

// KeyCount is how many channel keys are ready for use.
func (s *Server) KeyCount() int {
	s.keys.mu.RLock()
	defer s.keys.mu.RUnlock()
	return len(s.keys.keys)
}

// Keep does at once what the keeper does every minute.
func (s *Server) Keep(ctx context.Context) error { return s.rotate(ctx) }

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
var WipeCommand = wipeCommand
