package vaultd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"keepsake.example/peer"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// follow takes over what the group's state says, whenever it changes there, and
// hears when the replica runs no more.
func (s *Server) follow(g *group) {
	ctx, cancel := g.context()
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for last := g.machine(); ; {
		select {
		case <-ctx.Done():
			return
		case <-g.replica.Done():
			s.lost(g)
			return
		case <-look.C:
			// A machine that was read from another member's picture said so before it was
			// put in the place of the one that was there.
			if m := g.machine(); m == last {
				continue
			} else {
				last = m
			}
		case <-g.changed:
		}
		if g.number == machine.Root {
			s.followRoot(ctx, g)
		} else if err := s.level(ctx, g); err != nil && ctx.Err() == nil {
			s.log.Warn("bringing the roster of a group up", "group", g.number, "error", err)
			s.later(ctx, g, time.Second)
		}
	}
}

// followRoot takes over what the root has now, and lets the other groups follow.
func (s *Server) followRoot(ctx context.Context, root *group) {
	if err := s.takeOver(root); err != nil && !errors.Is(err, errNoState) {
		s.log.Error("taking over what changed", "error", err)
	}
	s.settle(ctx)
	for _, g := range s.groups.list() {
		if g != root {
			notify(g.changed)
		}
	}
}

// lost is a replica that runs no more. Without its root a machine has no part in
// the fleet; a damaged disk under another group is as good a reason to stop.
func (s *Server) lost(g *group) {
	err := g.replica.Err()
	if errors.Is(err, replica.ErrRemoved) && g.number != machine.Root {
		notify(s.root().changed) // who lets go of it may not have begun
		return
	}
	switch {
	case errors.Is(err, replica.ErrRemoved):
		s.die(ErrRemoved)
	case err != nil:
		s.die(fmt.Errorf("the replica of group %d: %w", g.number, err))
	}
}

var errFleet = errors.New("vaultd: the state is of another fleet than this machine joined: somebody changed the file beside it")

// takeOver brings this server to what the root's replica has now: channel keys,
// bundle, roster. The state decides; here are working copies.
func (s *Server) takeOver(g *group) error {
	if g.number != machine.Root {
		return nil
	}
	g.taking.Lock() // an older view must not replace a newer one
	defer g.taking.Unlock()
	view, r := g.view(), g.roster()
	if view == nil || r == nil {
		return errNoState
	}
	defer view.Wipe()
	if err := s.config.accept(view.Policy); err != nil {
		s.die(err) // a newcomer learns the policy only now
		return err
	}
	if err := s.fits(r); err != nil {
		s.die(err)
		return err
	}
	if was := s.known.Swap(r); was.Serial != r.Serial {
		s.log.Info("the fleet was changed", "serial", r.Serial, "change", s.lastAction())
	}
	if l := s.links.Load(); l != nil {
		l.Update()
	}
	switch _, ok := r.Member(s.self); {
	case !ok && s.self <= r.Highest:
		// It answers nobody any more. The replica goes on a little, because who has not heard of
		// the removal yet may need its voice; then it halts, and lost says why.
		s.removed.Store(true)
	case r.MinVersion > s.config.version:
		s.die(&VersionError{Least: r.MinVersion, Has: s.config.version})
	}
	return s.keys.refresh(view)
}

// fits refuses a roster that is not of the fleet this machine was started for: what it
// started with may be of a file that nobody signed. A bundle without the fleet key, or
// with another, would have clients set passwords that need no device.
func (s *Server) fits(r *roster.Roster) error {
	switch {
	case r.Fleet != s.fleet:
		return errFleet
	case r.Hardening != s.keys.hardening:
		return fmt.Errorf("%w: the file beside the state said of another key, or of none", ErrFleetKey)
	}
	return nil
}

// lastAction is what the last change did, in a line.
func (s *Server) lastAction() string {
	changes := s.changes()
	if len(changes) == 0 {
		return ""
	}
	lines := strings.SplitN(changes[len(changes)-1].Text, "\n", 5) // title, fleet, serial, what is done
	return lines[min(3, len(lines)-1)]
}

// directory is who belongs to the fleet, for the links.
func (s *Server) directory() []peer.Peer { return directoryOf(s.known.Load()) }

func directoryOf(r *roster.Roster) []peer.Peer {
	var all []peer.Peer
	for _, m := range r.Members {
		all = append(all, peer.Peer{Number: m.Number, Address: m.Address, Identity: m.Identity})
	}
	return all
}

// receive gives a message to the replica it is for. Who has the group's secret can seal
// in everybody's name; who has one machine's keys besides is that machine and no other.
func (s *Server) receive(from uint64, number uint32, message []byte) {
	if g := s.groups.get(number); g != nil && replica.Sender(message) == from {
		g.replica.Receive(message)
	}
}

// belongs says whether this machine is a member of a group.
func (s *Server) belongs(r *roster.Roster, number uint32) bool { return isIn(r, number, s.self) }

func isIn(r *roster.Roster, number uint32, member uint64) bool {
	return slices.ContainsFunc(r.In(number), func(m roster.Member) bool { return m.Number == member })
}

// hostOthers opens the replicas of the groups besides the root that are here. One whose
// joining was cut off is joined later, when the others run.
func (s *Server) hostOthers(ctx context.Context, r *roster.Roster) error {
	for number := uint32(machine.Root + 1); number < r.Groups; number++ {
		if _, err := os.Stat(folder(s.config.Dir, number)); err != nil || !s.belongs(r, number) {
			continue
		}
		a, err := s.groupAnchor(number)
		if err != nil {
			return err
		}
		_, err = s.host(ctx, number, a)
		if err == nil {
			continue
		}
		err = errors.Join(err, a.Close())
		if left, e := s.unmade(number); e != nil || !left || !errors.Is(err, replica.ErrMissing) {
			return errors.Join(err, e)
		}
	}
	return nil
}

// settle makes this machine a member of the groups that were placed here, and lets go
// of those that were taken away.
func (s *Server) settle(ctx context.Context) {
	r := s.known.Load()
	for number := uint32(machine.Root + 1); number < r.Groups && ctx.Err() == nil; number++ {
		g, here := s.groups.get(number), s.belongs(r, number)
		switch {
		case s.unjoined.get(number) != nil: // who tries it looks itself
		case here && g == nil:
			s.joinBeside(ctx, number)
		case !here:
			s.leaveBeside(ctx, number)
		}
	}
}

// later has a group looked at again, after a while: once, however often it is asked for.
func (s *Server) later(ctx context.Context, g *group, after time.Duration) {
	if g.waiting.Swap(true) {
		return
	}
	g.ended.Go(func() {
		select {
		case <-ctx.Done():
		case <-time.After(after):
			g.waiting.Store(false)
			notify(g.changed)
		}
	})
}

// joinGroup makes this machine's empty member of a group, or opens the one that an
// earlier start made.
func (s *Server) joinGroup(ctx context.Context, number uint32) error {
	a, err := s.groupAnchor(number)
	if err != nil {
		return err
	}
	g, err := s.host(ctx, number, a)
	if errors.Is(err, replica.ErrMissing) {
		if err = s.makeMember(ctx, number, a); err == nil {
			g, err = s.host(ctx, number, a)
		}
	}
	if err != nil {
		return errors.Join(err, a.Close())
	}
	s.log.Info("joined a group", "group", number)
	s.run(g)
	return nil
}

// level proposes to a group what the root has accepted and the group has not: each
// group applies the same changes in the same order. The group's leader does it.
func (s *Server) level(ctx context.Context, g *group) error {
	if g.number == machine.Root || !g.leads() {
		return nil
	}
	r := g.roster()
	if r == nil {
		return errNoState
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	var missing [][]byte
	var gap error
	s.root().replica.Peek(func(m replica.Machine) { missing, gap = changesFrom(m.(*machine.Machine), g.number, r.Serial) })
	if gap != nil {
		return gap
	}
	for _, signed := range missing {
		if _, err := g.replica.Change(ctx, signed); err != nil {
			return fmt.Errorf("proposing a change to group %d: %w", g.number, err)
		}
	}
	// One that was refused may have been accepted from somebody else meanwhile. What counts is the end.
	if now := g.roster(); now != nil && now.Serial < r.Serial+uint64(len(missing)) {
		return fmt.Errorf("vaultd: group %d stays at change %d of %d", g.number, now.Serial, r.Serial+uint64(len(missing)))
	}
	return nil
}
