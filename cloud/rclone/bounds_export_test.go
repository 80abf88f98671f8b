package rclone

import "testing"

// TestingBounds makes the bounds of listings and of memory small; 0 leaves one as it is.
func TestingBounds(t *testing.T, entries, names, pages int, heap uint64) {
	oldEntries, oldNames, oldPages, oldHeap := maxEntries, maxNames, freePages, maxHeap
	t.Cleanup(func() { maxEntries, maxNames, freePages, maxHeap = oldEntries, oldNames, oldPages, oldHeap })
	for bound, to := range map[*int]int{&maxEntries: entries, &maxNames: names, &freePages: pages} {
		if to > 0 {
			*bound = to
		}
	}
	if heap > 0 {
		maxHeap = heap
	}
}
