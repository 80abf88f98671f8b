package vaultd

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/roster"
	"keepsake.example/sealed"
	"keepsake.example/vaultd/machine"
)

// What the fleet's identity key signs here; spec/replication.md §16. All labels are
// of fixed length, as is what follows up to the last part.
const (
	rosterLabel  = "keepsake fleet roster\x01"
	welcomeLabel = "keepsake fleet welcome\x01"
	secretLabel  = "keepsake group secret\x01"
	signedHead   = ed25519.PublicKeySize + ed25519.SignatureSize
)

var (
	errRoster  = errors.New("vaultd: not a roster that this fleet signed")
	errWelcome = errors.New("vaultd: not a welcome that this fleet signed for this member")
)

// signAs signs content under a label with the fleet's identity key: the key, the
// signature, the content.
func signAs(label string, identity ed25519.PrivateKey, content []byte) []byte {
	signature := ed25519.Sign(identity, append([]byte(label), content...))
	return bytes.Join([][]byte{identity.Public().(ed25519.PublicKey), signature, content}, nil)
}

// openSigned returns the content that the fleet's identity key signed. The fleet id
// is pinned; the key follows from it.
func openSigned(label string, pinned sealed.FleetID, signed []byte) ([]byte, bool) {
	if len(signed) < signedHead {
		return nil, false
	}
	key, signature, content := ed25519.PublicKey(signed[:32]), signed[32:signedHead], signed[signedHead:]
	if fleet.ID(key) != pinned || !ed25519.Verify(key, append([]byte(label), content...), signature) {
		return nil, false
	}
	return content, true
}

// signRoster makes what GET /roster answers.
func signRoster(identity ed25519.PrivateKey, r *roster.Roster) []byte {
	return signAs(rosterLabel, identity, r.Encode())
}

// OpenRoster reads the answer of GET /roster: who belongs to the fleet whose id was
// pinned, as it was when a member signed it. An old one is as well signed as the newest.
func OpenRoster(signed []byte, pinned sealed.FleetID) (*roster.Roster, error) {
	content, ok := openSigned(rosterLabel, pinned, signed)
	if !ok {
		return nil, errRoster
	}
	r, err := roster.Decode(content)
	if err != nil {
		return nil, fmt.Errorf("reading a roster: %w", err)
	}
	if r.Fleet != pinned {
		return nil, errRoster
	}
	return r, nil
}

// welcome is what a newcomer needs of a group: its secret and who belongs to the fleet.
type welcome struct {
	group  uint32
	to     uint64
	nonce  [32]byte // the newcomer's: a welcome is for one run of it
	sealed []byte   // the group secret, to the newcomer's sealing key
	roster []byte   // encoded
}

// secretInfo binds a sealed secret to fleet, group, newcomer and run.
func secretInfo(id [32]byte, group uint32, to uint64, nonce *[32]byte) []byte {
	b := append([]byte(secretLabel), id[:]...)
	b = binary.BigEndian.AppendUint32(b, group)
	return append(binary.BigEndian.AppendUint64(b, to), nonce[:]...)
}

// newWelcome seals a group's secret to a member.
func newWelcome(r *roster.Roster, group uint32, to roster.Member, nonce [32]byte, secret []byte) (*welcome, error) {
	box, err := sealTo(to, secretInfo(r.Fleet, group, to.Number, &nonce), secret)
	if err != nil {
		return nil, fmt.Errorf("sealing the secret of group %d: %w", group, err)
	}
	return &welcome{group, to.Number, nonce, box, r.Encode()}, nil
}

func (w *welcome) sign(identity ed25519.PrivateKey) []byte {
	b := binary.BigEndian.AppendUint32(nil, w.group)
	b = append(binary.BigEndian.AppendUint64(b, w.to), w.nonce[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(w.sealed)))
	b = append(append(b, w.sealed...), w.roster...)
	return signAs(welcomeLabel, identity, b)
}

// welcomeHead is what stands before the sealed secret: group, member, nonce, length.
const welcomeHead = 4 + 8 + 32 + 2

// openWelcome checks a welcome and opens the secret in it, which the caller wipes.
func openWelcome(signed []byte, pinned sealed.FleetID, q *question, k *Keys) (*[32]byte, *roster.Roster, error) {
	b, ok := openSigned(welcomeLabel, pinned, signed)
	if !ok || len(b) < welcomeHead || binary.BigEndian.Uint32(b) != q.group || binary.BigEndian.Uint64(b[4:]) != q.self || [32]byte(b[12:]) != q.nonce {
		return nil, nil, errWelcome
	}
	n, rest := int(binary.BigEndian.Uint16(b[welcomeHead-2:])), b[welcomeHead:]
	if n > len(rest) {
		return nil, nil, errWelcome
	}
	r, err := roster.Decode(rest[n:])
	if err != nil || r.Fleet != pinned {
		return nil, nil, errors.Join(errWelcome, err)
	}
	secret, err := k.open(secretInfo(pinned, q.group, q.self, &q.nonce), rest[:n])
	if err != nil || len(secret) != 32 {
		return nil, nil, errWelcome
	}
	defer clear(secret)
	return (*[32]byte)(bytes.Clone(secret)), r, nil
}

const (
	// welcomeEvery is how often a member has a welcome to a group proposed here: each is an entry
	// of the log, and who asks has shown a key file, and not the secret.
	welcomeEvery = time.Second
	// repeatEvery is how often the log says that one asks a second time.
	repeatEvery = time.Minute
)

var errPace = errors.New("vaultd: this member asked for its welcome a moment ago")

// serveWelcome welcomes a member to a group, once. That it is the first time, or the
// same newcomer again, a majority says before the secret is given away. That it is not needs
// no majority: what is welcomed here is welcomed.
func (s *Server) serveWelcome(ctx context.Context, from uint64, b []byte) ([]byte, error) {
	if len(b) != 4+32 {
		return nil, errAsk
	}
	g, nonce := s.groups.get(binary.BigEndian.Uint32(b)), [32]byte(b[4:])
	if g == nil {
		return nil, errAsk
	}
	m, r, err := s.mayWelcome(g, from)
	if err != nil {
		return nil, err
	}
	if err := s.admit(); err != nil {
		return nil, err
	}
	defer s.working.Done()
	if g.welcomedElse(from, nonce) {
		return s.refuseWelcome(g, from)
	}
	if !s.welcomes.may(g.number, from, welcomeEvery) {
		return nil, errPace
	}
	effect, err := g.replica.Propose(ctx, machine.WelcomeEntry(from, nonce))
	if err != nil {
		return nil, fmt.Errorf("welcoming member %d to group %d: %w", from, g.number, err)
	}
	if w, ok := effect.(*machine.Welcome); !ok || !w.OK {
		return s.refuseWelcome(g, from)
	}
	return s.welcome(ctx, g, r, m, nonce)
}

// welcomedElse says whether a member was welcomed with another nonce, as far as is known here.
func (g *group) welcomedElse(number uint64, nonce [32]byte) (was bool) {
	g.of(func(m *machine.Machine) {
		with, is := m.Welcomed(number)
		was = is && with != nonce
	})
	return was
}

func (s *Server) refuseWelcome(g *group, number uint64) ([]byte, error) {
	if s.repeats.may(g.number, number, repeatEvery) {
		s.log.Error("a member asks to be welcomed a second time: its disk was emptied, or somebody has its keys", "group", g.number, "member", number)
	}
	return []byte{refusedWelcome}, nil
}

// pace is when something was done last for each member of each group.
type pace struct {
	mu   sync.Mutex
	last map[[2]uint64]time.Time
}

// may says whether it may be done again, and counts that it is.
func (p *pace) may(group uint32, member uint64, every time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	of, now := [2]uint64{uint64(group), member}, time.Now()
	if last, ok := p.last[of]; ok && now.Sub(last) < every {
		return false
	}
	if p.last == nil {
		p.last = map[[2]uint64]time.Time{}
	}
	p.last[of] = now
	return true
}

// What a question for a welcome is answered with first.
const (
	givenWelcome   = 0
	refusedWelcome = 1
)

// mayWelcome finds a member of a group. Who is none as far as is known here need not
// be written into the log.
func (s *Server) mayWelcome(g *group, number uint64) (roster.Member, *roster.Roster, error) {
	r := g.roster()
	if r == nil {
		return roster.Member{}, nil, errNoState
	}
	for _, m := range r.In(g.number) {
		if m.Number == number {
			return m, r, nil
		}
	}
	return roster.Member{}, nil, fmt.Errorf("vaultd: member %d is not one of group %d as it is known here", number, g.number)
}

func (s *Server) welcome(ctx context.Context, g *group, r *roster.Roster, m roster.Member, nonce [32]byte) (reply []byte, err error) {
	var w *welcome
	lost := g.replica.Secret(ctx, func(secret []byte) { w, err = newWelcome(r, g.number, m, nonce, secret) })
	if err = errors.Join(lost, err); err != nil {
		return nil, err
	}
	err = s.root().identity(func(key ed25519.PrivateKey) { reply = append([]byte{givenWelcome}, w.sign(key)...) })
	return reply, err
}
