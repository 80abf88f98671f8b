package backup_test

import (
	"errors"
	"testing"
	"time"

	"keepsake.example/backup"
)

// In a place that was just made there is no repository, and nobody waits to see whether a late listing will show one.
func TestFreshPlace(t *testing.T) {
	fresh := late
	fresh.Fresh = true
	p, n := newPhone(t), newNetwork(fresh)
	backup.Warm()
	_, took := p.onNetwork(n, func() {
		if _, err := backup.KeyCheck(p.t.Context(), p.store); !errors.Is(err, backup.ErrNoRepository) {
			p.t.Errorf("%v, want no repository", err)
		}
		_, err := backup.Create(p.t.Context(), p.store, p.key, time.Now())
		must(p.t, err)
		must(p.t, p.opensOn(p.store))
	})
	if took >= lag {
		t.Errorf("it took %v", took)
	}
}
