package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// State is what a progress line shows. Totals are 0 while unknown.
type State struct {
	Phase                 string
	FilesDone, FilesTotal int
	BytesDone, BytesTotal int64
	BytesNew              int64
	BytesUploaded         int64 // that the cloud has confirmed
	BytesSending          int64 // on the way there
}

const (
	// Nothing is shown for work that ends at once: a line that flashes by
	// only makes a person wonder what it said.
	appearAfter = time.Second
	redrawEvery = 100 * time.Millisecond
	// The rate is of the last seconds, not of the whole run: a long start with
	// files already known must not promise an end that does not come.
	rateWindow = 5 * time.Second
)

// Progress keeps one line at the bottom of a terminal. A nil *Progress is
// valid and silent; its methods may be called from several goroutines.
type Progress struct {
	w     io.Writer
	width func() int
	now   func() time.Time

	mu      sync.Mutex
	started time.Time
	drawn   time.Time
	shown   bool
	samples []sample
}

type sample struct {
	at   time.Time
	done int64
}

// NewProgress draws on w, whose width in columns is asked for at every drawing.
// now may be nil for [time.Now].
func NewProgress(w io.Writer, width func() int, now func() time.Time) *Progress {
	if now == nil {
		now = time.Now
	}
	return &Progress{w: w, width: width, now: now, started: now()}
}

// Update shows s, unless the line is too young or was drawn a moment ago.
func (p *Progress) Update(s State) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.sample(now, s.BytesDone)
	if now.Sub(p.started) < appearAfter || now.Sub(p.drawn) < redrawEvery {
		return
	}
	p.drawn, p.shown = now, true
	fmt.Fprintf(p.w, "\r\x1b[K%s", clip(p.line(s), p.width()-1))
}

// Clear removes the line, so that other text can be written in its place.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.shown = false
}

func (p *Progress) sample(now time.Time, done int64) {
	if n := len(p.samples); n > 0 && done < p.samples[n-1].done {
		p.samples = nil // a new phase counts from the start
	}
	p.samples = append(p.samples, sample{now, done})
	for len(p.samples) > 2 && now.Sub(p.samples[1].at) >= rateWindow {
		p.samples = p.samples[1:]
	}
}

// rate is in bytes per second; 0 while there is too little to tell.
func (p *Progress) rate() float64 {
	if len(p.samples) < 2 {
		return 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	if d := last.at.Sub(first.at).Seconds(); d >= 0.2 {
		return float64(last.done-first.done) / d
	}
	return 0
}

func (p *Progress) line(s State) string {
	parts := []string{s.Phase}
	if s.FilesTotal > 0 {
		parts = append(parts, Count(s.FilesDone)+"/"+Count(s.FilesTotal)+" files")
	} else if s.FilesDone > 0 {
		parts = append(parts, Plural(s.FilesDone, "file", "files"))
	}
	if s.BytesTotal > 0 {
		percent := min(100, 100*s.BytesDone/s.BytesTotal)
		parts = append(parts, fmt.Sprintf("%s of %s %d%%", Size(s.BytesDone), Size(s.BytesTotal), percent))
	} else if s.BytesDone > 0 {
		parts = append(parts, Size(s.BytesDone))
	}
	rate := p.rate()
	if rate > 0 {
		parts = append(parts, Size(int64(rate))+"/s")
	}
	if s.BytesNew > 0 {
		parts = append(parts, "new "+Size(s.BytesNew))
	}
	if s.BytesUploaded > 0 {
		parts = append(parts, "uploaded "+Size(s.BytesUploaded))
	}
	if s.BytesSending > 0 {
		parts = append(parts, Size(s.BytesSending)+" on the way")
	}
	if left, ok := timeLeft(s, rate); ok {
		parts = append(parts, strings.Replace(Duration(left), ".0 s", " s", 1)+" left")
	}
	return strings.Join(parts, "  ")
}

// timeLeft knows nothing while a total or the rate is unknown, and does not
// name spans beyond two days: they are noise of the first seconds.
func timeLeft(s State, rate float64) (time.Duration, bool) {
	if s.BytesTotal <= 0 || s.BytesDone >= s.BytesTotal || rate <= 0 {
		return 0, false
	}
	seconds := float64(s.BytesTotal-s.BytesDone) / rate
	if seconds > 48*3600 {
		return 0, false
	}
	return time.Duration(max(seconds, 1)) * time.Second, true
}

// clip cuts a line to the width of the terminal: one that wraps could not be
// erased by a carriage return.
func clip(line string, width int) string {
	if width < 10 {
		width = 10
	}
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
