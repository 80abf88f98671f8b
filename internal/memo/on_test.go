//go:build memo

package memo_test

import (
	"testing"

	"keepsake.example/internal/memo"
)

// What was computed before is not computed again, unless a test says so, and a table does not
// grow for ever.
func TestKept(t *testing.T) {
	calls := 0
	count := memo.Func(func(n int) int { calls++; return n })
	for range 2 {
		for n := range 100 {
			count(n)
		}
	}
	if calls != 100 {
		t.Errorf("%d calls for 100 arguments", calls)
	}
	memo.Off = true
	defer func() { memo.Off = false }()
	if count(1); calls != 101 {
		t.Errorf("%d calls, one of them with Off", calls)
	}
	memo.Off = false
	for n := range 1 << 14 {
		count(n)
	}
	if count(0); calls < 1<<14+2 {
		t.Errorf("%d calls: nothing is ever forgotten", calls)
	}
}
