package main

import (
	"strings"
	"testing"
	"time"

	"keepsake.example/roster"
)

// said is what is printed, and when it was.
type said struct {
	text string
	now  chan struct{}
}

func (s *said) Write(b []byte) (int, error) {
	s.text += string(b)
	close(s.now)
	return len(b), nil
}

// A newcomer that waits says whom it asks; one that is let in at once says nothing.
func TestWaitingIsTold(t *testing.T) {
	r := &roster.Roster{Members: []roster.Member{{Number: 1, Name: "oslo"}, {Number: 2, Name: "bergen", Learner: true}, {Number: 3, Name: "narvik"}}}
	a, out := &app{}, &said{now: make(chan struct{})}
	a.Err = out
	over := a.tellLater(time.Millisecond, askedForWelcome(r))
	<-out.now
	over()
	for _, want := range []string{"1 (oslo), 3 (narvik)", "2m0s", "majority"} {
		if !strings.Contains(out.text, want) {
			t.Errorf("without %q: %s", want, out.text)
		}
	}
	if strings.Contains(out.text, "bergen") || strings.Contains(out.text, "Ctrl-C") {
		t.Errorf("says too much where nobody types: %s", out.text)
	}
	quick := &said{now: make(chan struct{})}
	a.Err = quick
	a.tellLater(time.Hour, "no")()
	if quick.text != "" {
		t.Errorf("said %q", quick.text)
	}
}
