package vaultd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// giveTime bounds how long a member that ends tries to hand its leadership over.
// Without that the others notice the loss after an election timeout, and lose nothing.
const giveTime = 2 * time.Second

// Drain gives leadership away and turns requests away from now on: 503, so that chatd
// goes to another member. This one goes on as a follower until it is closed.
func (s *Server) Drain(ctx context.Context) error {
	s.draining.Store(true)
	s.log.Info("draining: new requests are for other members")
	return s.handOver(ctx, 0)
}

// ErrTransfer is a transfer that was not begun: nobody could lead by it. An error of the
// replica's of that name is one that was tried and came to nothing.
var ErrTransfer = errors.New("vaultd: nothing was handed over")

// Transfer hands the leadership of every group that this member leads to a member,
// or, with 0, to whichever voter has the most of its log. It refuses with ErrTransfer,
// before anything is asked of a group, who could not lead: while a transfer waits, the group
// takes no proposals. replica.ErrTransfer: nobody took it in time, and this member leads on.
func (s *Server) Transfer(ctx context.Context, to uint64) error {
	var led []*group
	for _, g := range s.groups.list() {
		if g.leads() {
			led = append(led, g)
		}
	}
	switch {
	case to == s.self:
		return fmt.Errorf("%w: member %d is this one", ErrTransfer, to)
	case len(led) == 0:
		return fmt.Errorf("%w: member %d, this one, leads nothing", ErrTransfer, s.self)
	}
	var report *Report
	if to != 0 && s.links.Load() != nil {
		report = s.askReport(ctx, to)
	}
	for _, g := range led {
		if why := s.unfit(g, to, report); why != "" {
			return fmt.Errorf("%w: group %d: %s", ErrTransfer, g.number, why)
		}
	}
	return s.handOver(ctx, to)
}

// unfit says why a member cannot lead a group that this one leads, "" for no reason; of 0,
// why nobody can. What it says of itself is nil where it did not answer.
func (s *Server) unfit(g *group, to uint64, report *Report) string {
	if to == 0 && !s.hasOtherVoter(g) {
		return "no other voter is heard of"
	}
	if to == 0 {
		return ""
	}
	members := g.replica.Status().Members
	i := slices.IndexFunc(members, func(m replica.MemberStatus) bool { return m.Number == to })
	switch {
	case i < 0:
		return fmt.Sprintf("member %d is not one of its members", to)
	case members[i].Learner:
		return fmt.Sprintf("member %d has no vote in it", to)
	case lacks(members[i]) != "":
		return fmt.Sprintf("member %d %s", to, lacks(members[i]))
	case report != nil && slices.Contains(report.NoRoom, g.number):
		return fmt.Sprintf("member %d has no room for its log", to)
	}
	return ""
}

// handOver gives away what this member leads, where there is somebody to take it.
func (s *Server) handOver(ctx context.Context, to uint64) error {
	var failed error
	for _, g := range s.groups.list() {
		if !g.leads() || !s.hasOtherVoter(g) {
			continue
		}
		if err := g.replica.Transfer(ctx, to); err != nil {
			failed = errors.Join(failed, fmt.Errorf("handing over group %d: %w", g.number, err))
		}
	}
	return failed
}

func (s *Server) hasOtherVoter(g *group) bool {
	for _, m := range g.replica.Status().Members {
		if !m.Learner && m.Active && m.Number != s.self {
			return true
		}
	}
	return false
}

// giveAway hands leadership over before the end, if that is quick.
func (s *Server) giveAway() {
	ctx, cancel := context.WithTimeout(context.Background(), giveTime)
	defer cancel()
	if err := s.handOver(ctx, 0); err != nil {
		s.log.Warn("ending as leader", "error", err)
	}
}

// Change has a change decided that operators signed (roster.Signed, encoded). It
// returns the change, or the roster's refusal. The other groups follow the root.
func (s *Server) Change(ctx context.Context, signed []byte) (*roster.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	if err := s.vet(ctx, signed); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		effect, err := s.root().replica.Change(ctx, signed)
		if err == nil {
			return s.concluded(effect, signed)
		}
		if !leaderless(err) && !errors.Is(err, replica.ErrPending) || s.halted() != nil {
			return nil, fmt.Errorf("proposing the change: %w", err)
		}
		if s.pause(ctx, n, err) != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoQuorum, err)
		}
	}
}

// concluded is what a change came to. One whose outcome was lost and that was
// proposed again is refused the second time, though it is done.
func (s *Server) concluded(effect any, signed []byte) (*roster.Change, error) {
	o, ok := effect.(*machine.Outcome)
	if !ok {
		return nil, errors.New("vaultd: internal error: a change without its outcome")
	}
	if err := s.takeOver(s.root()); err != nil {
		s.log.Error("taking over a change", "error", err)
	}
	if o.Refused == nil {
		return o.Change, nil
	}
	if c := s.accepted(signed); c != nil {
		return c, nil
	}
	return nil, o.Refused
}

// accepted finds a change among those that were accepted, by its text.
func (s *Server) accepted(signed []byte) *roster.Change {
	wanted, err := roster.DecodeSigned(signed)
	if err != nil {
		return nil
	}
	for _, change := range s.changes() {
		if change.Text == wanted.Text {
			c, err := roster.ParseChange(change.Text)
			if err != nil {
				return nil
			}
			return c
		}
	}
	return nil
}
