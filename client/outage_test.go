package client_test

import (
	"strings"
	"testing"
	"time"

	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/retry"
)

// A person is told what is waited for when some attempts have failed, however short chance has
// drawn the waits between them, or when they have taken some seconds; and once.
func TestOutageIsToldSoon(t *testing.T) {
	left := 15 * time.Minute
	for name, c := range map[string]struct {
		waits []retry.Wait
		want  int // told at which of waits, from 1; 0: not
	}{
		"short waits": {[]retry.Wait{{Failed: 1}, {Failed: 2}, {Failed: 3}, {Failed: 4}, {Failed: 5}}, 4},
		"a long wait": {[]retry.Wait{{Failed: 1, After: time.Second}, {Failed: 2, Tried: time.Second, After: 2 * time.Second}}, 2},
		"slow fails":  {[]retry.Wait{{Failed: 1}, {Failed: 2, Tried: time.Minute}}, 2},
		"in vain":     {[]retry.Wait{{Failed: 1, Took: 90 * time.Second, After: time.Millisecond}}, 1},
		"it passes":   {[]retry.Wait{{Failed: 1, After: time.Second}, {Failed: 2, Tried: time.Second}}, 0},
	} {
		told := 0
		waiting, over := client.Outage(func(text string) {
			told++
			if !strings.Contains(text, cloud.ErrUnreachable.Error()) || !strings.Contains(text, "15m0s") {
				t.Errorf("%s: told %q", name, text)
			}
		})
		at := 0
		for i, w := range c.waits {
			w.Err, w.Left = cloud.ErrUnreachable, left
			waiting(w)
			if told > 0 && at == 0 {
				at = i + 1
			}
		}
		if at != c.want || told > 1 {
			t.Errorf("%s: told %d times, first at %d, want %d", name, told, at, c.want)
		}
		over()
		waiting(retry.Wait{Err: cloud.ErrUnreachable, Left: left, Failed: 9})
		if c.want > 0 && told != 2 {
			t.Errorf("%s: the next outage is not told", name)
		}
	}
}

// Who says how long a cloud is to be asked again means its first answer too; who does not, hears of a wrong name soon.
func TestPatienceForClouds(t *testing.T) {
	for said, want := range map[time.Duration][2]time.Duration{0: {0, 0}, time.Hour: {time.Hour, time.Hour}, -1: {-1, 0}} {
		if patience, connect := client.New(client.Settings{Profile: t.TempDir(), Patience: said}).TestingAgain(); patience != want[0] || connect != want[1] {
			t.Errorf("with %v: %v, and %v for the first answer; want %v", said, patience, connect, want)
		}
	}
}
