package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/vaultd"
)

// fleetKeys are the fleet's id and its operators, three of whom two sign. Their keys
// are nowhere but here, and nobody has them when devnet ends.
type fleetKeys struct {
	id        sealed.FleetID
	operators []ed25519.PrivateKey
}

// joinTime bounds the joining of one replica.
const joinTime = 30 * time.Second

// found founds a fleet of one replica and runs it.
func (n *network) found(ctx context.Context) error {
	r, err := n.newReplica(1)
	if err != nil {
		return err
	}
	policy := fleet.DefaultPolicy()
	policy.Insecure = true
	for i := 3; i < len(policy.Waits); i++ {
		policy.Waits[i] = uint64(n.o.waits.Milliseconds())
	}
	n.fleet = &fleetKeys{}
	f := vaultd.Founding{Dir: r.dir(), Anchor: r.anchor, Policy: policy, Self: r.card(), Quorum: 2}
	for _, name := range []string{"ann", "bob", "eve"} {
		public, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		n.fleet.operators = append(n.fleet.operators, key)
		f.Operators = append(f.Operators, roster.Operator{Name: name, Key: [32]byte(public)})
	}
	if n.fleet.id, _, err = vaultd.Found(ctx, f); err != nil {
		return err
	}
	return r.start(ctx)
}

// grow has the others join, one after the other: operators add a learner by the card
// of its machine, it is welcomed and catches up, operators give it its vote.
func (n *network) grow(ctx context.Context) error {
	for number := uint64(2); number <= uint64(n.o.replicas); number++ {
		ctx, cancel := context.WithTimeout(ctx, joinTime)
		defer cancel()
		if err := n.join(ctx, number); err != nil {
			return fmt.Errorf("replica %d: %w", number, err)
		}
	}
	return nil
}

func (n *network) join(ctx context.Context, number uint64) error {
	r, err := n.newReplica(number)
	if err != nil {
		return err
	}
	if err := n.change(ctx, roster.Add, r.card().Member(number)); err != nil {
		return err
	}
	signed, err := n.replicas[0].server.Roster()
	if err != nil {
		return err
	}
	if _, err := vaultd.Join(ctx, vaultd.Joining{Dir: r.dir(), Anchor: r.anchor, Fleet: n.fleet.id, Roster: signed, Keys: r.keys, Peers: r.take(0)}); err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	if err := r.wait(ctx, func(st *vaultd.Status) bool { return st.Ready }); err != nil {
		return err
	}
	if err := n.promote(ctx, number); err != nil {
		return err
	}
	return r.wait(ctx, func(st *vaultd.Status) bool { return st.Replica.Role != "learner" })
}

// promote gives a newcomer its vote as soon as the fleet takes it: it must have caught up.
func (n *network) promote(ctx context.Context, number uint64) error {
	for {
		err := n.change(ctx, roster.Promote, roster.Member{Number: number})
		if refusal, ok := errors.AsType[*roster.Refusal](err); !ok || refusal.Code != vaultd.Behind {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// wait waits until the replica stands as is says: it has caught up, it has a vote.
func (r *replica) wait(ctx context.Context, is func(*vaultd.Status) bool) error {
	for {
		if st := r.server.Status(ctx); is(&st) {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("it does not catch up")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// change has two operators sign a change of the roster, and the fleet accept it.
func (n *network) change(ctx context.Context, kind roster.Kind, m roster.Member) error {
	signed, err := n.replicas[0].server.Roster()
	if err != nil {
		return err
	}
	now, err := vaultd.OpenRoster(signed, n.fleet.id)
	if err != nil {
		return err
	}
	c := now.Next(kind)
	c.Member = m
	s := roster.Signed{}
	if s.Text, err = c.Text(); err != nil {
		return err
	}
	for _, key := range n.fleet.operators[:2] {
		signature, err := roster.Sign(s.Text, key)
		if err != nil {
			return err
		}
		if err := s.Add(signature); err != nil {
			return err
		}
	}
	_, err = n.replicas[0].server.Change(ctx, s.Encode())
	return err
}
