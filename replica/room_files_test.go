package replica_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"keepsake.example/replica"
)

// flawed is a disk on which one kind of step fails.
type flawed struct {
	*world
	open, sync, publish int  // how many of the next fail; the last two are of drafts
	naming, remove      int  // likewise: the sync of a checkpoint's name that is there, and removing one
	spare               int  // so many drafts work before
	close               bool // all files fail to close
	failed              int
}

var errFlaw = errors.New("too many open files")

func (d *flawed) fails(left *int) bool {
	if *left == 0 {
		return false
	}
	*left--
	d.failed++
	return true
}

func (d *flawed) Open(name string) (replica.File, error) {
	if d.fails(&d.open) {
		return nil, errFlaw
	}
	f, err := d.world.Open(name)
	return flawedFile{f, d}, err
}

func (d *flawed) Create() (replica.Draft, error) {
	draft, err := d.world.Create()
	if d.spare--; d.spare >= 0 {
		return draft, err
	}
	return flawedDraft{draft, d}, err
}

type flawedFile struct {
	replica.File
	d *flawed
}

func (f flawedFile) Close() error {
	if f.d.close {
		f.d.failed++
		return errors.Join(f.File.Close(), errFlaw)
	}
	return f.File.Close()
}

type flawedDraft struct {
	replica.Draft
	d *flawed
}

func (f flawedDraft) Sync() error {
	if f.d.fails(&f.d.sync) {
		return errFlaw
	}
	return f.Draft.Sync()
}

func (f flawedDraft) Publish(name string) error {
	if f.d.fails(&f.d.publish) {
		return errFlaw
	}
	err := f.Draft.Publish(name)
	if strings.HasPrefix(name, "checkpoint-") && f.d.fails(&f.d.naming) {
		return errFlaw
	}
	return err
}

func (d *flawed) Remove(names ...string) error {
	if strings.HasPrefix(strings.Join(names, ""), "checkpoint-") && d.fails(&d.remove) {
		return errFlaw
	}
	return d.world.Remove(names...)
}

func flawedDisks(g *group) map[*world]*flawed {
	return disksOf(g, func(w *world) *flawed { return &flawed{world: w} })
}

// begins gives a follower two entries in one step. There is no room, or too little, for both in its log
// file, and making another is what fails.
func begins(t *testing.T, room int64, sizes [2]int, flaw func(*flawed)) (failed int) {
	t.Helper()
	g := newGroup(t, 5)
	disks := flawedDisks(g)
	grow(g, 3)
	leader := g.leader()
	follower := g.seats[g.other(leader.number)]
	leave(g, leader, follower, room)
	g.tick(1)
	d := disks[follower.w]
	flaw(d)
	for i, size := range sizes {
		leader.node.Propose(fmt.Appendf(nil, "%d %d %s", room, i, strings.Repeat("x", size)), func(any, error) {})
		g.work(leader)
	}
	g.deliver()
	g.step()
	failed = d.failed
	*d = flawed{world: d.world}
	g.tick(10)
	g.crash(follower.number)
	g.start(follower.number)
	g.settled()
	if t.Failed() {
		t.Fatalf("with %d bytes left", room)
	}
	return failed
}

// A log file that is made and cannot be opened leaves the one before.
func TestLogFileDoesNotOpen(t *testing.T) {
	failed := 0
	for room := int64(200); room < 800; room += 30 {
		failed += begins(t, room, [2]int{100, 100}, func(d *flawed) { d.open = 2 })
	}
	if failed == 0 {
		t.Error("no file failed to open: the test shows nothing")
	}
}

// One that a larger one takes the place of leaves nothing in the lurch when that fails.
func TestLargerLogFileFails(t *testing.T) {
	failed := 0
	for room := int64(200); room < 420; room += 10 {
		failed += begins(t, room, [2]int{100, 6000}, func(d *flawed) { d.spare, d.publish = 1, 3 })
	}
	if failed == 0 {
		t.Error("no larger file was made: the test shows nothing")
	}
}

// What a full disk shows before the larger file has its name does not cost the smaller one, in which
// there is room for votes.
func TestLargerLogFileOnAFullDisk(t *testing.T) {
	g := newGroup(t, 5)
	disks := flawedDisks(g)
	grow(g, 3)
	leader := g.leader()
	follower := g.seats[g.other(leader.number)]
	follower.node.Checkpoint(func(err error) { check(t, err) })
	g.tick(3) // a heartbeat has a log file made
	room := replica.LogRoom(follower.node)
	d := disks[follower.w]
	d.sync = 100
	g.must(leader.number, 6000)
	g.tick(2)
	if got := replica.LogRoom(follower.node); room < 1000 || got != room || d.failed == 0 {
		t.Errorf("%d bytes are left of %d; %d drafts were not synced", got, room, d.failed)
	}
	d.sync = 0
	g.tick(4)
	g.agree()
}

// A file that nobody needs any more may fail to close.
func TestLogFileDoesNotClose(t *testing.T) {
	w := newWorld()
	h := newHistory()
	check(t, w.create(t))
	d := &flawed{world: w}
	c := w.config()
	c.Disk = d
	r := must(replica.Open(t.Context(), c))
	d.close = true
	for range 5 {
		h.propose(t, r, 2000)
	}
	check(t, r.Checkpoint(t.Context()))
	h.propose(t, r, 2000)
	check(t, r.Close())
	if d.failed < 3 || len(h.acknowledged) != 6 {
		t.Errorf("%d files did not close; %d entries were acknowledged", d.failed, len(h.acknowledged))
	}
	w.verify(t, h)
}
