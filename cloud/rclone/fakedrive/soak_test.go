package fakedrive_test

import (
	"flag"
	"fmt"
	"testing"

	"keepsake.example/cloud/rclone/fakedrive"
)

var (
	seed = flag.Uint64("seed", 1, "of the faults in TestSoak")
	long = flag.Bool("long", false, "TestSoak with 200 MB in place of 5, TestRequests with 1 GB in place of 60 MB")
)

// TestSoak: of all requests to Drive a share, in the long form one in eight, fails, in every way the
// fake knows. A history is backed up, grows, is backed up, verified, pruned
// and restored, and is what it was.
func TestSoak(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	delete(d.options, "upload_cutoff")
	p := newPhone(t, d, lagOfTests)
	d.SetLag(fakedrive.Lag{Names: lagOfTests * 3 / 4, Folders: lagOfTests / 2})
	d.RepeatRows(true)
	files, share := byte(1), 0.06
	if *long {
		files, share = 40, 0.125
	}
	for i := range files {
		p.write(fmt.Sprint("file", i), i, 5<<20-int(i))
	}
	d.Inject(fakedrive.Random(*seed, share, 4<<20))
	d.Reset()
	p.backup()
	p.write("grown", 100, 1<<20)
	p.backup()
	p.wantVerified()
	p.prune(1)
	p.wantRestored()
	t.Logf("seed %d: %d requests, %d bytes up, %d down", *seed, d.Counters().Total(), d.Counters().Sent, d.Counters().Received)
	d.Inject(nil)
	p.wantVerified()
	p.wantRestored()
}
