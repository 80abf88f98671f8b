package vaultd

import (
	"context"
	"crypto/rand"
	"time"

	"keepsake.example/vault"
)

const (
	// keepEvery is how often the keeper looks whether something is due: what has
	// expired in the state (channel keys, last attempts, proposals) is erased by
	// the next commit, and without requests there is none.
	keepEvery = time.Minute
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
		if err := s.checkpoint(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("making a checkpoint", "error", err)
		}
	}
}

// checkpoint makes one when the last is long enough ago.
func (s *Server) checkpoint(ctx context.Context) error {
	if s.clock.Elapsed()-s.checkpointed < s.limits.Checkpoint || s.replica.Status().LogBytes == 0 {
		return nil
	}
	s.checkpointed = s.clock.Elapsed()
	return s.replica.Checkpoint(ctx)
}

// rotate makes a new channel key when the newest is old enough, lets the state
// erase what has expired, and takes over the keys that it has then.
func (s *Server) rotate(ctx context.Context) error {
	s.rotating.Lock() // one at a time, or both would make a key
	defer s.rotating.Unlock()
	view, err := s.view(ctx)
	if err != nil {
		return err
	}
	due := s.due(view, s.time.now())
	view.Wipe()
	defer wipeCommand(due)
	if _, err := s.execute(ctx, due); err != nil {
		return err
	}
	if due.Kind == vault.AddChannelKey {
		s.log.Info("made a channel key", "valid_until", utc(due.ChannelKey.NotAfter))
	}
	if view, err = s.view(ctx); err != nil {
		return err
	}
	defer view.Wipe()
	return s.keys.refresh(view)
}

// due is the command that time asks for: a channel key, or else a tick, which is
// committed when something in the state has expired.
func (s *Server) due(view *vault.FleetView, now uint64) *vault.Command {
	rotation, validity := uint64(s.limits.KeyRotation.Milliseconds()), uint64(s.limits.KeyValidity.Milliseconds())
	var newest uint64
	for _, k := range view.Keys {
		newest = max(newest, k.NotAfter)
	}
	if newest+rotation <= now+validity {
		return addKey(now, s.limits.KeyValidity)
	}
	return &vault.Command{Kind: vault.Tick, Time: now}
}

// addKey makes a channel key that is valid from a little before now.
func addKey(now uint64, validity time.Duration) *vault.Command {
	c := &vault.Command{Kind: vault.AddChannelKey, Time: now}
	rand.Read(c.ChannelKey.Seed[:])
	c.ChannelKey.NotBefore = now - min(now, uint64(earlier.Milliseconds()))
	c.ChannelKey.NotAfter = now + uint64(validity.Milliseconds())
	return c
}
