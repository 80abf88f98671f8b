package replica

import (
	"context"
	"errors"
	"sync/atomic"

	"keepsake.example/anchor"
)

// Claim returns what shows that this member had a secret of the group: the one that its
// checkpoints hold.
func (n *Node) Claim() (claim [32]byte, err error) {
	n.secret.Use(func(secret *[anchor.KeySize]byte) { claim, err = Claim(secret[:]) })
	return claim, err
}

// have has the node do something between two steps, and waits for it: until ctx ends, for the
// step before may hang at a disk or an anchor. When it returns f has ended, or is never
// called: f may write what its caller reads.
func (r *Replica) have(ctx context.Context, f func(n *Node) error) error {
	done := make(chan error, 1)
	var taken atomic.Bool // begun, or taken back
	ask := func(n *Node) {
		if !taken.Swap(true) {
			done <- f(n)
		}
	}
	if err := send(ctx, r, r.wanted, ask); err != nil {
		return err
	}
	outcome, err := await(ctx, r, done)
	if err != nil && taken.Swap(true) {
		return <-done
	}
	return errors.Join(err, outcome)
}

// Secret calls f with the group's present secret, which f must neither change nor keep: a
// newcomer is given it. ErrSecret: this member does not have it yet.
func (r *Replica) Secret(ctx context.Context, f func(secret []byte)) error {
	return r.have(ctx, func(n *Node) error {
		if n.behind() {
			return ErrSecret
		}
		n.Secret(f)
		return nil
	})
}

// SecretFor is that of the Node: for what is said to another member.
func (r *Replica) SecretFor(ctx context.Context, member uint64, f func(secret []byte)) error {
	return r.have(ctx, func(n *Node) error { n.SecretFor(member, f); return nil })
}

// SecretsOf is that of the Node: for what another member said.
func (r *Replica) SecretsOf(ctx context.Context, member uint64, f func(secret []byte) (right bool)) error {
	return r.have(ctx, func(n *Node) error { n.SecretsOf(member, f); return nil })
}

// Claim is that of the Node.
func (r *Replica) Claim(ctx context.Context) (claim [32]byte, err error) {
	err = r.have(ctx, func(n *Node) (err error) { claim, err = n.Claim(); return err })
	return claim, err
}

// AdoptSecret is that of the Node.
func (r *Replica) AdoptSecret(ctx context.Context, secret *[32]byte) error {
	return r.have(ctx, func(n *Node) error { return n.AdoptSecret(secret) })
}
