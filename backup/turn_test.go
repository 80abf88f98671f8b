package backup_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Verifying a part each day, on as many days that follow each other as it takes for all, reads each pack once, wherever one begins; and names the damaged one.
func TestVerifyTakesTurns(t *testing.T) {
	smallPacks(t)
	p := newPhone(t)
	for i := range 12 {
		p.write(fmt.Sprint(i), random(rand.New(rand.NewPCG(7, uint64(i))), 900_000))
	}
	p.snapNow()
	damaged := in(p.contents(), "data")[5]
	p.put(damaged, flipped(p.contents()[damaged], stub+500))
	began := time.Date(2026, 2, 20, 23, 0, 0, 0, time.Local)
	for _, days := range []int{3, 7, 40} {
		read, found, packs := 0, 0, 0
		for day := range days {
			p.now = func() time.Time { return began.AddDate(0, 0, day) }
			v := p.verify(1 / float64(days))
			if packs = v.Packs; v.PacksRead == 0 {
				t.Errorf("nothing was read on day %d of %d", day, days)
			}
			read, found = read+v.PacksRead, found+len(v.Damage)
		}
		if found == 0 || days < packs/2 && (read != packs || found != 1) {
			t.Errorf("in %d days %d packs of %d were read, and the damaged one was found %d times", days, read, packs, found)
		}
	}
}
