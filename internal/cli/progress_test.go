package cli_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keepsake.example/internal/cli"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }
func (c *clock) pass(d time.Duration) {
	c.t = c.t.Add(d)
}

func newProgress(width int) (*cli.Progress, *strings.Builder, *clock) {
	var b strings.Builder
	c := &clock{time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	return cli.NewProgress(&b, func() int { return width }, c.now), &b, c
}

func TestProgressAppearsAfterASecond(t *testing.T) {
	p, out, clock := newProgress(100)
	for range 9 {
		clock.pass(100 * time.Millisecond)
		p.Update(cli.State{Phase: "backup", BytesDone: 1})
	}
	p.Clear()
	if out.Len() != 0 {
		t.Errorf("printed %q within the first second", out.String())
	}
	clock.pass(200 * time.Millisecond)
	p.Update(cli.State{Phase: "backup", BytesDone: 1})
	if !strings.Contains(out.String(), "backup") {
		t.Errorf("printed %q after a second", out.String())
	}
	out.Reset()
	p.Clear()
	p.Clear()
	if out.String() != "\r\x1b[K" {
		t.Errorf("cleared with %q", out.String())
	}
}

func TestProgressLine(t *testing.T) {
	p, out, clock := newProgress(200)
	for i := range 4 {
		p.Update(cli.State{Phase: "backup", BytesDone: int64(i) * 100e6})
		clock.pass(time.Second)
	}
	out.Reset()
	p.Update(cli.State{Phase: "backup", FilesDone: 1200, FilesTotal: 2700, BytesDone: 400e6, BytesTotal: 2e9, BytesNew: 7e6})
	want := "\r\x1b[Kbackup  1,200/2,700 files  400 MB of 2.0 GB 20%  100 MB/s  new 7.0 MB  16 s left"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

// What the cloud has confirmed and what is on the way are two things.
func TestProgressOfUploads(t *testing.T) {
	p, out, clock := newProgress(200)
	clock.pass(2 * time.Second)
	for s, want := range map[cli.State]string{
		{Phase: "backup", BytesNew: 70e6, BytesUploaded: 17e6, BytesSending: 33e6}: "backup  new 70 MB  uploaded 17 MB  33 MB on the way",
		{Phase: "backup", BytesNew: 70e6, BytesSending: 33e6}:                      "backup  new 70 MB  33 MB on the way",
		{Phase: "backup", BytesNew: 70e6, BytesUploaded: 71e6}:                     "backup  new 70 MB  uploaded 71 MB",
	} {
		out.Reset()
		clock.pass(time.Second)
		p.Update(s)
		if got := strings.TrimPrefix(out.String(), "\r\x1b[K"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A line that wraps cannot be erased by a carriage return.
func TestProgressNeverFillsTheLine(t *testing.T) {
	for _, width := range []int{0, 1, 20, 40, 80} {
		p, out, clock := newProgress(width)
		clock.pass(2 * time.Second)
		p.Update(cli.State{Phase: "backup", FilesDone: 1200, FilesTotal: 2700, BytesDone: 400e6, BytesTotal: 2e9, BytesNew: 7e6})
		line := strings.TrimPrefix(out.String(), "\r\x1b[K")
		if n := utf8.RuneCountInString(line); n > max(width-1, 10) {
			t.Errorf("%d columns of %d used: %q", n, width, line)
		}
	}
}

func TestProgressOfANewPhaseStartsItsRateAgain(t *testing.T) {
	p, out, clock := newProgress(100)
	for range 3 {
		clock.pass(time.Second)
		p.Update(cli.State{Phase: "one", BytesDone: 1e9})
	}
	out.Reset()
	clock.pass(time.Second)
	p.Update(cli.State{Phase: "two", BytesDone: 5})
	if strings.Contains(out.String(), "/s") || strings.Contains(out.String(), "-") {
		t.Errorf("got %q", out.String())
	}
}

func TestNilProgressIsSilent(t *testing.T) {
	var p *cli.Progress
	p.Update(cli.State{Phase: "x"})
	p.Clear()
}
