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

// unjoined are the groups that were placed on this machine and that it has not joined,
// with why the last try failed.
type unjoined struct {
	mu  sync.Mutex
	why map[uint32]error
}

// set takes why a try failed, nil for a group that is joined or was taken away, and
// says whether that is the first failure since.
func (u *unjoined) set(number uint32, err error) (first bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, was := u.why[number]
	if err == nil {
		delete(u.why, number)
		return false
	}
	if u.why == nil {
		u.why = map[uint32]error{}
	}
	u.why[number] = err
	return !was
}

func (u *unjoined) get(number uint32) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.why[number]
}

// notJoined keeps what a try to join a group came to, nil for success, for the status,
// and has another one made. The log has the first failure, and not each.
func (s *Server) notJoined(ctx context.Context, number uint32, err error) {
	if s.unjoined.set(number, err) {
		s.log.Warn("joining a group: tried again until it is joined, told once", "group", number, "error", err)
	}
	switch {
	case errors.Is(err, ErrWelcomed):
		s.later(ctx, s.root(), time.Minute) // each question is an entry of the group's log, and this one waits for people
	case err != nil:
		s.later(ctx, s.root(), time.Second)
	}
}

// unjoinedProblems names the groups that should be here and are not.
func (s *Server) unjoinedProblems(r *roster.Roster) (list []string) {
	for number := uint32(machine.Root + 1); number < r.Groups; number++ {
		if !s.belongs(r, number) || s.groups.get(number) != nil {
			continue
		}
		why := "it is being tried"
		if err := s.unjoined.get(number); err != nil {
			why = err.Error()
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
