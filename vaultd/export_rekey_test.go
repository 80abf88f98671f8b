package vaultd

import (
	"context"
	"net"

	"keepsake.example/peer"
	"keepsake.example/replica"
	"keepsake.example/vaultd/machine"
)

// SetOverlap bounds for how long a secret serves after the next one, in ticks.
func SetOverlap(c *Config, ticks int) { c.overlap = ticks }

// SecretOf is what the memory of a machine gives away: a group's secret.
func (s *Server) SecretOf(number uint32) (secret [32]byte) {
	if err := s.groups.get(number).replica.Secret(context.Background(), func(b []byte) { copy(secret[:], b) }); err != nil {
		panic(err)
	}
	return secret
}

// A Thief has keys of a machine and a secret, and speaks for the machine.
type Thief struct {
	Self   uint64
	Secret [32]byte
	links  *peer.Links
}

// Steal lets a thief use a machine's keys, with the roster that another machine has. Close ends it.
func Steal(k *Keys, l net.Listener, self uint64, secret [32]byte, from *Server) (*Thief, error) {
	nobody := func(context.Context, uint64, []byte) ([]byte, error) { return nil, errNoState }
	r := from.known.Load()
	links, err := newLinks(k, l, self, func() []peer.Peer { return directoryOf(r) }, func(uint64, uint32, []byte) {}, nobody, from.log)
	return &Thief{self, secret, links}, err
}

// Close ends the thief's links.
func (f *Thief) Close() error { return f.links.Close() }

// Report asks a member how it stands, in a call under the thief's secret.
func (f *Thief) Report(ctx context.Context, to uint64) error {
	_, request, err := sealRequest(f.Secret[:], f.Self, to, askReport, nil)
	if err != nil {
		return err
	}
	_, err = f.links.Call(ctx, to, request)
	return err
}

// Ask asks a member for the group's present secret, showing the thief's, and returns the answer's first octet and the
// box in it.
func (f *Thief) Ask(ctx context.Context, to uint64) (given bool, box []byte, err error) {
	request := append([]byte{askSecret, 0, 0, 0, machine.Root}, f.Secret[:]...)
	claim, err := replica.Claim(f.Secret[:])
	if err != nil {
		return false, nil, err
	}
	copy(request[5:], claim[:])
	reply, err := f.links.Call(ctx, to, request)
	if err != nil || len(reply) == 0 {
		return false, nil, err
	}
	return reply[0] == givenWelcome, reply[min(len(reply), secretHead):], nil
}

// Welcome asks a member to be welcomed with a new nonce.
func (f *Thief) Welcome(ctx context.Context, to uint64) (given bool, err error) {
	return f.WelcomeAs(ctx, to, newQuestion(machine.Root, f.Self).nonce)
}

// WelcomeAs asks with a nonce.
func (f *Thief) WelcomeAs(ctx context.Context, to uint64, nonce [32]byte) (given bool, err error) {
	reply, err := f.links.Call(ctx, to, append([]byte{askWelcome, 0, 0, 0, machine.Root}, nonce[:]...))
	return err == nil && len(reply) > 0 && reply[0] == givenWelcome, err
}

// Opens tries keys on a box of the group's secret for a member.
func (s *Server) Opens(k *Keys, number uint64, box []byte) bool {
	opens := false
	s.root().of(func(m *machine.Machine) {
		if last := m.LastRekey(number); last != nil {
			_, err := k.open(last.Info(number), box)
			opens = err == nil
		}
	})
	return opens
}

// Hear gives a server a message that came over a member's link.
func (s *Server) Hear(from uint64, message []byte) { s.receive(from, machine.Root, message) }
