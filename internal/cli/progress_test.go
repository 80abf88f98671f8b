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

// What was read is not done before the cloud has confirmed it: 100 % is the end.
func TestProgressWaitsForUploads(t *testing.T) {
	p, out, clock := newProgress(200)
	clock.pass(2 * time.Second)
	read := cli.State{Phase: "backing up", BytesDone: 100e6, BytesTotal: 100e6, BytesNew: 80e6}
	for i, step := range []struct {
		done, uploaded, sending int64
		want                    string
	}{
		{done: 50e6, sending: 10e6, want: " 0%"},   // nothing is confirmed
		{done: 100e6, sending: 40e6, want: " 20%"}, // what was there already is
		{done: 100e6, uploaded: 20e6, sending: 20e6, want: " 60%"},
		{done: 100e6, uploaded: 20e6, sending: 5e6, want: " 60%"},  // another attempt
		{done: 100e6, uploaded: 20e6, sending: 24e6, want: " 60%"}, // more is handed over: not back
		{done: 100e6, uploaded: 43e6, sending: 1e6, want: " 98%"},
		{done: 100e6, uploaded: 44e6, want: " 100%"},
	} {
		out.Reset()
		clock.pass(time.Second)
		s := read
		s.BytesDone, s.BytesUploaded, s.BytesSending = step.done, step.uploaded, step.sending
		s.BytesNew = min(s.BytesNew, s.BytesDone)
		p.Update(s)
		if !strings.Contains(out.String(), step.want) {
			t.Errorf("step %d: %q, want %q", i, out.String(), step.want)
		}
	}
	out.Reset()
	clock.pass(time.Second)
	p.Update(cli.State{Phase: "checking", BytesDone: 5e6, BytesTotal: 100e6})
	if !strings.Contains(out.String(), " 5%") {
		t.Errorf("the next phase: %q", out.String())
	}
}

// A slow upload is confirmed in steps with minutes between; the rate and what is left are those
// of several steps.
func TestProgressOfASlowUpload(t *testing.T) {
	p, out, clock := newProgress(200)
	for i := range int64(4) {
		for n := range 100 {
			if i == 0 && n > 50 && (!strings.Contains(out.String(), " 0%") || strings.Contains(out.String(), "/s")) {
				t.Fatalf("before anything is confirmed: %q", out.String())
			}
			out.Reset()
			p.Update(cli.State{Phase: "backing up", BytesDone: 100e6, BytesTotal: 100e6, BytesNew: 100e6, BytesUploaded: 20e6*i + 1000, BytesSending: 100e6 - 20e6*i})
			clock.pass(time.Second)
		}
	}
	if want := "60 MB of 100 MB 60%  150 kB/s"; !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "4 min") {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// Where the terminal is narrow parts go, whole and in this order; no number is ever cut.
func TestProgressFits(t *testing.T) {
	for width, want := range map[int]string{
		120: "backing up  55/55 files  150 MB of 440 MB 34%  12 MB/s  new 440 MB  uploaded 150 MB  290 MB on the way  24 s left",
		110: "backing up  55/55 files  150 MB of 440 MB 34%  12 MB/s  uploaded 150 MB  290 MB on the way  24 s left",
		90:  "backing up  55/55 files  150 MB of 440 MB 34%  12 MB/s  290 MB on the way  24 s left",
		80:  "backing up  150 MB of 440 MB 34%  12 MB/s  290 MB on the way  24 s left",
		60:  "backing up  150 MB of 440 MB 34%  12 MB/s  24 s left",
		45:  "backing up  150 MB of 440 MB 34%  24 s left",
		30:  "backing up  34%  24 s left",
		20:  "backing up  34%",
		11:  "backing up",
		0:   "backing up",
	} {
		p, out, clock := newProgress(width)
		s := cli.State{Phase: "backing up", FilesDone: 55, FilesTotal: 55, BytesDone: 440e6, BytesTotal: 440e6, BytesNew: 440e6, BytesSending: 430e6}
		p.Update(s)
		clock.pass(12500 * time.Millisecond)
		s.BytesUploaded, s.BytesSending = 150e6, 290e6
		p.Update(s)
		if got := strings.TrimPrefix(out.String(), "\r\x1b[K"); got != want {
			t.Errorf("%d columns: %q (%d), want %q", width, got, utf8.RuneCountInString(got), want)
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
