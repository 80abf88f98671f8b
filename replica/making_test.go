package replica_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// A checkpoint whose name could not be made durable leaves nothing behind in whose way the next
// would come, with or without entries between them (seed 215852 of the simulator).
func TestCheckpointAfterOneThatFailed(t *testing.T) {
	for _, removals := range []int{0, 1, 2} {
		for _, entries := range []int{0, 1} {
			g := newGroup(t, 1)
			disks := flawedDisks(g)
			grow(g, 1)
			d := disks[g.seats[1].w]
			d.naming, d.remove = 1, removals
			turn := func() error {
				err := errors.New("no answer")
				g.seats[1].node.Checkpoint(func(e error) { err = e })
				g.tick(20)
				return err
			}
			for range max(removals, 1) {
				if err := turn(); !errors.Is(err, errFlaw) {
					t.Fatalf("%d, %d: a checkpoint without a durable name: %v", removals, entries, err)
				}
			}
			for range entries {
				g.must(1, 10)
			}
			if err := turn(); err != nil {
				t.Errorf("%d, %d: the one after it: %v", removals, entries, err)
			}
			names := slices.DeleteFunc(must(d.List()), func(name string) bool { return !strings.HasPrefix(name, "checkpoint-") })
			if len(names) != 1 {
				t.Errorf("%d, %d: %q are there", removals, entries, names)
			}
			g.crash(1)
			g.start(1)
			g.settled()
		}
	}
}

// So a newcomer on a bad disk takes a picture in the end.
func TestPictureAfterOneThatFailed(t *testing.T) {
	g := newGroup(t, 1)
	disks := flawedDisks(g)
	grow(g, 1)
	g.change(1, "add 2")
	g.join(2)
	d := disks[g.seats[2].w]
	d.naming, d.remove = 2, 2
	g.tick(400)
	if s := g.seats[2].node.Status(); d.failed < 4 || s.Applied != g.seats[1].node.Status().Applied {
		t.Errorf("after %d failures: %+v", d.failed, s)
	}
	g.settled()
}

// The checkpoint that takes the group secret before off the disk is made again when it failed.
func TestSecretLeavesTheDiskInTheEnd(t *testing.T) {
	g := newGroup(t, 1)
	g.locks = &locksmith{broken: map[uint64]bool{}}
	disks := flawedDisks(g)
	grow(g, 3)
	was := g.secretOf(2)
	d := disks[g.seats[2].w]
	d.naming = 2
	g.rekey(1)
	g.tick(2000)
	if s := g.seats[2].node.Status(); d.failed != 2 || s.Secret.Behind || s.Secret.Turning {
		t.Fatalf("%d failures, %+v", d.failed, s.Secret)
	}
	g.crash(2)
	g.start(2)
	if claim := must(g.seats[2].node.Claim()); replica.CheckOf(claim) == checkOf(was) {
		t.Error("the secret before is what the newest checkpoint holds")
	}
}
