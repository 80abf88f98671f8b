package fakedrive_test

import (
	"fmt"
	"testing"
	"time"

	"keepsake.example/cloud/rclone/fakedrive"
)

// TestRequests counts what a backup and a restore ask of Google, with the
// options the person's program uses: an upload session and one request for
// each pack of 16 MiB, and a few dozen for the rest, whatever its size. A GB is
// 60 packs.
func TestRequests(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	for _, option := range []string{"chunk_size", "upload_cutoff", "pacer_min_sleep", "pacer_burst"} {
		delete(d.options, option)
	}
	p := newPhone(t, d, time.Millisecond)
	packs := 4
	if *long {
		packs = 64
	}
	for i := range packs {
		p.write(fmt.Sprint("file", i), byte(i), 15<<20)
	}
	d.Reset()
	res := p.backup()
	up := d.Counters()
	t.Logf("backup of %d MiB: %d objects, %d requests: %v", packs*15, res.Objects, up.Total(), up.Requests)
	if parts := up.Requests[fakedrive.OpUploadStart] + up.Requests[fakedrive.OpUploadChunk]; parts > 2*(packs+1) {
		t.Errorf("%d requests for %d packs", parts, packs)
	}
	if rest := up.Total() - up.Requests[fakedrive.OpUploadStart] - up.Requests[fakedrive.OpUploadChunk]; rest > 40 {
		t.Errorf("%d requests beside those of packs: %v", rest, up.Requests)
	}
	if over := up.Sent - int64(packs)*15<<20; over > int64(packs)<<20 { // padding
		t.Errorf("%d bytes more than contents were sent", over)
	}
	d.Reset()
	p.write("one more", 99, 1000)
	p.backup()
	day := d.Counters()
	t.Logf("day 2: %d requests: %v", day.Total(), day.Requests)
	if day.Total() > 50 {
		t.Errorf("%d requests on day 2: %v", day.Total(), day.Requests)
	}
	d.Reset()
	p.wantRestored()
	down := d.Counters()
	t.Logf("restore: %d requests, %d bytes: %v", down.Total(), down.Received, down.Requests)
	if down.Total() > 40+4*packs || down.Received > int64(packs)*16<<20 {
		t.Errorf("a restore of %d packs took %d requests and %d bytes: %v", packs, down.Total(), down.Received, down.Requests)
	}
}
