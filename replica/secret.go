package replica

import (
	"context"
	"errors"

	"keepsake.example/anchor"
)

// Claim returns what shows that this member had a secret of the group: the one that its
// checkpoints hold.
func (n *Node) Claim() (claim [32]byte, err error) {
	n.secret.Use(func(secret *[anchor.KeySize]byte) { claim, err = Claim(secret[:]) })
	return claim, err
}

// have has the node do something between two steps, and waits for it.
func (r *Replica) have(f func(n *Node) error) error {
	done := make(chan error, 1)
	ask := func(n *Node) { done <- f(n) }
	if err := send(context.Background(), r, r.wanted, ask); err != nil {
		return err
	}
	outcome, err := await(context.Background(), r, done)
	return errors.Join(err, outcome)
}

// Secret calls f with the group's present secret, which f must neither change nor keep: a
// newcomer is given it. ErrSecret: this member does not have it yet.
func (r *Replica) Secret(f func(secret []byte)) error {
	return r.have(func(n *Node) error {
		if n.behind() {
			return ErrSecret
		}
		n.Secret(f)
		return nil
	})
}

// SecretFor is that of the Node: for what is said to another member.
func (r *Replica) SecretFor(member uint64, f func(secret []byte)) error {
	return r.have(func(n *Node) error { n.SecretFor(member, f); return nil })
}

// SecretsOf is that of the Node: for what another member said.
func (r *Replica) SecretsOf(member uint64, f func(secret []byte) (right bool)) error {
	return r.have(func(n *Node) error { n.SecretsOf(member, f); return nil })
}

// Claim is that of the Node.
func (r *Replica) Claim() (claim [32]byte, err error) {
	err = r.have(func(n *Node) (err error) { claim, err = n.Claim(); return err })
	return claim, err
}

// AdoptSecret is that of the Node.
func (r *Replica) AdoptSecret(secret *[32]byte) error {
	return r.have(func(n *Node) error { return n.AdoptSecret(secret) })
}
