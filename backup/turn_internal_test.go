package backup

import (
	"math/rand/v2"
	"testing"
)

// Any days that follow each other, as many as 1/share, read every pack that was there all the time, and each about as much; new ones do not change that.
func TestDrawTakesTurns(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	places := make([]uint64, 1000)
	for i := range places {
		places[i] = rnd.Uint64()
	}
	place := func(n uint32) uint64 { return places[n] }
	for _, share := range []float64{0.05, 0.07, 0.3, 0.999, 1} {
		for _, packs := range []int{1, 3, 400} {
			for _, first := range []int64{-3, 0, 20_777} {
				seen := make(map[uint32]bool)
				for day := first; float64(day-first)*share < 1; day++ {
					var all []uint32
					for n := range packs + int(day-first)*10 {
						all = append(all, uint32(n))
					}
					chosen := draw(all, place, day, share)
					if len(chosen) == 0 || float64(len(chosen)) > 2*share*float64(len(all))+3 {
						t.Errorf("share %v of %d: %d", share, len(all), len(chosen))
					}
					for _, n := range chosen {
						seen[n] = true
					}
				}
				for n := range packs {
					if !seen[uint32(n)] {
						t.Fatalf("share %v: pack %d of %d was not read", share, n, packs)
					}
				}
			}
		}
	}
	if draw([]uint32{1, 2}, place, 5, 0) != nil || draw(nil, place, 5, 0.5) != nil {
		t.Error("something was drawn")
	}
}
