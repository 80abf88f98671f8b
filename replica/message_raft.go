package replica

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// What a type of raft's messages brings besides its numbers.
type brings struct{ entries, context, read, snapshot bool }

// travels lists raft's messages between members. A message of any other type,
// such as a local one or a proposal (ours are forwarded by kindForward), is refused.
var travels = map[raftpb.MessageType]brings{
	raftpb.MsgApp:            {entries: true},
	raftpb.MsgAppResp:        {},
	raftpb.MsgVote:           {context: true},
	raftpb.MsgVoteResp:       {},
	raftpb.MsgSnap:           {snapshot: true},
	raftpb.MsgHeartbeat:      {context: true},
	raftpb.MsgHeartbeatResp:  {context: true},
	raftpb.MsgTransferLeader: {},
	raftpb.MsgTimeoutNow:     {},
	raftpb.MsgReadIndex:      {read: true},
	raftpb.MsgReadIndexResp:  {read: true},
	raftpb.MsgPreVote:        {context: true},
	raftpb.MsgPreVoteResp:    {},
}

func refuseRaft(m *raftpb.Message, why string) error {
	return fmt.Errorf("%w: %v %s", errMessage, m.GetType(), why)
}

// contextOf returns the bytes that raft wants back. A ReadIndex has them in an
// entry without index.
func contextOf(m *raftpb.Message, has brings) []byte {
	if has.read && len(m.GetEntries()) == 1 {
		return m.GetEntries()[0].GetData()
	}
	return m.GetContext()
}

func entriesOf(m *raftpb.Message, has brings) []*raftpb.Entry {
	if has.read {
		return nil
	}
	return m.GetEntries()
}

func checkRaft(m *raftpb.Message) error {
	has, ok := travels[m.GetType()]
	context := contextOf(m, has)
	switch {
	case !ok:
		return refuseRaft(m, "does not travel")
	case has.read && len(m.GetEntries()) != 1, !has.read && !has.entries && len(m.GetEntries()) > 0:
		return refuseRaft(m, "with entries")
	case has.read && len(m.GetContext()) > 0, !has.read && !has.context && len(context) > 0, len(context) > maxContext:
		return refuseRaft(m, "with a context")
	case m.GetVote() != 0 || len(m.GetResponses()) > 0:
		return refuseRaft(m, "with what is local")
	case m.GetFrom() == 0:
		return refuseRaft(m, "from nobody")
	case has.snapshot:
		return checkSnapshot(m.GetSnapshot())
	case m.GetSnapshot() != nil:
		return refuseRaft(m, "with a snapshot")
	}
	return checkEntries(m)
}

// checkEntries makes sure that a MsgApp's entries follow what it says they follow.
func checkEntries(m *raftpb.Message) error {
	if travels[m.GetType()].read {
		return nil
	}
	if len(m.GetEntries()) > maxEntries {
		return refuseRaft(m, "with too many entries")
	}
	for i, e := range m.GetEntries() {
		if e.GetIndex() != m.GetIndex()+1+uint64(i) || e.GetTerm() == 0 || e.GetTerm() > m.GetTerm() {
			return refuseRaft(m, "with an entry that does not follow")
		}
		if len(e.GetData()) > maxEntry || uint32(e.GetType()) > uint32(raftpb.EntryConfChangeV2) {
			return refuseRaft(m, "with an entry of no kind, or too long")
		}
	}
	return nil
}

func raftSize(m *raftpb.Message) int {
	has := travels[m.GetType()]
	n := raftHead + len(contextOf(m, has)) + entriesSize(entriesOf(m, has))
	if has.snapshot {
		n += snapshotSize(m.GetSnapshot())
	}
	return n
}

func appendRaft(to []byte, m *raftpb.Message) []byte {
	has := travels[m.GetType()]
	context, entries := contextOf(m, has), entriesOf(m, has)
	to = append(to, byte(m.GetType()))
	for _, n := range []uint64{m.GetFrom(), m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetRejectHint()} {
		to = be.AppendUint64(to, n)
	}
	to = append(to, flag(m.GetReject()), byte(len(context)))
	to = be.AppendUint32(to, uint32(len(entries)))
	to = append(to, context...)
	to = appendEntries(to, entries)
	if has.snapshot {
		to = appendSnapshot(to, m.GetSnapshot())
	}
	return to
}

func decodeRaft(b []byte, from, to uint64) (*raftpb.Message, error) {
	if len(b) < raftHead || b[49] > 1 {
		return nil, fmt.Errorf("%w: %d bytes of raft's", errMessage, len(b))
	}
	m := fixedPart(b)
	*m.To = to
	// A transfer is asked for in the name of who is to lead, and passed on by others.
	if m.GetFrom() != from && m.GetType() != raftpb.MsgTransferLeader {
		return nil, fmt.Errorf("%w: of member %d from member %d", errMessage, m.GetFrom(), from)
	}
	context, count, rest := int(b[50]), be.Uint32(b[51:]), b[raftHead:]
	rest, err := decodeContents(m, context, count, rest)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, refuseRaft(m, "with bytes left over")
	}
	return m, checkRaft(m)
}

// fixedPart reads a message's numbers but one. They are many and short-lived: all that they
// take is taken at once.
func fixedPart(b []byte) *raftpb.Message {
	x := &struct {
		m                                                    raftpb.Message
		kind                                                 raftpb.MessageType
		to, from, term, logTerm, index, commit, rejectedHint uint64
		reject                                               bool
	}{
		kind: raftpb.MessageType(b[0]), from: be.Uint64(b[1:]), term: be.Uint64(b[9:]), logTerm: be.Uint64(b[17:]),
		index: be.Uint64(b[25:]), commit: be.Uint64(b[33:]), rejectedHint: be.Uint64(b[41:]), reject: b[49] == 1,
	}
	m := &x.m
	m.Type, m.To, m.From, m.Term, m.LogTerm = &x.kind, &x.to, &x.from, &x.term, &x.logTerm
	m.Index, m.Commit, m.RejectHint, m.Reject = &x.index, &x.commit, &x.rejectedHint, &x.reject
	return m
}

// decodeContents reads context, entries and snapshot.
func decodeContents(m *raftpb.Message, context int, count uint32, b []byte) (rest []byte, err error) {
	has, ok := travels[m.GetType()]
	// The division bounds what is allocated by what is there.
	if !ok || context > len(b) || int(count) > (len(b)-context)/entryHead || has.read && count > 0 {
		return nil, refuseRaft(m, "does not travel, or is cut")
	}
	if has.read {
		m.Entries = []*raftpb.Entry{{Data: b[:context:context]}}
	} else if context > 0 {
		m.Context = b[:context:context]
	}
	b = b[context:]
	for range count {
		var e *raftpb.Entry
		if e, b, err = decodeEntry(b); err != nil {
			return nil, fmt.Errorf("%w: %w", errMessage, err)
		}
		m.Entries = append(m.Entries, e)
	}
	if has.snapshot {
		m.Snapshot, b, err = decodeSnapshot(b)
	}
	return b, err
}

// A snapshot is where a picture was taken and who were members then; its data is
// the ticket to fetch the picture with.

const snapshotHead = 8 + 8 + 1 + 1

func checkSnapshot(s *raftpb.Snapshot) error {
	c := s.GetMetadata().GetConfState()
	members := len(c.GetVoters()) + len(c.GetLearners())
	switch {
	case len(s.GetData()) != ticketSize || s.GetMetadata().GetIndex() == 0 || s.GetMetadata().GetTerm() == 0:
		return fmt.Errorf("%w: snapshot without ticket or place", errMessage)
	case len(c.GetVoters()) == 0 || members > maxMembers:
		return fmt.Errorf("%w: snapshot with %d members", errMessage, members)
	case len(c.GetVotersOutgoing())+len(c.GetLearnersNext()) > 0 || c.GetAutoLeave():
		return fmt.Errorf("%w: snapshot in a joint configuration", errMessage)
	}
	return nil
}

func snapshotSize(s *raftpb.Snapshot) int {
	c := s.GetMetadata().GetConfState()
	return snapshotHead + 8*(len(c.GetVoters())+len(c.GetLearners())) + ticketSize
}

func appendSnapshot(to []byte, s *raftpb.Snapshot) []byte {
	c := s.GetMetadata().GetConfState()
	to = be.AppendUint64(to, s.GetMetadata().GetIndex())
	to = be.AppendUint64(to, s.GetMetadata().GetTerm())
	to = append(to, byte(len(c.GetVoters())), byte(len(c.GetLearners())))
	for _, list := range [][]uint64{c.GetVoters(), c.GetLearners()} {
		for _, n := range list {
			to = be.AppendUint64(to, n)
		}
	}
	return append(to, s.GetData()...)
}

func decodeSnapshot(b []byte) (s *raftpb.Snapshot, rest []byte, err error) {
	if len(b) < snapshotHead || len(b) < snapshotHead+8*(int(b[16])+int(b[17]))+ticketSize {
		return nil, nil, fmt.Errorf("%w: snapshot cut", errMessage)
	}
	c := &raftpb.ConfState{}
	meta := &raftpb.SnapshotMetadata{ConfState: c, Index: new(be.Uint64(b)), Term: new(be.Uint64(b[8:]))}
	voters, learners, b := int(b[16]), int(b[17]), b[snapshotHead:]
	for range voters {
		c.Voters, b = append(c.Voters, be.Uint64(b)), b[8:]
	}
	for range learners {
		c.Learners, b = append(c.Learners, be.Uint64(b)), b[8:]
	}
	return &raftpb.Snapshot{Metadata: meta, Data: b[:ticketSize:ticketSize]}, b[ticketSize:], nil
}
