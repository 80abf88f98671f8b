package vaultd

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// What is looked at before a change is proposed. The state machine decides by
// signatures and rules; it cannot know who has caught up, or who runs an old program.
// Here are the mistakes that would harm the fleet at once, and that nobody makes on
// purpose: they are refused as if by the roster, with a hint. spec/replication.md §15.6, §17.

// Behind is the code of a promotion that comes too early, and of a removal that a group could not follow.
const Behind roster.Code = "behind"

// BehindHint is what to do about a change that is refused so.
func BehindHint(c *roster.Change) string {
	if c.Kind == roster.Remove {
		return fmt.Sprintf("demote member %d first if it has a vote, wait until vaultd status shows no lag, then submit the removal again; "+
			"one that is stolen or will not come back is removed from that group before, with --group, which then stands still for want of it", c.Member.Number)
	}
	return "wait until vaultd status shows the member active and without lag, then submit the same change again"
}

// maxLag is how many entries a learner may be behind that is given a vote: what a
// leader sends in a moment.
const maxLag = 1000

// vet refuses a change that should not be proposed now.
func (s *Server) vet(ctx context.Context, signed []byte) error {
	w, err := roster.DecodeSigned(signed)
	if err != nil {
		return err
	}
	c, err := roster.ParseChange(w.Text)
	if err != nil {
		return err
	}
	switch c.Kind {
	case roster.SetMinVersion:
		return s.vetVersion(ctx, c.MinVersion)
	case roster.Promote:
		return s.vetVoter(ctx, w)
	case roster.Remove:
		if c.Group == machine.Root {
			return s.vetRemoval(ctx, c)
		}
	}
	return nil
}

// vetRemoval refuses to take a machine out of the fleet while another group cannot decide that
// without it: once the root has, nobody listens to it any more. Of two voters the one that is
// left would stand still for good in every group but the root.
func (s *Server) vetRemoval(ctx context.Context, c *roster.Change) error {
	r, err := s.newest(ctx)
	if err != nil {
		return err
	}
	for number := uint32(machine.Root + 1); number < r.Groups; number++ {
		if member := c.Member.Number; isIn(r, number, member) && !s.decidesWithout(ctx, r, number, member) {
			return &roster.Refusal{
				Code:   Behind,
				Reason: fmt.Sprintf("group %d needs member %d to decide that it goes: too few others are up in it and know of all changes", number, member),
				Hint:   BehindHint(c),
			}
		}
	}
	return nil
}

// vetVersion refuses a minimum version that a member does not have, as far as members
// speak: it would end there at once.
func (s *Server) vetVersion(ctx context.Context, least uint32) error {
	root := s.root().replica.Status()
	for _, m := range root.Members {
		if m.Version != 0 && m.Version < least {
			return &VersionError{Least: least, Member: m.Number, Has: m.Version}
		}
	}
	for _, m := range s.members(ctx, s.known.Load(), root, s.report()) {
		if m.Report != nil && m.Report.Version < least {
			return &VersionError{Least: least, Member: m.Number, Has: m.Report.Version}
		}
	}
	return nil
}

// vetVoter refuses a vote for a member that has not caught up, in any of the groups
// where it would have one: it would count in every majority and acknowledge nothing.
func (s *Server) vetVoter(ctx context.Context, w *roster.Signed) error {
	before, err := s.newest(ctx)
	if err != nil {
		return err
	}
	after := before.Clone()
	c, err := after.Apply(w)
	if err != nil {
		return nil // the state machine says so better
	}
	for number := range before.Groups {
		votes := func(r *roster.Roster) bool {
			return slices.ContainsFunc(r.In(number), func(m roster.Member) bool { return m.Number == c.Member.Number && !m.Learner })
		}
		if !votes(before) && votes(after) {
			if err := s.vetLearner(ctx, number, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// newest is the roster as the fleet has it.
func (s *Server) newest(ctx context.Context) (r *roster.Roster, err error) {
	for n := 1; ; n++ {
		err := s.root().replica.Read(ctx, func(m replica.Machine) { r = m.(*machine.Machine).Roster() })
		if err == nil {
			return r, nil
		}
		if !leaderless(err) || s.pause(ctx, n, err) != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoQuorum, err)
		}
	}
}

// vetLearner asks the leader of a group how far a learner is: nobody else knows.
func (s *Server) vetLearner(ctx context.Context, number uint32, c *roster.Change) error {
	for n := 1; ; n++ {
		for _, to := range append([]uint64{s.self}, s.others(number)...) {
			lacks, err := s.askStanding(ctx, to, number, c.Member.Number)
			if err == nil && lacks == "" {
				return nil
			}
			if err == nil {
				return &roster.Refusal{
					Code: Behind, Reason: fmt.Sprintf("member %d %s in group %d", c.Member.Number, lacks, number), Hint: BehindHint(c),
				}
			}
		}
		if err := s.pause(ctx, n, ErrNoQuorum); err != nil {
			return err
		}
	}
}

func (s *Server) askStanding(ctx context.Context, to uint64, number uint32, member uint64) (lacks string, err error) {
	question := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, number), member)
	var reply []byte
	if to == s.self {
		reply, err = s.serveStanding(question)
	} else {
		reply, err = s.ask(ctx, to, askStanding, question)
	}
	if err != nil {
		return "", err
	}
	return readStanding(reply)
}

// readStanding reads what a leader says that a learner lacks, which may be a lie.
func readStanding(reply []byte) (lacks string, err error) {
	if len(reply) == 0 || reply[0] != answered {
		return "", ErrNoQuorum
	}
	return hearsay(string(reply[1:])), nil
}

// serveStanding says, where this machine leads the group, what a learner lacks to be
// given a vote.
func (s *Server) serveStanding(b []byte) ([]byte, error) {
	if len(b) != 4+8 {
		return nil, errAsk
	}
	g := s.groups.get(binary.BigEndian.Uint32(b))
	if g == nil {
		return []byte{elsewhere}, nil
	}
	st, number := g.replica.Status(), binary.BigEndian.Uint64(b[4:])
	i := slices.IndexFunc(st.Members, func(m replica.MemberStatus) bool { return m.Number == number })
	if st.Role != "leader" || i < 0 {
		return []byte{elsewhere}, nil
	}
	return append([]byte{answered}, lacks(st.Members[i])...), nil
}

func lacks(m replica.MemberStatus) string {
	switch {
	case !m.Active:
		return "is not heard of"
	case m.Match == 0:
		return "has no state yet"
	case m.Lag >= maxLag:
		return fmt.Sprintf("is %d entries behind", m.Lag)
	}
	return ""
}
