package vaultd

import (
	"context"
	"crypto/ed25519"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"keepsake.example/replica"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// Answer answers one request of 8192 bytes with 4096 bytes (package sealed), at a multiple of the quantum after it was called. Every request that
// opens is answered, also with a refusal.
//
// An error means that nothing was opened and nothing counted: ErrKey, ErrRequest,
// ErrOverloaded, ErrClosed, or the reason why the replica halted. When ctx ends
// early the answer is busy; what was proposed by then is committed all the same,
// and the same bytes, delivered again, are answered without cost.
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
	message, answerer, err := s.keys.open(request, s.time.now())
	if err != nil {
		return nil, err
	}
	defer answerer.Wipe()
	defer clear(message) // a Propose holds k
	a := s.decide(ctx, message)
	text, err := a.Encode()
	if err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return answerer.Seal(text)
}

// decide answers an opened request. Whatever cannot be decided is busy: the
// client repeats the same bytes.
func (s *Server) decide(ctx context.Context, message []byte) *vaultapi.Answer {
	r, err := vaultapi.DecodeRequest(message)
	if err != nil {
		return s.refusal(vaultapi.Unsupported)
	}
	if p, ok := r.Body.(*vaultapi.ProposeBody); ok {
		defer p.Key.Wipe()
	}
	c, err := s.authorise(r)
	if err != nil {
		s.metrics.tokens.Inc()
		return s.refusal(vaultapi.Unauthorised)
	}
	if !s.ofAccount.enter(c.Account) {
		return s.refusal(vaultapi.Busy)
	}
	defer s.ofAccount.leave(c.Account)
	effect, err := s.execute(ctx, c)
	if err != nil {
		return s.refusal(vaultapi.Busy)
	}
	a, err := s.door.Conclude(effect, r.Body)
	if err != nil {
		return s.refusal(vaultapi.Busy)
	}
	return a
}

// refusal is an answer that says nothing of any record (§10.2).
func (s *Server) refusal(code vaultapi.Code) *vaultapi.Answer {
	if code == vaultapi.Busy {
		s.metrics.busy.Inc()
	}
	return &vaultapi.Answer{Code: code, Time: s.time.now()}
}

// errBinding is a token that is bound to a key, in a request that is not signed by that key.
var errBinding = errors.New("vaultd: request not signed by the key that its token is bound to")

// authorise makes the command of a request whose token and binding hold (§8).
func (s *Server) authorise(r *vaultapi.Request) (*vault.Command, error) {
	claims, err := s.tokens.Verify(r.Token, time.UnixMilli(int64(s.time.now())))
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
	c := &vault.Command{Kind: vault.Request, Time: s.time.now(), Account: account, Body: r.Body}
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
func (s *Server) execute(ctx context.Context, c *vault.Command) (*vault.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	return s.door.Execute(ctx, group{s}, c)
}

// group is the replica as the door sees it.
type group struct{ *Server }

func (g group) Time() uint64 { return g.time.now() }

func (g group) Peek(f func(*vault.State)) error { return g.Read(context.Background(), f) }

func (g group) Read(ctx context.Context, f func(*vault.State)) error {
	return g.commits.Read(ctx, func(m replica.Machine) { f(m.(*machine).state) })
}

func (g group) Propose(ctx context.Context, entry []byte) (any, error) {
	began := g.clock.Elapsed()
	effect, err := g.commits.Propose(ctx, entry)
	g.tellRoom(err)
	if err == nil {
		g.metrics.commit.Observe((g.clock.Elapsed() - began).Seconds())
	}
	return effect, err
}

// tellRoom tells the operator, once, that the disk is full: clients are only told
// that the vault is busy.
func (s *Server) tellRoom(err error) {
	switch {
	case errors.Is(err, replica.ErrNoSpace):
		if !s.full.Swap(true) {
			s.log.Error("no request is committed until there is room", "error", err)
		}
	case err == nil && s.full.Load() && s.full.Swap(false):
		s.log.Info("there is room again")
	}
}
