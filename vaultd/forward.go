package vaultd

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"keepsake.example/peer"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// What members ask each other: one octet, and what it says. The links know who asks,
// and that it is a member. spec/replication.md §16.
const (
	askCommand = 1 // u32 group, a command of the vault: answered with one octet and, if it is 0, the answer
	askWelcome = 2 // u32 group: a welcome for the member that asks
	askReport  = 3 // how the member stands, as JSON, for status
	askRoster  = 4 // the signed roster
)

// What askCommand is answered with first.
const (
	answered  = 0
	elsewhere = 1 // nothing can be decided here now: ask another
	isBusy    = 2
)

var errAsk = errors.New("vaultd: not a question between members")

func newLinks(k *Keys, l net.Listener, self uint64, directory func() []peer.Peer, receive func(uint64, uint32, []byte), serve func(context.Context, uint64, []byte) ([]byte, error), log *slog.Logger) (*peer.Links, error) {
	links, err := peer.New(peer.Config{
		Self: self, Key: k.held().identity, Listener: l, Directory: directory, Receive: receive, Serve: serve, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the links to the other members: %w", err)
	}
	return links, nil
}

// serve answers a member.
func (s *Server) serve(ctx context.Context, from uint64, request []byte) ([]byte, error) {
	if len(request) == 0 {
		return nil, errAsk
	}
	rest := request[1:]
	switch request[0] {
	case askReport:
		return json.Marshal(s.report())
	case askRoster:
		return s.Roster()
	case askCommand, askWelcome:
		if len(rest) < 4 {
			return nil, errAsk
		}
		number := binary.BigEndian.Uint32(rest)
		if request[0] == askWelcome {
			return s.welcome(number, from)
		}
		return s.serveCommand(ctx, number, rest[4:])
	}
	return nil, errAsk
}

// serveCommand decides what another member opened and verified.
func (s *Server) serveCommand(ctx context.Context, number uint32, encoded []byte) ([]byte, error) {
	defer clear(encoded) // k may be in it
	c, err := vault.DecodeCommand(encoded)
	if err != nil {
		return nil, err
	}
	defer machine.Wipe(c)
	g := s.groups.get(number)
	if c.Kind != vault.Request || g == nil || s.admit() != nil {
		return []byte{elsewhere}, nil
	}
	defer s.working.Done()
	a, err := s.conduct(ctx, g, c)
	switch {
	case errors.Is(err, ErrNoQuorum):
		return []byte{elsewhere}, nil
	case err != nil:
		return []byte{isBusy}, nil
	}
	text, err := a.Encode()
	if err != nil {
		return nil, err
	}
	return append([]byte{answered}, text...), nil
}

// welcome makes the welcome of a member to a group, if this machine knows it as one.
func (s *Server) welcome(number uint32, to uint64) (signed []byte, err error) {
	g := s.groups.get(number)
	if g == nil {
		return nil, errAsk
	}
	r := g.roster()
	if r == nil {
		return nil, errNoState
	}
	for _, m := range r.In(number) {
		if m.Number != to {
			continue
		}
		var w *welcome
		lost := g.replica.Secret(func(secret []byte) { w, err = newWelcome(r, number, m, secret) })
		if err = errors.Join(lost, err); err != nil {
			return nil, err
		}
		return signed, errors.Join(err, s.root().identity(func(key ed25519.PrivateKey) { signed = w.sign(key) }))
	}
	return nil, fmt.Errorf("vaultd: member %d is not one of group %d as it is known here", to, number)
}

// asked remembers which member of a group answered last.
type asked struct {
	mu   sync.Mutex
	last map[uint32]uint64
}

func (a *asked) get(number uint32) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last[number]
}

func (a *asked) set(number uint32, member uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == nil {
		a.last = map[uint32]uint64{}
	}
	a.last[number] = member
}

// others lists the members of a group that can be asked, who answered last first.
func (s *Server) others(number uint32) (list []uint64) {
	last := s.asked.get(number)
	for _, m := range s.known.Load().In(number) {
		switch m.Number {
		case s.self:
		case last:
			list = append([]uint64{last}, list...)
		default:
			list = append(list, m.Number)
		}
	}
	return list
}

// forward has a command decided by another machine, whichever has its group and can.
// A wrong one says so; one that is lost in the middle may have done it, and the next
// one finds that out at no cost.
func (s *Server) forward(ctx context.Context, number uint32, c *vault.Command) (*vaultapi.Answer, error) {
	links := s.links.Load()
	if links == nil {
		return nil, ErrNoQuorum
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	request := append(binary.BigEndian.AppendUint32([]byte{askCommand}, number), c.Encode()...)
	defer clear(request)
	for n := 1; ; n++ {
		for _, to := range s.others(number) {
			answer, err := s.ask(ctx, links, to, request, c.Body.Type())
			if err == nil {
				s.asked.set(number, to)
				return answer, nil
			}
			if errors.Is(err, errBusy) || ctx.Err() != nil {
				return nil, err
			}
		}
		if err := s.pause(ctx, n, ErrNoQuorum); err != nil {
			return nil, err
		}
	}
}

var errBusy = errors.New("vaultd: the other member is busy")

func (s *Server) ask(ctx context.Context, links *peer.Links, to uint64, request []byte, about vaultapi.Type) (*vaultapi.Answer, error) {
	reply, err := links.Call(ctx, to, append([]byte{}, request...))
	if err != nil {
		return nil, err
	}
	switch {
	case len(reply) == 0 || reply[0] == elsewhere:
		return nil, ErrNoQuorum
	case reply[0] != answered:
		return nil, errBusy
	}
	defer clear(reply)
	return vaultapi.DecodeAnswer(about, reply[1:])
}

// Roster returns the roster as this member has it, signed by the fleet's identity
// key, for OpenRoster.
func (s *Server) Roster() (signed []byte, err error) {
	r := s.root().roster()
	if r == nil {
		return nil, errNoState
	}
	err = s.root().identity(func(key ed25519.PrivateKey) { signed = signRoster(key, r) })
	return signed, err
}
