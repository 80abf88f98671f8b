package vaultd

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"keepsake.example/replica"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// Answer answers one request of 8192 bytes with 4096 bytes (package sealed), at a multiple of the quantum after it was called. Every request that
// opens is answered, also with a refusal.
//
// An error means that nothing was opened and nothing counted (ErrKey, ErrRequest,
// ErrOverloaded, ErrClosed, ErrHalted), or that nothing can be decided here now:
// ErrNoQuorum. Then the same bytes may be delivered to any member of the fleet, at
// no cost. When ctx ends early the answer is busy; what was proposed by then is
// committed all the same.
func (s *Server) Answer(ctx context.Context, request []byte) ([]byte, error) {
	arrival := s.clock.Elapsed()
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	answer, err := s.answer(ctx, request)
	awaitQuantum(s.clock, s.limits.Quantum, arrival)
	s.metrics.answered(err, s.clock.Elapsed()-arrival)
	return answer, err
}

// answer takes a place that enter gave, and gives it back: who waits for the
// quantum needs none.
func (s *Server) answer(ctx context.Context, request []byte) ([]byte, error) {
	defer s.leave()
	message, answerer, err := s.open(ctx, request)
	if err != nil {
		return nil, err
	}
	defer answerer.Wipe()
	defer clear(message) // a Propose holds k
	a, err := s.decide(ctx, message)
	if err != nil {
		return nil, err
	}
	text, err := a.Encode()
	if err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return answerer.Seal(text)
}

// open opens a request. A channel key that is not known here may be one that the
// group has and this member has not heard of yet.
func (s *Server) open(ctx context.Context, request []byte) ([]byte, *sealed.Answerer, error) {
	message, answerer, err := s.keys.open(request, s.now())
	if errors.Is(err, ErrKey) && s.catchUp(ctx) {
		return s.keys.open(request, s.now())
	}
	return message, answerer, err
}

// catchEvery is how often an unknown channel key may have the state brought up to
// date: anybody can name one.
const catchEvery = 250 * time.Millisecond

// catchUp brings the channel keys to what the group has, and says whether that was
// tried now.
func (s *Server) catchUp(ctx context.Context) bool {
	now, last := s.clock.Elapsed(), s.caught.Load()
	if s.alone(s.known.Load()) || now-time.Duration(last) < catchEvery || !s.caught.CompareAndSwap(last, int64(now)) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	g := s.root()
	return g.Read(ctx, func(*vault.State) {}) == nil && s.takeOver(g) == nil
}

// decide answers an opened request. Whatever cannot be decided is busy: the
// client repeats the same bytes.
func (s *Server) decide(ctx context.Context, message []byte) (*vaultapi.Answer, error) {
	r, err := vaultapi.DecodeRequest(message)
	if err != nil {
		return s.refusal(vaultapi.Unsupported), nil
	}
	if p, ok := r.Body.(*vaultapi.ProposeBody); ok {
		defer p.Key.Wipe()
	}
	c, err := s.authorise(r)
	if err != nil {
		s.metrics.tokens.Inc()
		return s.refusal(vaultapi.Unauthorised), nil
	}
	if !s.ofAccount.enter(c.Account) {
		return s.refusal(vaultapi.Busy), nil
	}
	defer s.ofAccount.leave(c.Account)
	a, err := s.suite(ctx, c)
	switch {
	case errors.Is(err, ErrNoQuorum):
		return nil, err
	case err != nil:
		return s.refusal(vaultapi.Busy), nil
	}
	return a, nil
}

// suite tells the requests of the second suite from all others: a fleet without a key in
// its devices knows none of them, and a Harden is about no record.
func (s *Server) suite(ctx context.Context, c *vault.Command) (*vaultapi.Answer, error) {
	harden, isHarden := c.Body.(*vaultapi.HardenBody)
	_, isAttempt := c.Body.(*vaultapi.HardenedAttemptBody)
	switch {
	case (isHarden || isAttempt) && !s.known.Load().Hardened():
		return s.refusal(vaultapi.Unsupported), nil
	case !isHarden:
		return s.carryOut(ctx, c)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	if err := s.device.admit(ctx, c.Account, harden.Blinded2); err != nil {
		return nil, err
	}
	defer s.device.leave()
	return s.door.Harden(ctx, harden, s.now())
}

// carryOut has a command decided by the group that its account belongs to, here or
// at another machine.
func (s *Server) carryOut(ctx context.Context, c *vault.Command) (*vaultapi.Answer, error) {
	number, err := s.groupOf(c.Account)
	if err != nil {
		return nil, err
	}
	if g := s.groups.get(number); g != nil && (s.links.Load() == nil || g.led()) {
		return s.conduct(ctx, g, c)
	}
	return s.forward(ctx, number, c)
}

// conduct decides a command in a group of this machine, and makes the answer. An
// attempt that the device could not serve in time is not spent.
func (s *Server) conduct(ctx context.Context, g *group, c *vault.Command) (*vaultapi.Answer, error) {
	if b, ok := c.Body.(*vaultapi.HardenedAttemptBody); ok {
		if s.device == nil {
			return s.refusal(vaultapi.Unsupported), nil // asked by a member of another fleet's roster
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.limits.Commit)
		defer cancel()
		if err := s.device.admit(ctx, c.Account, b.Blinded2); err != nil {
			return nil, err
		}
		defer s.device.leave()
		if err := s.device.ready(ctx); err != nil {
			return nil, err
		}
	}
	effect, err := s.execute(ctx, g, c)
	if errors.Is(err, replica.ErrVersion) {
		return s.refusal(vaultapi.Unsupported), nil // not every member reads it yet; nothing was spent
	}
	if err != nil {
		return nil, err
	}
	return s.door.Conclude(ctx, effect, c.Body)
}

// groupOf is the group that keeps an account's record.
func (s *Server) groupOf(account vaultapi.Account) (number uint32, err error) {
	n := s.known.Load().Groups
	if n == 1 {
		return machine.Root, nil
	}
	err = s.root().Peek(func(state *vault.State) { number = machine.Group(state.Name(account), n) })
	return number, err
}

// refusal is an answer that says nothing of any record (§10.2).
func (s *Server) refusal(code vaultapi.Code) *vaultapi.Answer {
	if code == vaultapi.Busy {
		s.metrics.busy.Inc()
	}
	return &vaultapi.Answer{Code: code, Time: s.now()}
}

// errBinding is a token that is bound to a key, in a request that is not signed by that key.
var errBinding = errors.New("vaultd: request not signed by the key that its token is bound to")

// authorise makes the command of a request whose token and binding hold (§8).
func (s *Server) authorise(r *vaultapi.Request) (*vault.Command, error) {
	claims, err := s.tokens.Verify(r.Token, time.UnixMilli(int64(s.now())))
	if err != nil {
		return nil, err
	}
	account, err := vaultapi.NewAccount(claims.Issuer, claims.Subject)
	if err != nil {
		return nil, err
	}
	// A signature that is there must hold, whether the token asks for it or not.
	if r.Bound {
		if err := r.CheckBinding(s.fleet); err != nil {
			return nil, err
		}
	}
	c := &vault.Command{Kind: vault.Request, Time: s.now(), Account: account, Body: r.Body}
	if claims.Bound {
		key := token.Thumbprint(ed25519.PublicKey(r.Key[:]))
		if !r.Bound || subtle.ConstantTimeCompare(key[:], claims.Thumbprint[:]) != 1 {
			return nil, errBinding
		}
		c.Who = [8]byte(key[:])
	}
	return c, nil
}

// execute decides a command within Limits.Commit.
func (s *Server) execute(ctx context.Context, g *group, c *vault.Command) (*vault.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	e, err := s.door.Execute(ctx, g, c)
	if err != nil && (leaderless(err) || errors.Is(err, context.DeadlineExceeded) && !g.led()) {
		return nil, fmt.Errorf("%w: %w", ErrNoQuorum, err)
	}
	return e, err
}

// leaderless says whether an error means that the group had no leader, or lost it:
// what was asked may be asked again, and costs nothing if it was done already.
func leaderless(err error) bool {
	return errors.Is(err, replica.ErrNotLeader) || errors.Is(err, replica.ErrUnknown)
}

// again waits before a repetition of what failed for want of a leader: an election
// takes some hundred milliseconds.
func (s *Server) again(ctx context.Context, n int, err error) error {
	if !leaderless(err) || s.halted() != nil {
		return err
	}
	return s.pause(ctx, n, err)
}

// pause waits a little longer each time, up to 160 ms; it returns err when there is
// no more time.
func (s *Server) pause(ctx context.Context, n int, err error) error {
	select {
	case <-ctx.Done():
		return err
	case <-s.dead:
		return err
	case <-time.After(10 * time.Millisecond << min(n-1, 4)):
		return nil
	}
}
