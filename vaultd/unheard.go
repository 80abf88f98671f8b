package vaultd

import (
	"context"
	"encoding/binary"
	"slices"

	"keepsake.example/replica"
	"keepsake.example/vaultd/machine"
)

// A member of a group that operators took out of it hears so from the group and ends. One that
// was down meanwhile hears nothing: nobody sends it anything any more. So who finds in the
// root's roster that a group is not for it, and hears no leader of it for 10 s, asks the
// group's members whether they have applied that (spec/replication.md §16.4). Until then
// they may need its voice to. That it does not belong there the operators' signatures say,
// in the root's state; a member that lies about the rest can make it end too early, as if it
// were down, and keep nobody in or out.

// placedSize is an answer of askPlaced: octet, serial, octet.
const placedSize = 1 + 8 + 1

// keepPlace looks whether this machine was left behind in a group.
func (s *Server) keepPlace(ctx context.Context, g *group) {
	if g.number == machine.Root || g.hearsLeader() || s.belongs(s.known.Load(), g.number) {
		g.alone = 0
		return
	}
	if g.alone++; g.alone < deadLooks {
		return
	}
	if g.alone = 0; s.leftBehind(ctx, g) {
		s.log.Info("this machine was taken out of a group while it was away", "group", g.number)
		g.left.Store(true)
		notify(s.root().changed) // settle drops it
	}
}

// hearsLeader says whether one was heard lately, or is this machine. A learner that is cut off
// knows its last one for ever.
func (g *group) hearsLeader() bool {
	st := g.replica.Status()
	return slices.ContainsFunc(st.Members, func(m replica.MemberStatus) bool { return m.Number == st.Leader && m.Active })
}

// leftBehind says whether a member of the group has applied that this machine is none: its
// roster of the group is no older than this machine's.
func (s *Server) leftBehind(ctx context.Context, g *group) bool {
	var own uint64
	g.of(func(m *machine.Machine) { own = m.Serial() })
	for _, to := range s.others(g.number) {
		b, err := s.ask(ctx, to, askPlaced, binary.BigEndian.AppendUint32(nil, g.number))
		if err == nil && len(b) == placedSize && b[0] == answered && binary.BigEndian.Uint64(b[1:]) >= own && b[9] == 0 {
			return true
		}
	}
	return false
}

// servePlaced says whether another member is one of a group, as this one's replica has it.
func (s *Server) servePlaced(from uint64, b []byte) ([]byte, error) {
	if len(b) != 4 {
		return nil, errAsk
	}
	g := s.groups.get(binary.BigEndian.Uint32(b))
	if g == nil {
		return []byte{elsewhere}, nil
	}
	r := g.roster()
	if r == nil {
		return []byte{elsewhere}, nil
	}
	reply := binary.BigEndian.AppendUint64([]byte{answered}, r.Serial)
	if isIn(r, g.number, from) {
		return append(reply, 1), nil
	}
	return append(reply, 0), nil
}
