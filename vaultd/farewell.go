package vaultd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/replica"
	"keepsake.example/roster"
)

// A machine leaves a group when the root has decided so, and the group hears of it from its leader
// afterwards. In between its voice may be needed: of two voters both have to acknowledge that one
// of them goes, and who is killed, away, or told last must not take the majority along. Nor does
// anybody tell who was away, since nobody in the group hears him any more. So the machine stays,
// also over its own restarts, until a majority of those that keep the group say that they have applied the
// removal. spec/replication.md §7.3, §15.6.

// backAfter is how long a majority of the others may take to apply the removal before a machine
// whose replica has ended opens it again to help them.
const backAfter = 5 * time.Second

// leftFile, in a group's folder, says that the group was left for good: who makes it up says that of a group
// that the roster has taken away all the same.
const leftFile = "left"

// leaveBeside ends this machine's part in a group that the roster has taken away, in a goroutine of its
// own, so that what follows the root does not wait for it. A number never comes back to a group, so it is
// done once in a process.
func (s *Server) leaveBeside(ctx context.Context, number uint32) {
	if s.groups.get(number) == nil && !s.stays(number) {
		return
	}
	if _, already := s.leaving.LoadOrStore(number, nil); already {
		return
	}
	s.root().ended.Go(func() {
		for ended := time.Now(); ctx.Err() == nil && !s.letGo(ctx, number, &ended); {
			select {
			case <-ctx.Done():
			case <-time.After(lookEvery):
			}
		}
	})
}

// letGo tries to, and says whether it is done. In ended is when the replica was last seen to run.
func (s *Server) letGo(ctx context.Context, number uint32, ended *time.Time) bool {
	g, over := s.groups.get(number), s.over(ctx, s.known.Load(), number)
	if g != nil && (over || errors.Is(g.replica.Err(), replica.ErrRemoved)) {
		s.groups.drop(number)
		if err := g.close(); err != nil && !errors.Is(err, replica.ErrRemoved) {
			s.log.Warn("leaving a group", "group", number, "error", err)
		}
		g = nil
	}
	switch {
	case over:
		s.markLeft(number)
		return true
	case g != nil:
		*ended = time.Now()
		return false
	}
	return time.Since(*ended) > backAfter && !s.help(ctx, number)
}

// stays says whether there is a replica of a group here that may still be needed.
func (s *Server) stays(number uint32) bool {
	dir := folder(s.config.Dir, number)
	_, err := os.Stat(dir)
	_, left := os.Stat(filepath.Join(dir, leftFile))
	return err == nil && left != nil
}

// over says whether the group goes on without this machine: a majority of its voters have applied what the
// root had decided when it was taken away.
func (s *Server) over(ctx context.Context, r *roster.Roster, number uint32) bool {
	return s.decidesWithout(ctx, r, number, s.self)
}

// decidesWithout says whether a majority of a group's voters, without one member, are up and have applied
// all changes of a roster.
func (s *Server) decidesWithout(ctx context.Context, r *roster.Roster, number uint32, without uint64) bool {
	voters, know := 0, atomic.Int32{}
	var all sync.WaitGroup
	for _, m := range r.In(number) {
		if m.Learner {
			continue
		}
		voters++
		switch m.Number {
		case without:
		case s.self:
			if s.report().knows(number, r.Serial) {
				know.Add(1)
			}
		default:
			all.Go(func() {
				if s.askReport(ctx, m.Number).knows(number, r.Serial) {
					know.Add(1)
				}
			})
		}
	}
	all.Wait()
	return int(know.Load()) >= roster.Needed(voters, int(r.Tolerate))
}

// knows says whether a member's replica of a group is at a change of the fleet. An older program,
// which does not say, is believed to be.
func (r *Report) knows(number uint32, serial uint64) bool {
	if r == nil || len(r.Groups) == 0 {
		return r != nil
	}
	g, ok := r.in(number)
	return ok && g.Serial >= serial
}

// help opens the replica of a group that ended here, when those that keep the group need it for
// long. It says whether that could be done.
func (s *Server) help(ctx context.Context, number uint32) bool {
	a, err := s.groupAnchor(number)
	if err == nil {
		var g *group
		if g, err = s.host(ctx, number, a); err == nil {
			s.log.Info("back in a group that this machine leaves: too few others have heard of that", "group", number)
			s.run(g)
			return true
		}
		err = errors.Join(err, a.Close())
	}
	s.log.Warn("a group that this machine leaves, and that too few others know of, cannot be opened here", "group", number, "error", err)
	return false
}

func (s *Server) markLeft(number uint32) {
	s.log.Info("left a group", "group", number)
	if err := os.WriteFile(filepath.Join(folder(s.config.Dir, number), leftFile), nil, 0o600); err != nil {
		s.log.Warn("noting that a group was left; it is found out again at the next start", "group", number, "error", err)
	}
}
