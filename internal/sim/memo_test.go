//go:build memo

package sim_test

import (
	"testing"

	"keepsake.example/internal/memo"
	"keepsake.example/internal/sim"
)

// What is kept of pure functions changes nothing: a seed is the same run as without, byte for byte.
func TestKeptResultsChangeNothing(t *testing.T) {
	for seed := uint64(1); seed <= 40; seed++ {
		kept := sim.Run(options(t, seed))
		memo.Off = true
		sim.Forget()
		computed := sim.Run(options(t, seed))
		memo.Off = false
		if kept.Digest != computed.Digest || kept.Failure != nil || computed.Failure != nil {
			t.Fatalf("seed %d: digests %x and %x, %v and %v", seed, kept.Digest, computed.Digest, kept.Failure, computed.Failure)
		}
	}
}
