package chatd

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// watch probes every vaultd until ctx ends: how far it is, and whether it
// answers. It goes on whether there are requests or not, so that the first one
// after a quiet night does not find out.
func (u *upstream) watch(ctx context.Context) {
	var all sync.WaitGroup
	for i := range u.vaults {
		all.Go(func() {
			for sleep(ctx, u.nearest.Wait(i, time.Now())) {
				if u.nearest.Due(i, time.Now()) { // or it failed a request since, and pauses
					u.probe(ctx, i)
				}
			}
		})
	}
	all.Wait()
}

// probe asks one vaultd for nothing: HEAD of the bundle, which it answers 503
// when requests had better go elsewhere.
func (u *upstream) probe(ctx context.Context, i int) {
	p, why := u.vaults[i], ""
	one, cancel := context.WithTimeout(ctx, u.nearest.Patience(i, u.limits.ProbeTimeout))
	defer cancel()
	began := time.Now()
	_, err := p.ask(one, http.MethodHead, bundlePath, nil, 0)
	if ctx.Err() != nil {
		return
	}
	u.m.probes.WithLabelValues(p.label, outcome(err)).Inc()
	if err != nil {
		why = err.Error()
		// The next probe dials: a connection that leads nowhere says nothing of a
		// vaultd that was started again.
		p.client.CloseIdleConnections()
	}
	if why == "" {
		select {
		case u.answered <- struct{}{}:
		default:
		}
	}
	if !u.nearest.Probed(i, began, time.Now(), why) {
		return
	}
	if why != "" {
		u.tellAway(p, why)
		return
	}
	u.log.Info("a vaultd is back", "vault", i, "took", time.Since(began))
}

// tellAway tells the operator of a vaultd that is passed over from now on.
func (u *upstream) tellAway(p *peer, why string) {
	u.m.away.WithLabelValues(p.label).Inc()
	u.log.Warn("a vaultd is passed over", "vault", p.label, "url", p.url, "why", why)
	p.client.CloseIdleConnections()
}
