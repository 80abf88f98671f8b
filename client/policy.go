package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/key"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// errWeaker is a bundle that allows more than one before it. A fleet's policy only
// becomes stricter (spec/vault-protocol.md §7.2): whoever signed this one is not the vault that
// the person chose.
var errWeaker = errors.New("client: the fleet's limits are weaker than this device has seen them")

// SeenPolicy is the policy of the newest bundle seen, times in milliseconds.
type SeenPolicy struct {
	MaxAttempts uint8    `json:"max_attempts"`
	Waits       []uint64 `json:"waits"`
	CoolDown    uint64   `json:"cool_down"`
	Grace       uint64   `json:"grace"`
	Insecure    bool     `json:"insecure,omitempty"`
}

func seenPolicy(p fleet.Policy) *SeenPolicy {
	return &SeenPolicy{p.MaxAttempts, append([]uint64{}, p.Waits...), p.CoolDown, p.Grace, p.Insecure}
}

func (p *SeenPolicy) valid() bool {
	return p == nil || fleet.Policy{MaxAttempts: p.MaxAttempts, Waits: p.Waits, CoolDown: p.CoolDown, Grace: p.Grace, Insecure: p.Insecure}.Check() == nil
}

// weakerThan says what of a policy is weaker than it was, "" for nothing.
func weakerThan(was *SeenPolicy, now fleet.Policy) string {
	switch {
	case now.MaxAttempts > was.MaxAttempts:
		return fmt.Sprintf("%d attempts instead of %d", now.MaxAttempts, was.MaxAttempts)
	case now.CoolDown < was.CoolDown:
		return fmt.Sprintf("a cool-down of %v instead of %v", inTime(now.CoolDown), inTime(was.CoolDown))
	case now.Grace > was.Grace:
		return fmt.Sprintf("a grace of %v instead of %v", inTime(now.Grace), inTime(was.Grace))
	case now.Insecure != was.Insecure:
		return "it calls itself insecure, or does no more"
	}
	for n, wait := range now.Waits {
		if n < len(was.Waits) && wait < was.Waits[n] {
			return fmt.Sprintf("a wait of %v after attempt %d instead of %v", inTime(wait), n+1, inTime(was.Waits[n]))
		}
	}
	return ""
}

func inTime(ms uint64) time.Duration { return time.Duration(ms) * time.Millisecond }

// saw is sawBundle, and refuses a policy that is weaker than the one before.
func (s *VaultState) saw(b *fleet.Bundle) (changed bool, err error) {
	next := *s
	if changed, err = next.sawBundle(b); err != nil {
		return false, err
	}
	if s.Serial != 0 && s.Policy != nil { // of this fleet: another begins with serial 0
		if what := weakerThan(s.Policy, b.Policy); what != "" {
			return false, fmt.Errorf("%w: %s", errWeaker, what)
		}
	}
	if changed || s.Policy == nil {
		next.Policy, changed = seenPolicy(b.Policy), true
	}
	*s = next
	return changed, nil
}

// bundleAge is after what time a relay fetches the bundle again at the latest
// (doc/chatd.md, bundle_every), with a little over.
const bundleAge = 2500 * time.Millisecond

// registerByPolicy registers, and once more if the policy has become stricter meanwhile: a
// record with more attempts than the fleet gives now is not taken (spec/vault-protocol.md §7.2).
func (l *link) registerByPolicy(ctx context.Context, live *vaultapi.StatusReport, k *key.Key, p *password.Password) error {
	limit := l.bundle.Policy.MaxAttempts
	err := l.register(ctx, live, k, p)
	if !errors.Is(err, password.ErrUnsupported) {
		return err
	}
	if e := l.fetchBundle(ctx); e != nil {
		return e
	}
	if l.bundle.Policy.MaxAttempts == limit { // the relay has an old copy, perhaps
		if e := l.relay.pause(ctx, bundleAge); e != nil {
			return e
		}
		if e := l.fetchBundle(ctx); e != nil {
			return e
		}
	}
	if l.bundle.Policy.MaxAttempts == limit {
		return err
	}
	return l.register(ctx, live, k, p)
}
