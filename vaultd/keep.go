package vaultd

import (
	"context"
	"crypto/rand"
	"time"

	"keepsake.example/vault"
)

const (
	// keepEvery is how often the keeper looks whether something is due.
	keepEvery = time.Minute
	// tickEvery is the longest time without a commit: what has expired in the
	// state (channel keys, last attempts, proposals) is erased by commits.
	tickEvery = 10 * time.Minute
	// earlier is how long before it is made a key says to be valid already, for
	// clients whose clocks are slow.
	earlier = time.Hour
)

// keep does what is due with time, until the server closes.
func (s *Server) keep() {
	defer s.working.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.stop
		cancel()
	}()
	for {
		select {
		case <-s.stop:
			return
		case <-s.replica.Done():
			s.log.Error("the replica has halted", "reason", s.replica.Err())
			return
		case <-s.clock.After(keepEvery):
		}
		if err := s.rotate(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("keeping the channel keys", "error", err)
		}
	}
}

// rotate makes a new channel key when the newest is old enough, lets the state
// erase what has expired, and takes over the keys that it has then.
func (s *Server) rotate(ctx context.Context) error {
	view, err := s.view(ctx)
	if err != nil {
		return err
	}
	defer func() { view.Wipe() }()
	now := s.time.now()
	c := s.due(view, now)
	if c == nil {
		return s.keys.refresh(view)
	}
	if _, err := s.propose(ctx, c); err != nil {
		return err
	}
	if c.Kind == vault.AddChannelKey {
		clear(c.ChannelKey.Seed[:])
		s.log.Info("made a channel key", "valid_until", utc(c.ChannelKey.NotAfter))
	}
	view.Wipe()
	if view, err = s.view(ctx); err != nil {
		return err
	}
	return s.keys.refresh(view)
}

// due is the command that time asks for, nil for none.
func (s *Server) due(view *vault.FleetView, now uint64) *vault.Command {
	rotation, validity := uint64(s.limits.KeyRotation.Milliseconds()), uint64(s.limits.KeyValidity.Milliseconds())
	var newest uint64
	for _, k := range view.Keys {
		newest = max(newest, k.NotAfter)
	}
	switch {
	case len(view.Keys) < maxKeys && newest+rotation <= now+validity:
		return addKey(now, s.limits.KeyValidity)
	case view.Time+uint64(tickEvery.Milliseconds()) <= now:
		return &vault.Command{Kind: vault.Tick, Time: now}
	}
	return nil
}

// addKey makes a channel key that is valid from a little before now.
func addKey(now uint64, validity time.Duration) *vault.Command {
	c := &vault.Command{Kind: vault.AddChannelKey, Time: now}
	rand.Read(c.ChannelKey.Seed[:])
	c.ChannelKey.NotBefore = now - min(now, uint64(earlier.Milliseconds()))
	c.ChannelKey.NotAfter = now + uint64(validity.Milliseconds())
	return c
}
