package replica

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"pgregory.net/rapid"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A message of every kind.
func samples() map[string]*peerMessage {
	raftMessage := func(k raftpb.MessageType, change func(*raftpb.Message)) *raftpb.Message {
		m := &raftpb.Message{Type: k.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(5))}
		change(m)
		return m
	}
	ticket := ticket{id: [16]byte{7, 7}, size: 300_000, digest: [32]byte{9}}
	return map[string]*peerMessage{
		"append": {reading: 1_700_000_000_000, told: 1_699_999_999_999, version: 1, raft: raftMessage(raftpb.MsgApp, func(m *raftpb.Message) {
			m.LogTerm, m.Index, m.Commit = new(uint64(4)), new(uint64(10)), new(uint64(9))
			m.Entries = []*raftpb.Entry{
				{Index: new(uint64(11)), Term: new(uint64(4)), Data: []byte("an entry")},
				{Index: new(uint64(12)), Term: new(uint64(5)), Type: raftpb.EntryConfChangeV2.Enum(), Data: []byte("a change")},
			}
		})},
		"rejection": {reading: 2, version: 3, raft: raftMessage(raftpb.MsgAppResp, func(m *raftpb.Message) {
			m.Reject, m.RejectHint, m.Index, m.LogTerm = new(true), new(uint64(6)), new(uint64(10)), new(uint64(3))
		})},
		"vote": {raft: raftMessage(raftpb.MsgVote, func(m *raftpb.Message) {
			m.Context, m.Index, m.LogTerm = []byte("CampaignTransfer"), new(uint64(10)), new(uint64(3))
		})},
		"transfer":   {raft: raftMessage(raftpb.MsgTransferLeader, func(m *raftpb.Message) { m.From = new(uint64(3)) })},
		"read index": {raft: raftMessage(raftpb.MsgReadIndex, func(m *raftpb.Message) { m.Entries = []*raftpb.Entry{{Data: []byte("request1")}} })},
		"snapshot": {raft: raftMessage(raftpb.MsgSnap, func(m *raftpb.Message) {
			m.Snapshot = &raftpb.Snapshot{Data: ticket.bytes(), Metadata: &raftpb.SnapshotMetadata{
				Index: new(uint64(40)), Term: new(uint64(4)), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}, Learners: []uint64{9}},
			}}
		})},
		"forward":        {reading: 4, forward: &forward{origin: 2, sequence: 77, entry: []byte("guess")}},
		"forward change": {reading: 4, forward: &forward{origin: 2, sequence: 78, change: true, entry: []byte("signed")}},
		"refused":        {refused: &refused{sequence: 77}},
		"because":        {because: &because{sequence: 77, reason: 2}},
		"chunk request":  {request: &chunkRequest{id: [16]byte{7}, index: 12}},
		"chunk":          {chunk: &chunk{id: [16]byte{7}, index: 12, data: []byte("a part of a picture")}},
	}
}

func encoded(m *peerMessage) []byte {
	if err := m.check(); err != nil {
		panic(err)
	}
	b := m.append(nil)
	if len(b) != m.size() {
		panic("another size")
	}
	return b
}

// described is what raft reads of a message: to it, zero and missing are one.
func described(m *raftpb.Message) string {
	var entries []string
	for _, e := range m.GetEntries() {
		entries = append(entries, fmt.Sprintf("%d/%d/%v/%x", e.GetIndex(), e.GetTerm(), e.GetType(), e.GetData()))
	}
	meta := m.GetSnapshot().GetMetadata()
	return fmt.Sprintf("%v from %d to %d: %d %d %d %d %v %d %x %q; %d %d %v %v %x", m.GetType(), m.GetFrom(), m.GetTo(),
		m.GetTerm(), m.GetLogTerm(), m.GetIndex(), m.GetCommit(), m.GetReject(), m.GetRejectHint(), m.GetContext(), entries,
		meta.GetIndex(), meta.GetTerm(), meta.GetConfState().GetVoters(), meta.GetConfState().GetLearners(), m.GetSnapshot().GetData())
}

// What is written is read as the same.
func TestMessageRoundTrip(t *testing.T) {
	for name, m := range samples() {
		t.Run(name, func(t *testing.T) { roundTrip(t, m) })
	}
}

func roundTrip(t testing.TB, m *peerMessage) {
	t.Helper()
	b := encoded(m)
	got, err := decodeMessage(b, 1, 2)
	check(t, err)
	if got.kind() != m.kind() || got.reading != m.reading || got.told != m.told || got.version != m.version {
		t.Errorf("%+v became %+v", m, got)
	}
	if m.raft != nil {
		if a, b := described(m.raft), described(got.raft); a != b {
			t.Errorf("%s became %s", a, b)
		}
	}
	if !bytes.Equal(encoded(got), b) {
		t.Errorf("%x is written as %x", b, encoded(got))
	}
}

// The same for any of raft's messages that may travel.
func TestRaftMessageRoundTripProperty(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kind := rapid.SampledFrom(sortedKeys(travels)).Draw(r, "type")
		has, num := travels[kind], rapid.Uint64Range(0, 1<<40)
		m := &raftpb.Message{
			Type: kind.Enum(), From: new(uint64(1)), To: new(uint64(2)), Term: new(num.Draw(r, "term") + 1), LogTerm: new(num.Draw(r, "log term")),
			Index: new(num.Draw(r, "index")), Commit: new(num.Draw(r, "commit")), Reject: new(rapid.Bool().Draw(r, "reject")), RejectHint: new(num.Draw(r, "hint")),
		}
		data := rapid.SliceOfN(rapid.Byte(), 0, 40)
		switch {
		case has.read:
			m.Entries = []*raftpb.Entry{{Data: data.Draw(r, "context")}}
		case has.context:
			m.Context = data.Draw(r, "context")
		case has.entries:
			for i := range rapid.IntRange(0, 5).Draw(r, "entries") {
				e := &raftpb.Entry{Index: new(m.GetIndex() + 1 + uint64(i)), Term: new(rapid.Uint64Range(1, m.GetTerm()).Draw(r, "of term")), Data: data.Draw(r, "data")}
				e.Type = rapid.SampledFrom([]raftpb.EntryType{0, 1, 2}).Draw(r, "kind").Enum()
				m.Entries = append(m.Entries, e)
			}
		case has.snapshot:
			m.Snapshot = samples()["snapshot"].raft.GetSnapshot()
			m.Snapshot.Metadata.ConfState.Voters = rapid.SliceOfN(num, 1, 7).Draw(r, "voters")
		}
		roundTrip(t, &peerMessage{reading: num.Draw(r, "reading"), told: num.Draw(r, "told"), raft: m})
	})
}

// Every type of raft's that is there either travels or is refused, by both sides.
func TestOnlyMessagesBetweenMembersTravel(t *testing.T) {
	for number, name := range raftpb.MessageType_name {
		kind := raftpb.MessageType(number)
		_, want := travels[kind]
		local := strings.Contains(name, "Storage") || kind == raftpb.MsgHup || kind == raftpb.MsgBeat || kind == raftpb.MsgUnreachable ||
			kind == raftpb.MsgSnapStatus || kind == raftpb.MsgCheckQuorum || kind == raftpb.MsgProp || kind == raftpb.MsgForgetLeader
		if want == local {
			t.Errorf("%s: travels %v, local %v", name, want, local)
		}
		m := &peerMessage{raft: &raftpb.Message{Type: kind.Enum(), From: new(uint64(1)), Term: new(uint64(1))}}
		if err := m.check(); !want && !errors.Is(err, errMessage) {
			t.Errorf("%s is sent", name)
		}
		b := encoded(&peerMessage{raft: &raftpb.Message{Type: raftpb.MsgAppResp.Enum(), From: new(uint64(1)), Term: new(uint64(1))}})
		b[messageHead] = byte(number)
		if _, err := decodeMessage(b, 1, 2); !want && !errors.Is(err, errMessage) {
			t.Errorf("%s is taken", name)
		}
	}
}

// What must not be sent, because nobody would take it.
func TestMessageRefusedBeforeItIsSent(t *testing.T) {
	base := func() *raftpb.Message { return samples()["append"].raft }
	for name, m := range map[string]*peerMessage{
		"nothing":            {},
		"two contents":       {refused: &refused{}, request: &chunkRequest{}},
		"empty forward":      {forward: &forward{}},
		"huge forward":       {forward: &forward{entry: make([]byte, maxEntry+1)}},
		"empty chunk":        {chunk: &chunk{}},
		"huge chunk":         {chunk: &chunk{data: make([]byte, chunkSize+1)}},
		"gap":                {raft: edit(base(), func(m *raftpb.Message) { m.Entries = m.Entries[1:] })},
		"entry without term": {raft: edit(base(), func(m *raftpb.Message) { m.Entries[0].Term = nil })},
		"entry of later":     {raft: edit(base(), func(m *raftpb.Message) { m.Entries[0].Term = new(uint64(6)) })},
		"huge entry":         {raft: edit(base(), func(m *raftpb.Message) { m.Entries[0].Data = make([]byte, maxEntry+1) })},
		"too many bytes": {raft: edit(base(), func(m *raftpb.Message) {
			m.Entries[0].Data, m.Entries[1].Data = make([]byte, maxEntry), make([]byte, maxEntry)
		})},
		"from nobody":         {raft: edit(base(), func(m *raftpb.Message) { m.From = nil })},
		"with a vote":         {raft: edit(base(), func(m *raftpb.Message) { m.Vote = new(uint64(1)) })},
		"with a snapshot":     {raft: edit(base(), func(m *raftpb.Message) { m.Snapshot = samples()["snapshot"].raft.Snapshot })},
		"with a context":      {raft: edit(base(), func(m *raftpb.Message) { m.Context = []byte("x") })},
		"long context":        {raft: edit(samples()["vote"].raft, func(m *raftpb.Message) { m.Context = make([]byte, maxContext+1) })},
		"entries in a vote":   {raft: edit(samples()["vote"].raft, func(m *raftpb.Message) { m.Entries = base().Entries })},
		"read without one":    {raft: edit(samples()["read index"].raft, func(m *raftpb.Message) { m.Entries = nil })},
		"no ticket":           {raft: edit(samples()["snapshot"].raft, func(m *raftpb.Message) { m.Snapshot.Data = nil })},
		"no voter":            {raft: edit(samples()["snapshot"].raft, func(m *raftpb.Message) { m.Snapshot.Metadata.ConfState.Voters = nil })},
		"joint configuration": {raft: edit(samples()["snapshot"].raft, func(m *raftpb.Message) { m.Snapshot.Metadata.ConfState.VotersOutgoing = []uint64{1} })},
		"65 members":          {raft: edit(samples()["snapshot"].raft, func(m *raftpb.Message) { m.Snapshot.Metadata.ConfState.Learners = make([]uint64, 62) })},
	} {
		if err := m.check(); !errors.Is(err, errMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func edit(m *raftpb.Message, change func(*raftpb.Message)) *raftpb.Message { change(m); return m }

// A message speaks for nobody but its sender.
func TestMessageInAnothersName(t *testing.T) {
	b := encoded(samples()["append"])
	if _, err := decodeMessage(b, 3, 2); !errors.Is(err, errMessage) {
		t.Errorf("got %v", err)
	}
	_, err := decodeMessage(encoded(samples()["transfer"]), 1, 2)
	check(t, err) // the one that is passed on
}

// Every truncation is refused; every change of a byte is refused, or means
// something else: what is read is always written as it was.
func TestMangleMessages(t *testing.T) {
	for name, m := range samples() {
		b := encoded(m)
		for n := range b {
			if got, err := decodeMessage(b[:n], 1, 2); err == nil && name != "forward" && name != "forward change" && name != "chunk" {
				t.Errorf("%s: %d bytes are taken as %+v", name, n, got)
			}
		}
		if name != "forward" && name != "forward change" && name != "chunk" {
			if _, err := decodeMessage(append(bytes.Clone(b), 0), 1, 2); err == nil {
				t.Errorf("%s: a byte too many is taken", name)
			}
		}
		for i := range b {
			for _, flip := range []byte{1, 0x80, 0xff} {
				bad := bytes.Clone(b)
				bad[i] ^= flip
				if got, err := decodeMessage(bad, 1, 2); err == nil && !bytes.Equal(encoded(got), bad) {
					t.Errorf("%s: byte %d changed is written otherwise", name, i)
				}
			}
		}
	}
}

// FuzzMessage: whatever is read is sent as the same bytes.
func FuzzMessage(f *testing.F) {
	for _, m := range samples() {
		f.Add(encoded(m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeMessage(data, 1, 2)
		if err != nil {
			return
		}
		if err := m.check(); err != nil {
			t.Fatalf("taken, but not to be sent: %v", err)
		}
		if again := m.append(nil); !bytes.Equal(again, data) || m.size() != len(data) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}
