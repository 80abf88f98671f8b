package cloudtest_test

import (
	"maps"
	"slices"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
)

func TestMemoryConforms(t *testing.T) {
	cloudtest.Run(t, func(*testing.T) cloud.Store { return cloudtest.NewMemory() })
	t.Run("slow", func(t *testing.T) {
		cloudtest.RunSlow(t, func(*testing.T) cloud.Store { return cloudtest.NewMemory() })
	})
}

// Each broken store must be caught by the checks named for what is broken,
// and by no other: a check that objects to everything explains nothing.
func TestBrokenStoresAreCaught(t *testing.T) {
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Twenty-five megabytes for each broken store would be most of the test's time.
			want := func(check string) bool { return check != "large-object" || slices.Contains(b.caughtBy, check) }
			failed := cloudtest.Complaints(t.Context(), func() cloud.Store { return b.store(cloudtest.NewMemory()) }, want)
			got := slices.Sorted(maps.Keys(failed))
			if !slices.Equal(got, slices.Sorted(slices.Values(b.caughtBy))) {
				t.Errorf("caught by %q, want %q", got, b.caughtBy)
				for check, complaints := range failed {
					t.Logf("%s: %s", check, complaints[0])
				}
			}
		})
	}
}

// Every check must be the one that catches something.
func TestEveryCheckCatches(t *testing.T) {
	caught := make(map[string]bool)
	for _, b := range broken {
		for _, check := range b.caughtBy {
			caught[check] = true
		}
	}
	for _, check := range cloudtest.Names() {
		if !caught[check] {
			t.Errorf("no broken store shows that %s can fail", check)
		}
	}
}
