package vaultd

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"keepsake.example/oprf"
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
	return s.conclude(effect, r.Body)
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

// execute decides a command: without a commit where nothing changes, else, and for
// every Prove, with one. When it returns without an error, what was spent is durable and anchored.
func (s *Server) execute(ctx context.Context, c *vault.Command) (*vault.Effect, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	if _, isProof := c.Body.(*vaultapi.ProveBody); isProof {
		// Nearly all change something, and the check would verify a signature only for
		// Apply to verify it again. One that is refused costs an entry of the log.
		return s.propose(ctx, c)
	}
	var effect *vault.Effect
	decided := false
	err := s.commits.Read(ctx, func(m replica.Machine) { effect, decided = m.(*machine).state.Check(c) })
	if err != nil || decided {
		return effect, err
	}
	return s.propose(ctx, c)
}

// propose commits a command, with random bytes of its own.
func (s *Server) propose(ctx context.Context, c *vault.Command) (*vault.Effect, error) {
	rand.Read(c.Random[:])
	entry := c.Encode()
	defer clear(entry)
	began := s.clock.Elapsed()
	effect, err := s.commits.Propose(ctx, entry)
	s.tellRoom(err)
	if err != nil {
		return nil, fmt.Errorf("committing: %w", err)
	}
	s.metrics.commit.Observe((s.clock.Elapsed() - began).Seconds())
	return effect.(*vault.Effect), nil
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

// conclude makes the answer of an effect. This is where an evaluation comes into
// the world: after the commit of the attempt that pays for it (rule 3).
func (s *Server) conclude(e *vault.Effect, body vaultapi.Body) *vaultapi.Answer {
	a := e.Answer
	attempt, isAttempt := body.(*vaultapi.AttemptBody)
	switch {
	case e.Evaluate != nil:
		defer e.Evaluate.Key.Wipe()
		if err := fill(&a, e.Evaluate); err != nil {
			return s.refusal(vaultapi.Busy)
		}
	case isAttempt:
		s.nobody.evaluate(attempt.Blinded)
	}
	return &a
}

// fill evaluates, and puts Z and its proof into the answer.
func fill(a *vaultapi.Answer, e *vault.Evaluation) error {
	body, ok := a.Body.(*vaultapi.Evaluation)
	if !ok {
		return errors.New("vaultd: internal error: an evaluation for an answer that has no room for it")
	}
	z, proof, err := e.Key.Evaluate(rand.Reader, e.Blinded)
	if err != nil {
		return fmt.Errorf("evaluating: %w", err)
	}
	body.Evaluated, body.Proof = z.Bytes(), proof.Bytes()
	return nil
}

// nobody is a key that belongs to nobody: a refused attempt costs an evaluation
// under it, so that it takes as long as one that was not (§12).
type nobody struct {
	key   *oprf.PrivateKey
	other *oprf.Blinded // evaluated when the question is none
}

func newNobody() (*nobody, error) {
	key, err := oprf.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err := oprf.Blind(rand.Reader, nil)
	if err != nil {
		return nil, err
	}
	return &nobody{key, b.Blinded()}, nil
}

func (n *nobody) evaluate(question [32]byte) {
	b, err := oprf.ParseBlinded(question[:])
	if err != nil {
		b = n.other
	}
	n.key.Evaluate(rand.Reader, b)
}
