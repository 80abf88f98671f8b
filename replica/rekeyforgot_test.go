package replica_test

import (
	"testing"

	"keepsake.example/replica"
)

// A member that was met under the new secret, and lost its power before anything durable said so,
// comes back under the old one. The others know its last run, so they say no hello, and what they
// say is for that run: it must notice nevertheless that there is something to ask. (Seed 21048 of
// the simulator.)
func TestCrashAfterTheOthersDroppedTheSecret(t *testing.T) {
	g := newGroup(t, 31)
	g.locks = &locksmith{broken: map[uint64]bool{}}
	full := &fullDisk{}
	g.c = func(c *replica.Config) {
		if w, ok := c.Disk.(*world); ok && g.seats[3] != nil && w == g.seats[3].w {
			full.world = w
			c.Disk = full
		}
	}
	grow(g, 3)
	old := g.secretOf(3)
	full.full = true // no checkpoint: the commit of the new secret is in memory only
	secret := g.rekey(1)
	g.tick(20)
	g.under(secret, 1, 1, 2)
	if g.secretOf(3) != secret {
		t.Fatal("member 3 did not go over to the new secret")
	}
	g.crash(3)
	full.full = false
	g.start(3)
	if g.secretOf(3) != old {
		t.Fatal("member 3 has the new secret: the test shows nothing")
	}
	g.tick(60)
	st := g.seats[3].node.Status()
	if st.Secret.Strangers == 0 || st.Leader != 0 {
		t.Fatalf("member 3 hears %d: %+v", st.Leader, st.Secret)
	}
	check(t, g.seats[3].node.AdoptSecret(&secret))
	g.tick(60)
	g.under(secret, 1, 1, 2, 3)
	g.must(3, 10)
	g.agree()
}
