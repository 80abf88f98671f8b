package replica

import (
	"crypto/sha256"
	"errors"
	"slices"

	"keepsake.example/anchor"
	"keepsake.example/internal/memo"
	"keepsake.example/internal/planted"
)

const (
	labelClaim = "keepsake group claim\x01"
	labelCheck = "keepsake group check\x01"
)

// Claim is what shows that somebody had a group's secret, and is not the secret
// (spec/replication.md §18).
func Claim(secret []byte) (claim [32]byte, err error) {
	b, err := memo.HKDF(secret, nil, labelClaim, len(claim))
	if err != nil {
		return claim, err
	}
	return [32]byte(b), nil
}

// CheckOf is what a claim is known by. It tells secrets apart, and shows nothing of them.
func CheckOf(claim [32]byte) [32]byte { return sha256.Sum256(append([]byte(labelCheck), claim[:]...)) }

// checkOfKey is the check of a secret.
func checkOfKey(k *anchor.Key) (check [32]byte, err error) {
	k.Use(func(secret *[anchor.KeySize]byte) {
		var claim [32]byte
		if claim, err = Claim(secret[:]); err == nil {
			check = CheckOf(claim)
		}
	})
	return check, err
}

// copyKey makes a key of its own with the same bytes.
func copyKey(k *anchor.Key) (own *anchor.Key) {
	k.Use(func(b *[anchor.KeySize]byte) { own = anchor.KeyFromBytes(*b) })
	return own
}

// secrets are the sessions under the group's present secret and, while the group goes
// over from one to the next, those under the one before (spec/replication.md §18.2).
// Each has a boot, counters and windows of its own.
type secrets struct {
	now, before *sessions // before is nil most of the time
	check       [32]byte  // of the present secret
	confirmed   bool      // the state has this check, or none; else somebody told us of the secret
}

func newSecrets(s *sessions) (*secrets, error) {
	check, err := checkOfKey(s.secret)
	return &secrets{now: s, check: check, confirmed: true}, err
}

// knows says whether a member's run is known: it proved that it has the secret.
func (s *sessions) knows(member uint64) bool {
	return s.peers[member] != nil && s.peers[member].out != nil
}

// older says whether a member is still to be reached under the secret before.
func (s *secrets) older(member uint64) bool {
	if s.before == nil || s.now.knows(member) && !planted.KeepSecret {
		return false
	}
	p := s.before.peers[member]
	return p == nil || !p.removed
}

// seal seals under the newest secret that the other one is known to have.
func (s *secrets) seal(to uint64, m *peerMessage) ([]byte, error) {
	if s.older(to) {
		return s.before.seal(to, m)
	}
	return s.now.seal(to, m)
}

// meet returns hellos for a member whose run is not known.
func (s *secrets) meet(to uint64) (hellos [][]byte, err error) {
	hello, err := s.now.meet(to)
	if hello != nil {
		hellos = append(hellos, hello)
	}
	if err == nil && s.older(to) {
		if hello, err = s.before.meet(to); hello != nil {
			hellos = append(hellos, hello)
		}
	}
	return hellos, err
}

// open takes what came from anybody. A message says by the receiver's boot under
// which secret it is; of a hello the MAC does. Who was met under the new secret is not
// heard under the old one any more: that may be somebody who has nothing else.
func (s *secrets) open(message []byte) (opened, error) {
	if s.before != nil && s.before.meant(message) {
		return s.before.open(message)
	}
	o, err := s.now.open(message)
	if s.before == nil {
		return o, err
	}
	if errors.Is(err, errForged) && message[1] == wireHello {
		return s.before.open(message)
	}
	if s.now.knows(o.from) && !planted.KeepSecret {
		s.before.drop(o.from)
	}
	return o, err
}

// meant says whether a sealed message is for this boot.
func (s *sessions) meant(message []byte) bool {
	h, err := readHeader(message)
	return err == nil && h.kind == wireSealed && bootID(message[wireHead:]) == s.boot
}

// turn begins with another secret, which it takes over. What was present is the one
// before, unless it was hearsay.
func (s *secrets) turn(next *sessions, confirmed bool) error {
	check, err := checkOfKey(next.secret)
	if err != nil {
		return err
	}
	for number, p := range s.now.peers {
		if p.removed {
			next.drop(number)
		}
	}
	if s.confirmed {
		s.before, s.now = s.now, s.before
	}
	if s.now != nil {
		s.now.wipe()
	}
	s.now, s.check, s.confirmed = next, check, confirmed
	return nil
}

// lapse gives up a secret that was hearsay, for the one before.
func (s *secrets) lapse() (err error) {
	for number, p := range s.now.peers {
		if !p.removed { // but not heard under the one before any more, because it was met
			s.before.admit(number)
		}
	}
	s.now.wipe()
	s.now, s.before, s.confirmed = s.before, nil, true
	s.check, err = checkOfKey(s.now.secret)
	return err
}

// end drops the secret before.
func (s *secrets) end() {
	s.before.wipe()
	s.before = nil
}

// met counts who of the members is known to have the present secret, itself among them.
func (s *secrets) met(members []uint64) (count int) {
	for _, m := range members {
		if m == s.now.self || s.now.knows(m) {
			count++
		}
	}
	return count
}

// of returns the secrets that a member may use, the newest first.
func (s *secrets) of(member uint64) []*anchor.Key {
	if s.older(member) {
		return []*anchor.Key{s.now.secret, s.before.secret}
	}
	return []*anchor.Key{s.now.secret}
}

func (s *secrets) both() []*sessions {
	return slices.DeleteFunc([]*sessions{s.now, s.before}, func(one *sessions) bool { return one == nil })
}

func (s *secrets) tick() {
	s.now.tick()
	if s.before != nil {
		s.before.tick()
	}
}

func (s *secrets) drop(member uint64) {
	for _, one := range s.both() {
		one.drop(member)
	}
}

// admit takes a member back that was dropped; under the old secret only if it was not
// met under the new one.
func (s *secrets) admit(member uint64) {
	s.now.admit(member)
	if s.before != nil && !s.now.knows(member) {
		s.before.admit(member)
	}
}

func (s *secrets) wipe() {
	for _, one := range s.both() {
		one.wipe()
	}
}

// Sender returns which member a message on the wire says that it is of, 0 for bytes that
// are none. Whoever knows by the connection who sends it drops what is of another.
func Sender(message []byte) uint64 {
	h, err := readHeader(message)
	if err != nil {
		return 0
	}
	return h.from
}
