package vaultd

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"keepsake.example/vault"
	"keepsake.example/vaultd/machine"
)

const (
	// keepEvery is how often the keeper looks whether something is due: what has
	// expired in the state (channel keys, last attempts, proposals) is erased by
	// the next commit, and without requests there is none.
	keepEvery = time.Minute
	// lookEvery is how often it looks who leads: a new leader has work that the last
	// one may not have done.
	lookEvery = 250 * time.Millisecond
	// earlier is how long before it is made a key says to be valid already, for
	// clients whose clocks are slow.
	earlier = time.Hour
	// spareKeys is from how many channel keys on none is made because the group's secret
	// changed: a bundle has at most eight, and those that time asks for must find room.
	spareKeys = 6
)

// run starts what goes on beside requests in a group: taking over what changes, and
// doing what is due.
func (s *Server) run(g *group) {
	g.ended.Go(func() { s.follow(g) })
	g.ended.Go(func() { s.keep(g) })
	g.ended.Go(func() { s.keepSecret(g) })
	s.next(g)
}

// keep does what is due with time, until the group ends.
func (s *Server) keep(g *group) {
	ctx, cancel := g.context()
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	due := s.clock.After(keepEvery)
	for led := g.leads(); ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			s.tellRoom(g)
			if was := led; was == g.leads() {
				continue
			}
			if led = g.leads(); !led {
				continue
			}
		case <-due:
			due = s.clock.After(keepEvery)
		}
		s.keepOnce(ctx, g)
		notify(g.changed) // a new leader brings the group's roster up
	}
}

// tellRoom tells the operator when there is no room in a group's log any more, and when
// there is again: a member that takes nothing new is counted on for nothing.
func (s *Server) tellRoom(g *group) {
	err := g.room()
	if was := g.cramped; was == (err != nil) {
		return
	}
	if g.cramped = err != nil; g.cramped {
		s.log.Error("no room: nothing new of this group is taken here until there is", "group", g.number, "error", err)
	} else {
		s.log.Info("there is room again", "group", g.number)
	}
}

func (s *Server) keepOnce(ctx context.Context, g *group) {
	for _, part := range []struct {
		what string
		do   func(context.Context, *group) error
	}{{"keeping the channel keys", s.rotate}, {"making a checkpoint", s.checkpoint}} {
		if err := part.do(ctx, g); err != nil && ctx.Err() == nil {
			s.log.Error(part.what, "group", g.number, "error", err)
		}
	}
}

// context ends with the group.
func (g *group) context() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-g.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// checkpoint makes one when the last is long enough ago: every member for itself.
func (s *Server) checkpoint(ctx context.Context, g *group) error {
	if s.clock.Elapsed()-g.checkpointed < s.limits.Checkpoint || g.replica.Status().LogBytes == 0 {
		return nil
	}
	began := s.clock.Elapsed()
	err := g.replica.Checkpoint(ctx)
	if err == nil { // or it is tried again at once
		g.checkpointed = began
	}
	return err
}

// rotate makes a new channel key when the newest is old enough, lets the state
// erase what has expired, and takes over the keys that it has then. The leader of
// the group does it, for all.
func (s *Server) rotate(ctx context.Context, g *group) error {
	if !g.leads() {
		return nil
	}
	g.rotating.Lock() // one at a time, or both would make a key
	defer g.rotating.Unlock()
	var due *vault.Command
	outlast := g.replaced()
	err := g.Read(ctx, func(state *vault.State) {
		if view := state.Fleet(); view != nil {
			defer view.Wipe()
			due = s.due(g, view, outlast)
		}
	})
	if err != nil {
		return fmt.Errorf("reading the fleet: %w", err)
	}
	if due == nil {
		return errNoState
	}
	defer machine.Wipe(due)
	if _, err := s.execute(ctx, g, due); err != nil {
		return err
	}
	if due.Kind == vault.AddChannelKey {
		s.log.Info("made a channel key", "valid_until", utc(due.ChannelKey.NotAfter))
	}
	return s.takeOver(g)
}

// due is the command that time asks for: a channel key, of the root group, when the
// newest is old or was there when a member left (it ends by outlast); or else a tick, which is committed when something in the state has expired.
func (s *Server) due(g *group, view *vault.FleetView, outlast uint64) *vault.Command {
	now := g.Time()
	rotation, validity := uint64(s.limits.KeyRotation.Milliseconds()), uint64(s.limits.KeyValidity.Milliseconds())
	var newest uint64
	for _, k := range view.Keys {
		newest = max(newest, k.NotAfter)
	}
	if g.number == machine.Root && (newest+rotation <= now+validity || newest <= outlast && len(view.Keys) < spareKeys) {
		c := addKey(now, s.limits.KeyValidity)
		c.ChannelKey.NotAfter = max(c.ChannelKey.NotAfter, outlast+1) // clients seal to the one that ends last
		return c
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
