package cli

import (
	"fmt"
	"io"
	"slices"
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
	BytesNew              int64 // of BytesDone, what had to be stored
	BytesUploaded         int64 // that the cloud has confirmed
	BytesSending          int64 // on the way there
}

const (
	// Nothing is shown for work that ends at once: a line that flashes by
	// only makes a person wonder what it said.
	appearAfter = time.Second
	redrawEvery = 100 * time.Millisecond
	// The rate is of the last seconds, not of the whole run: a long start with
	// files already known must not promise an end that does not come. But a
	// slow upload is confirmed in steps with minutes between: some of them are
	// looked at however long ago they were.
	rateWindow = 5 * time.Second
	rateSteps  = 8
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
	samples []sample // the steps in which the work went on

	phase       string
	handed      int64 // most that was ever uploaded or on the way
	most        int64 // of the work that was ever told to be done
	unconfirmed bool  // the last sample is of uploads of which hardly any is confirmed
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
	s.BytesDone = p.done(s)
	p.sample(now, s.BytesDone, s.BytesUploaded < s.BytesSending/4)
	if now.Sub(p.started) < appearAfter || now.Sub(p.drawn) < redrawEvery {
		return
	}
	p.drawn, p.shown = now, true
	fmt.Fprintf(p.w, "\r\x1b[K%s", fit(p.parts(s, now), p.width()-1))
}

// done is how much of the work is done. What was read and has to be stored is not before
// the cloud has confirmed it: that part is done as far as what was handed over is
// confirmed. Attempts that failed take back what is on the way, so that the most ever
// handed over counts. It never goes back, and is all only when all was read and
// confirmed.
func (p *Progress) done(s State) int64 {
	if s.Phase != p.phase {
		p.phase, p.handed, p.most = s.Phase, 0, 0
	}
	handed := max(p.handed, s.BytesUploaded+s.BytesSending)
	if handed == 0 {
		return s.BytesDone
	}
	p.handed = handed
	fresh := min(s.BytesNew, s.BytesDone)
	done := s.BytesDone - fresh + int64(float64(fresh)*(float64(s.BytesUploaded)/float64(handed)))
	if s.BytesUploaded < handed || s.BytesDone < s.BytesTotal {
		done = min(done, s.BytesDone*99/100)
	}
	if s.BytesUploaded == 0 {
		return done // what is being read counts as done for a moment
	}
	p.most = max(p.most, done)
	return p.most
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

// sample notes a step. While hardly anything is confirmed the rate is not known: that of
// reading, or of a small object, says nothing of it.
func (p *Progress) sample(now time.Time, done int64, unconfirmed bool) {
	n := len(p.samples)
	switch {
	case unconfirmed && p.unconfirmed:
		p.samples[0].done = done
		return
	case unconfirmed:
		p.samples, n = nil, 0
	case n > 0 && done < p.samples[n-1].done:
		p.samples, n = nil, 0 // a new phase counts from the start
	case n > 0 && done == p.samples[n-1].done:
		return
	}
	p.unconfirmed = unconfirmed
	p.samples = append(p.samples, sample{now, done})
	for len(p.samples) > rateSteps && now.Sub(p.samples[1].at) >= rateWindow {
		p.samples = p.samples[1:]
	}
}

// rate is in bytes per second; 0 while there is too little to tell.
func (p *Progress) rate(now time.Time) float64 {
	if len(p.samples) < 2 {
		return 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	if d := now.Sub(first.at).Seconds(); d >= 0.2 {
		return float64(last.done-first.done) / d
	}
	return 0
}

// A part of the line is left out when there is no room: the higher its number, the
// sooner. One that can be said shorter is, and then goes last but for the phase.
type part struct {
	text, short string
	leave       int
}

func (p *Progress) parts(s State, now time.Time) []part {
	parts := []part{{s.Phase, "", 0}}
	add := func(leave int, text, short string) { parts = append(parts, part{text, short, leave}) }
	if s.FilesTotal > 0 {
		add(6, Count(s.FilesDone)+"/"+Count(s.FilesTotal)+" files", "")
	} else if s.FilesDone > 0 {
		add(6, Plural(s.FilesDone, "file", "files"), "")
	}
	if s.BytesTotal > 0 {
		percent := fmt.Sprintf("%d%%", min(100, 100*s.BytesDone/s.BytesTotal))
		add(3, fmt.Sprintf("%s of %s %s", Size(s.BytesDone), Size(s.BytesTotal), percent), percent)
	} else if s.BytesDone > 0 {
		add(3, Size(s.BytesDone), "")
	}
	rate := p.rate(now)
	if int64(rate) > 0 {
		add(4, Size(int64(rate))+"/s", "")
	}
	if s.BytesNew > 0 {
		add(8, "new "+Size(s.BytesNew), "")
	}
	if s.BytesUploaded > 0 {
		add(7, "uploaded "+Size(s.BytesUploaded), "")
	}
	if s.BytesSending > 0 {
		add(5, Size(s.BytesSending)+" on the way", "")
	}
	if left, ok := timeLeft(s, rate); ok {
		add(2, strings.Replace(Duration(left), ".0 s", " s", 1)+" left", "")
	}
	return parts
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

// fit makes a line that is no wider than the terminal: one that wraps could not be
// erased by a carriage return. Parts go whole, in a fixed order, so that no number is
// cut; only the name of a phase ever is.
func fit(parts []part, width int) string {
	width = max(width, 10)
	for utf8.RuneCountInString(line(parts)) > width {
		least := 0
		for i, p := range parts {
			if p.leave > parts[least].leave {
				least = i
			}
		}
		switch {
		case parts[least].short != "":
			parts[least] = part{text: parts[least].short, leave: 1}
		case len(parts) > 1:
			parts = slices.Delete(parts, least, least+1)
		default:
			return clip(parts[0].text, width)
		}
	}
	return line(parts)
}

func line(parts []part) string {
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.text
	}
	return strings.Join(texts, "  ")
}

// clip cuts a text of words to the width of the terminal.
func clip(text string, width int) string {
	width = max(width, 10)
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
