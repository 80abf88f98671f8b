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
	"slices"

	"keepsake.example/peer"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/machine"
)

// What members ask each other: one octet, and what it says. The links know who asks,
// and that it is a member; all but askWelcome and askSecret is sealed besides (callseal.go).
// spec/replication.md §16.
const (
	askCommand  = 1 // u32 group, a command of the vault: answered with one octet and, if it is 0, the answer
	askWelcome  = 2 // u32 group, nonce 32: a welcome for the member that asks
	askReport   = 3 // how the member stands, as JSON, for status
	askSecret   = 5 // u32 group, claim 32: the group's present secret, for a member that slept; not sealed either (rekey.go)
	askStanding = 4 // u32 group, u64 member: answered with one octet and, if it is 0, what that member lacks to be given a vote
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
	if len(request) > 0 && request[0] == askWelcome {
		return s.serveWelcome(ctx, from, request[1:])
	}
	if len(request) > 0 && request[0] == askSecret {
		return s.serveSecret(from, request[1:])
	}
	call, kind, rest, err := s.openRequest(ctx, from, request)
	if err != nil {
		return nil, err
	}
	defer clear(rest) // k may be in it
	var reply []byte
	switch kind {
	case askReport:
		reply, err = json.Marshal(s.report())
	case askCommand:
		reply, err = s.serveCommand(ctx, rest)
	case askStanding:
		reply, err = s.serveStanding(rest)
	default:
		return nil, errAsk
	}
	if err != nil {
		return nil, err
	}
	defer clear(reply)
	return call.sealAnswer(reply), nil
}

// ask asks another member, which has a quarter of the time that a commit has: there are others
// to ask when it hangs.
func (s *Server) ask(ctx context.Context, to uint64, kind byte, rest []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit/4)
	defer cancel()
	links := s.links.Load()
	if links == nil {
		return nil, peer.ErrUnknown
	}
	call, request, err := s.sealRequest(ctx, to, kind, rest)
	if err != nil {
		return nil, err
	}
	reply, err := links.Call(ctx, to, request)
	if err != nil {
		return nil, err
	}
	return call.openAnswer(reply)
}

// serveCommand decides what another member opened and verified.
func (s *Server) serveCommand(ctx context.Context, b []byte) ([]byte, error) {
	if len(b) < 4 {
		return nil, errAsk
	}
	c, err := vault.DecodeCommand(b[4:])
	if err != nil {
		return nil, err
	}
	defer machine.Wipe(c)
	g := s.groups.get(binary.BigEndian.Uint32(b))
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

// others lists the members of a group that can be asked, who answered last first.
func (s *Server) others(number uint32) (list []uint64) {
	last, _ := s.asked.Load(number)
	for _, m := range s.known.Load().In(number) {
		switch m.Number {
		case s.self:
		case last:
			list = slices.Insert(list, 0, m.Number)
		default:
			list = append(list, m.Number)
		}
	}
	return list
}

// forward has a command decided by another machine, whichever has its group and can.
// A wrong one says so; one that is lost in the middle, or hangs, may have done it, and the next
// one finds that out at no cost. It is busy only when all were asked, and one of them was.
func (s *Server) forward(ctx context.Context, number uint32, c *vault.Command) (*vaultapi.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	request := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+vault.MaxCommand), number), c.Encode()...)
	defer clear(request)
	for n := 1; ; n++ {
		busy := false
		for _, to := range s.others(number) {
			answer, err := s.askCommand(ctx, to, request, c.Body.Type())
			if err == nil {
				s.asked.Store(number, to)
				return answer, nil
			}
			busy = busy || errors.Is(err, errBusy)
			if ctx.Err() != nil {
				return nil, err
			}
		}
		if busy {
			return nil, errBusy
		}
		if err := s.pause(ctx, n, ErrNoQuorum); err != nil {
			return nil, err
		}
	}
}

var errBusy = errors.New("vaultd: the other member is busy")

func (s *Server) askCommand(ctx context.Context, to uint64, request []byte, about vaultapi.Type) (*vaultapi.Answer, error) {
	reply, err := s.ask(ctx, to, askCommand, request)
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
