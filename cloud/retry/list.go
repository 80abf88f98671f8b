package retry

import (
	"context"

	"keepsake.example/cloud"
)

// List is cloud.Store's. A listing that broke off starts again, and fn is not
// called for what it has been called for.
func (s *Store) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	l := listing{fn: fn, told: make(map[string]int)}
	p := spell{s: s}
	for {
		before := len(l.told)
		l.pass++
		err := p.attempt(ctx, func() error { return s.under.List(ctx, prefix, l.tell) })
		if l.stopped != nil {
			return l.stopped
		}
		if !passes(err) {
			return err
		}
		if len(l.told) > before {
			p.further()
		}
		if err := p.wait(ctx, err); err != nil {
			return err
		}
	}
}

// listing remembers what fn was told, and that it was fn that ended it: fn may
// call a store, whose error is not the listing's.
type listing struct {
	fn      func(cloud.Info) error
	told    map[string]int // and in which pass
	pass    int
	stopped error
}

func (l *listing) tell(info cloud.Info) error {
	if pass, told := l.told[info.Name]; told && pass < l.pass {
		return nil
	}
	l.told[info.Name] = l.pass
	l.stopped = l.fn(info)
	return l.stopped
}
