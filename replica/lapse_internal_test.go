package replica

import (
	"crypto/rand"
	"testing"

	"keepsake.example/anchor"
)

// Seed 31608 of the simulator: who was met under a secret that turns out to be hearsay is heard under the one before
// again, when that is the present one; who was removed is not.
func TestLapseHearsWhoWasMet(t *testing.T) {
	under := func(b byte) *sessions {
		s, err := newSessions(rand.Reader, 1, anchor.KeyFromBytes([32]byte{b}))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, err := newSecrets(under(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.turn(under(2), false); err != nil {
		t.Fatal(err)
	}
	for _, one := range s.both() {
		for member := uint64(2); member <= 3; member++ {
			if _, err := one.peer(member); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.before.drop(2) // because it was met
	s.drop(3)        // because it left
	if err := s.lapse(); err != nil {
		t.Fatal(err)
	}
	if s.now.peers[2].removed || !s.now.peers[3].removed || s.before != nil || !s.confirmed {
		t.Errorf("2 removed %v, 3 removed %v, before %v, confirmed %v", s.now.peers[2].removed, s.now.peers[3].removed, s.before, s.confirmed)
	}
}
