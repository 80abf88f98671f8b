package nearest_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keepsake.example/chatd/nearest"
)

const ms = time.Millisecond

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// known makes servers of which probes have told how far they are.
func known(far ...time.Duration) *nearest.Servers {
	s := nearest.New(len(far), nearest.Options{Every: time.Second, PassOver: time.Second, Chance: func(time.Duration) time.Duration { return 0 }})
	for i, d := range far {
		s.Probed(i, start.Add(-d), start, "")
	}
	return s
}

func TestOrderWhereNothingIsKnown(t *testing.T) {
	s := nearest.New(3, nearest.Options{Every: time.Second, PassOver: time.Second})
	tried := make([]bool, 3)
	for want := range 3 {
		if got := s.Take(start, tried).Server; got != want {
			t.Errorf("%d, want %d", got, want)
		}
		tried[want] = true
	}
}

// A probe is waited for as long as the last ones let expect, where there is a connection.
func TestPatience(t *testing.T) {
	s := known(10*ms, 150*ms, 300*ms, 10*ms)
	s.Probed(3, start, start, "silent")
	for i, want := range []time.Duration{400 * ms, 600 * ms, time.Second, time.Second} {
		if d := s.Patience(i, time.Second); d != want {
			t.Errorf("server %d: %v, want %v", i, d, want)
		}
	}
	if d := nearest.New(1, nearest.Options{}).Patience(0, time.Second); d != time.Second {
		t.Errorf("the first probe: %v", d)
	}
}

// A measurement weighs an eighth: one slow answer moves nothing, many do.
func TestOneSlowAnswerMovesNothing(t *testing.T) {
	s := known(10*ms, 60*ms)
	answer := func(took ...time.Duration) int {
		k := s.Take(start, nil)
		k.Answered(start.Add(took[k.Server]), true)
		return k.Server
	}
	answer(10*ms, 60*ms)
	answer(200*ms, 60*ms)
	for range 10 {
		if at := answer(10*ms, 60*ms); at != 0 {
			t.Fatalf("went to %d", at)
		}
	}
	for range 10 {
		answer(200*ms, 60*ms)
	}
	if at := answer(200*ms, 60*ms); at != 1 {
		t.Errorf("went to %d", at)
	}
}

func TestPausesDoubleAndEnd(t *testing.T) {
	s := known(10*ms, 20*ms)
	now := start
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		s.Probed(0, now, now, "refused")
		if got := s.Wait(0, now); got != want*time.Second {
			t.Fatalf("waits %v, want %d s", got, want)
		}
		if s.Due(0, now) {
			t.Fatal("due at once")
		}
		now = now.Add(want * time.Second)
		if !s.Due(0, now) {
			t.Fatal("not due when the pause is over")
		}
	}
	s.Probed(0, now, now, "")
	if !s.Due(0, now) || s.Status(0, now).Away {
		t.Error("away, and answers")
	}
}

// A thousand requests that fail together are one failure.
func TestFailuresOfOneFallAreOne(t *testing.T) {
	s := known(10*ms, 20*ms)
	s.Take(start, nil).Answered(start, true)
	var all []*nearest.Ticket
	for range 5 {
		all = append(all, s.Take(start, nil))
	}
	news := 0
	for _, k := range all {
		if k.Server == 0 && k.Failed(start, "reset") {
			news++
		}
	}
	if news != 1 || s.Wait(0, start) != time.Second {
		t.Errorf("%d times away, waits %v", news, s.Wait(0, start))
	}
	// Nor do those that are sent there because nobody answers make it longer.
	alone := known(10 * ms)
	alone.Probed(0, start, start, "refused")
	for range 5 {
		alone.Take(start, nil).Failed(start, "refused")
	}
	if alone.Wait(0, start) != time.Second {
		t.Errorf("waits %v", alone.Wait(0, start))
	}
}

// What was sent before the fall and fails after the return says nothing of the
// server as it is now.
func TestLateFailureOfBeforeIsNone(t *testing.T) {
	s := known(10 * ms)
	late := s.Take(start, nil)
	s.Probed(0, start, start, "silent")
	now := start.Add(time.Second)
	s.Probed(0, now, now, "")
	if late.Failed(now, "called back") || s.Status(0, now).Away {
		t.Error("away again")
	}
}

func TestLifeEndsWhenPassedOver(t *testing.T) {
	s := known(10 * ms)
	k := s.Take(start, nil)
	if k.Life.Err() != nil {
		t.Fatal("over before it began")
	}
	s.Probed(0, start, start, "silent")
	if k.Life.Err() == nil {
		t.Error("goes on at a server that is away")
	}
	if k.Failed(start, "called back"); s.Wait(0, start) != time.Second {
		t.Error("what was called back counts as another failure")
	}
}

// What began before the fall says nothing of the time after it.
func TestProbeOfBeforeBringsNobodyBack(t *testing.T) {
	s := known(10*ms, 20*ms)
	k := s.Take(start, nil)
	k.Failed(start.Add(5*ms), "reset")
	if s.Probed(0, start.Add(4*ms), start.Add(6*ms), ""); !s.Status(0, start).Away {
		t.Error("a probe of before the failure brought it back")
	}
	if s.Probed(0, start.Add(6*ms), start.Add(7*ms), ""); s.Status(0, start).Away {
		t.Error("a probe of after it did not")
	}
}

func TestWhoHeldOutIsBelievedAgain(t *testing.T) {
	s := known(10 * ms)
	now := start
	for range 5 {
		s.Probed(0, now, now, "refused")
		now = now.Add(s.Wait(0, now))
	}
	s.Probed(0, now, now, "")
	now = now.Add(2 * time.Minute)
	if s.Probed(0, now, now, "refused"); s.Wait(0, now) != time.Second {
		t.Errorf("waits %v after two good minutes", s.Wait(0, now))
	}
}

// Whatever happens: a server that is away is not taken while one answers, one that
// was tried not while another is as good, and no request is lost count of.
func TestChoices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "servers")
		s, now := known(make([]time.Duration, n)...), start
		var flying []*nearest.Ticket
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40000).Draw(t, "ms")) * ms)
			i := rapid.IntRange(0, n-1).Draw(t, "server")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				tried := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "tried")
				flying = append(flying, take(t, s, now, tried))
			case 1:
				if len(flying) > 0 {
					k := flying[0]
					flying = flying[1:]
					end := []func(){func() { k.Answered(now, true) }, func() { k.Failed(now, "reset") }, func() { k.Undecided(now, "503") }, k.Left}
					end[rapid.IntRange(0, 3).Draw(t, "end")]()
				}
			case 2:
				s.Probed(i, now.Add(-ms), now, "")
			case 3:
				s.Probed(i, now.Add(-ms), now, "silent")
			}
		}
		count := make([]int, n)
		for _, k := range flying {
			count[k.Server]++
		}
		for i := range n {
			if st := s.Status(i, now); st.Flying != count[i] {
				t.Fatalf("%d under way at %d, not %d", st.Flying, i, count[i])
			}
		}
	})
}

// take takes a server and holds it against the promises.
func take(t *rapid.T, s *nearest.Servers, now time.Time, tried []bool) *nearest.Ticket {
	away := make([]bool, len(tried))
	left := slices.Contains(tried, false)
	answers, answersLeft := false, false
	for i := range tried {
		away[i] = s.Status(i, now).Away
		answers = answers || !away[i]
		answersLeft = answersLeft || !away[i] && !tried[i]
	}
	if s.Answers() != answers {
		t.Fatalf("answers: %v", s.Answers())
	}
	k := s.Take(now, tried)
	if k.Away != away[k.Server] || answers && k.Away {
		t.Fatalf("%d is away", k.Server)
	}
	if tried[k.Server] && (answersLeft || left && !answers) {
		t.Fatalf("%d was tried", k.Server)
	}
	return k
}
