package vaultd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/peer"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/vaultd/machine"
)

// Joining says which fleet a new machine joins.
type Joining struct {
	Dir    string        // for the replica; nothing may be there
	Anchor anchor.Anchor // empty; the caller closes it
	Device anchor.Device // the hardware that Anchor is a ledger of; nil for none
	Fleet  sealed.FleetID
	// Roster is what a member answers to GET /roster after the change that adds this
	// machine was accepted: the fleet's identity key signed it, whoever brought it.
	Roster []byte
	Keys   *Keys
	Peers  net.Listener // where the members reach this machine; Join closes it
	Log    *slog.Logger // nil: none
}

// Join makes this machine a member of a fleet whose operators have added it. It asks
// the members for the root group's secret, sealed to this machine's key, until one
// answers or ctx ends, and makes an empty replica, which [New] opens and the leader
// fills. It returns the member's number.
//
// A number is welcomed once. After an error that came when a member had welcomed this
// machine already, ErrWelcomed is what a second call says: then the operators remove
// the number and add the machine's card under the next one.
func Join(ctx context.Context, j Joining) (uint64, error) {
	r, err := OpenRoster(j.Roster, j.Fleet)
	if err != nil {
		return 0, errors.Join(err, j.Peers.Close())
	}
	self, err := findSelf(r, j.Keys)
	if err == nil {
		err = j.check(ctx, r)
	}
	if err != nil {
		return 0, errors.Join(err, j.Peers.Close())
	}
	if j.Log == nil {
		j.Log = slog.New(slog.DiscardHandler)
	}
	// First what New finds the others by, then the replica, whose being there says that all is.
	if err := writeRoster(j.Dir, r); err != nil {
		return 0, errors.Join(err, j.Peers.Close())
	}
	nobody := func(context.Context, uint64, []byte) ([]byte, error) { return nil, errNoState }
	links, err := newLinks(j.Keys, j.Peers, self, func() []peer.Peer { return directoryOf(r) }, func(uint64, uint32, []byte) {}, nobody, j.Log)
	if err != nil {
		return 0, errors.Join(err, j.Peers.Close())
	}
	secret, err := newQuestion(machine.Root, self).ask(ctx, links, r, j.Keys)
	if err = errors.Join(err, links.Close()); err != nil {
		return 0, err
	}
	defer clear(secret[:])
	c := replica.Config{Dir: j.Dir, Anchor: j.Anchor, NewMachine: func() replica.Machine { return machine.New(machine.Root, nil) }}
	if err := replica.Join(ctx, c, self, secret); err != nil {
		return 0, fmt.Errorf("making an empty replica: %w", err)
	}
	return self, nil
}

// check refuses, before the number is used up, what New would refuse afterwards.
func (j *Joining) check(ctx context.Context, r *roster.Roster) error {
	if r.MinVersion > Version {
		return &VersionError{Least: r.MinVersion, Has: Version}
	}
	if d := j.Anchor.Describe(); d.Insecure && !r.Policy.Insecure {
		return fmt.Errorf("%w: the fleet's bundle does not say insecure, as one with the anchor %q must", ErrInsecure, d.Name)
	}
	if err := checkFleetKey(ctx, j.Device, r); err != nil {
		return err
	}
	return j.checkEmpty(ctx)
}

// checkEmpty refuses a machine that has joined: asked a second time the members would say that it was
// welcomed already, and people would remove a member that has all it should have.
func (j *Joining) checkEmpty(ctx context.Context) error {
	_, key, err := j.Anchor.Read(ctx)
	if errors.Is(err, anchor.ErrEmpty) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the anchor: %w", err)
	}
	key.Wipe()
	return ErrJoined
}

// findSelf finds this machine's number by its identity key.
func findSelf(r *roster.Roster, k *Keys) (uint64, error) {
	identity := k.Card("", "", "").Identity
	for _, m := range r.Members {
		if m.Identity == identity {
			return m.Number, nil
		}
	}
	return 0, ErrUnlisted
}

// question is a newcomer's for its welcome to a group. Its nonce is of one run, in
// memory only: a machine that forgot it, because it died before it had made its
// replica or because it was emptied, is not welcomed again.
type question struct {
	group uint32
	self  uint64
	nonce [32]byte
}

func newQuestion(group uint32, self uint64) *question {
	q := &question{group: group, self: self}
	rand.Read(q.nonce[:])
	return q
}

// ask asks every member of the group in turn, until one welcomes this machine.
func (q *question) ask(ctx context.Context, links *peer.Links, r *roster.Roster, k *Keys) (*[32]byte, error) {
	last := errors.New("vaultd: there is nobody to ask")
	for {
		for _, m := range r.In(q.group) {
			if m.Number == q.self {
				continue
			}
			secret, err := q.askOne(ctx, links, m.Number, r, k)
			if err == nil || errors.Is(err, ErrWelcomed) {
				return secret, err
			}
			last = fmt.Errorf("asking member %d (%s) for its welcome: %w", m.Number, m.Name, err)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(last, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (q *question) askOne(ctx context.Context, links *peer.Links, to uint64, r *roster.Roster, k *Keys) (*[32]byte, error) {
	request := binary.BigEndian.AppendUint32([]byte{askWelcome}, q.group)
	reply, err := links.Call(ctx, to, append(request, q.nonce[:]...))
	switch {
	case err != nil:
		return nil, err
	case len(reply) == 1 && reply[0] == refusedWelcome:
		return nil, fmt.Errorf("group %d, member %d: %w", q.group, q.self, ErrWelcomed)
	case len(reply) == 0 || reply[0] != givenWelcome:
		return nil, errWelcome
	}
	secret, _, err := openWelcome(reply[1:], r.Fleet, q, k)
	return secret, err
}

// makeMember makes this machine's empty member of a group that is placed here.
func (s *Server) makeMember(ctx context.Context, number uint32, a anchor.Anchor) error {
	links := s.links.Load()
	if links == nil {
		return errors.New("vaultd: no links to ask for a group's secret")
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	secret, err := s.unjoined.ask(number, s.self).ask(ctx, links, s.known.Load(), s.config.Keys)
	if err != nil {
		return err
	}
	defer clear(secret[:])
	return replica.Join(ctx, s.replicaConfig(number, a, make(chan struct{}, 1)), s.self, secret)
}

func (s *Server) groupAnchor(number uint32) (anchor.Anchor, error) {
	if s.config.GroupAnchor == nil {
		return nil, errors.New("vaultd: several groups need an anchor each")
	}
	a, err := s.config.GroupAnchor(number)
	if err != nil {
		return nil, fmt.Errorf("opening the anchor of group %d: %w", number, err)
	}
	return a, nil
}

// rosterFile holds, beside a replica without state, who belongs to the fleet. Whoever
// changes it keeps the machine from finding the others, and gains no more: those
// others go by their own rosters, and what they send is sealed.
const rosterFile = "roster"

func writeRoster(dir string, r *roster.Roster) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, rosterFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(r.Encode())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the roster: %w", err)
	}
	return nil
}

func readRoster(dir string) (*roster.Roster, error) {
	b, err := os.ReadFile(filepath.Join(dir, rosterFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoState
	}
	if err != nil {
		return nil, fmt.Errorf("reading the roster: %w", err)
	}
	r, err := roster.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("reading the roster: %w", err)
	}
	return r, nil
}
