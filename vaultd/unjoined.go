package vaultd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// maxJoining is how many groups are being joined at one time: a try waits for members that
// may be down.
const maxJoining = 16

// unjoined are the groups that were placed on this machine and that it has not joined: one
// goroutine tries each, so that what follows the root waits for none of them.
type unjoined struct {
	mu     sync.Mutex
	groups map[uint32]*joining
	places chan struct{} // of maxJoining
}

// joining is how a group stands that is being tried.
type joining struct {
	why      error     // the last try failed, nil before
	question *question // the same one for all tries of this run
}

func newUnjoined() unjoined {
	return unjoined{groups: map[uint32]*joining{}, places: make(chan struct{}, maxJoining)}
}

// begin says whether a group is to be tried from now on: not if it is already.
func (u *unjoined) begin(number uint32) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.groups[number] != nil {
		return false
	}
	u.groups[number] = &joining{}
	return true
}

// goesOn says whether a group is to be tried still. When it is not, another begin may come.
func (u *unjoined) goesOn(number uint32, due func() bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if due() {
		return true
	}
	delete(u.groups, number)
	return false
}

// failed takes why a try failed, and says whether that is the first.
func (u *unjoined) failed(number uint32, err error) (first bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	j := u.groups[number]
	if j == nil {
		return false
	}
	first, j.why = j.why == nil, err
	return first
}

// get returns how a group stands that is being tried, as a copy; nil for another one.
func (u *unjoined) get(number uint32) *joining {
	u.mu.Lock()
	defer u.mu.Unlock()
	if j := u.groups[number]; j != nil {
		return new(*j)
	}
	return nil
}

// ask returns what this machine asks for its welcome to a group that is being tried.
func (u *unjoined) ask(number uint32, self uint64) *question {
	u.mu.Lock()
	defer u.mu.Unlock()
	j := u.groups[number]
	if j.question == nil {
		j.question = newQuestion(number, self)
	}
	return j.question
}

// joinBeside tries to join a group until it is joined, or is placed here no more.
func (s *Server) joinBeside(ctx context.Context, number uint32) {
	if !s.unjoined.begin(number) {
		return
	}
	due := func() bool {
		return ctx.Err() == nil && s.groups.get(number) == nil && s.belongs(s.known.Load(), number)
	}
	s.root().ended.Go(func() {
		for s.unjoined.goesOn(number, due) {
			pause := s.tryJoining(ctx, number)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		notify(s.root().changed) // it may be to be let go of already
	})
}

// tryJoining tries once, and says after what time to try again.
func (s *Server) tryJoining(ctx context.Context, number uint32) time.Duration {
	select {
	case s.unjoined.places <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	err := s.joinGroup(ctx, number)
	<-s.unjoined.places
	if err == nil || ctx.Err() != nil {
		return 0
	}
	s.notJoined(number, err)
	if errors.Is(err, ErrWelcomed) {
		return time.Minute // it waits for people
	}
	return time.Second
}

// notJoined keeps for the status why a try to join a group failed. The log has the first
// failure, and not each.
func (s *Server) notJoined(number uint32, err error) {
	if s.unjoined.failed(number, err) {
		s.log.Warn("joining a group: tried again until it is joined, told once", "group", number, "error", err)
	}
}

// unjoinedProblems names the groups that should be here and are not.
func (s *Server) unjoinedProblems(r *roster.Roster) (list []string) {
	for number := uint32(machine.Root + 1); number < r.Groups; number++ {
		if !s.belongs(r, number) || s.groups.get(number) != nil {
			continue
		}
		why := "it is being tried"
		if j := s.unjoined.get(number); j != nil && j.why != nil {
			why = j.why.Error()
		}
		list = append(list, fmt.Sprintf("group %d: placed on this machine, which has not joined it, and counts there as one that is down: %s", number, why))
	}
	return list
}

// firstCheckpoint is what a joining writes before it founds the anchor.
const firstCheckpoint = "checkpoint-00000000000000000001"

// unmade says whether a group's folder is what is left of a joining that was cut off:
// no log, and no checkpoint but the first (spec/replication.md §5, §6.1). Where more is
// there was a replica, and what is missing is its anchor.
func (s *Server) unmade(number uint32) (bool, error) {
	files, err := os.ReadDir(folder(s.config.Dir, number))
	if err != nil {
		return false, fmt.Errorf("looking into the folder of group %d: %w", number, err)
	}
	for _, f := range files {
		name := f.Name()
		if strings.HasPrefix(name, "log-") || strings.HasPrefix(name, "checkpoint-") && name != firstCheckpoint {
			return false, nil
		}
	}
	return true, nil
}
