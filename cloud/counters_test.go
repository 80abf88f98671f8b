package cloud_test

import (
	"testing"

	"keepsake.example/cloud"
)

type counting struct{ cloud.Store }

func (counting) Counters() cloud.Counters { return cloud.Counters{Requests: 3, Sent: 2, Received: 1} }

func TestCountersOf(t *testing.T) {
	if got := cloud.CountersOf(counting{}); got != (cloud.Counters{Requests: 3, Sent: 2, Received: 1}) {
		t.Errorf("counters of a store that has some: %+v", got)
	}
	if got := cloud.CountersOf(struct{ cloud.Store }{}); got != (cloud.Counters{}) {
		t.Errorf("counters of a store that has none: %+v", got)
	}
}
