package replica

import (
	"bytes"
	"errors"
	"io"

	"go.etcd.io/raft/v3/raftpb"

	"keepsake.example/anchor"
)

// OpenFolder is the Disk that a Config without one gets.
var OpenFolder = openFolder

// Say has a member send a message of raft's to another one that its own raft would not send.
func Say(n *Node, to uint64, kind raftpb.MessageType, term uint64) error {
	m := &raftpb.Message{Type: kind.Enum(), From: new(n.base.member), To: new(to), Term: new(term)}
	if travels[kind].read {
		m.Entries = []*raftpb.Entry{{Data: []byte("question")}}
	}
	_, err := n.send(to, &peerMessage{raft: m})
	return err
}

// EncodeBatch writes a batch whose first entry has index first.
func EncodeBatch(term, vote, commit, first, entryTerm uint64, data ...string) []byte {
	b := batch{hard: hardState{term, vote, commit}}
	for i, d := range data {
		b.entries = append(b.entries, &raftpb.Entry{Index: new(first + uint64(i)), Term: new(entryTerm), Data: []byte(d)})
	}
	return b.append(nil)
}

// RecodeBatch reads a batch and writes it.
func RecodeBatch(data []byte) ([]byte, error) {
	b, err := decodeBatch(data)
	if err != nil {
		return nil, err
	}
	if b.size() != len(data) {
		panic("another size")
	}
	return b.append(nil), nil
}

// RecodeHead reads a header of either kind and writes it.
func RecodeHead(data []byte) ([]byte, error) {
	if h, err := decodeSegmentHead(data); err == nil {
		return h.append(nil), nil
	}
	h, err := decodeCheckpointHead(data)
	return h.append(nil), err
}

// EncodePicture writes what is inside a checkpoint.
func EncodePicture(picture string, batches ...[]byte) []byte {
	var out bytes.Buffer
	out.Write(base{1, 2, 1, anchor.KeyFromBytes([32]byte{9}), []uint64{1}}.append(nil))
	_ = writeFrames(&out, bytes.NewBufferString(picture))
	for _, b := range batches {
		_ = writeFrame(&out, b)
	}
	_ = writeFrame(&out, nil)
	out.Write(appendTrailer(nil, chain{number: 4}))
	return out.Bytes()
}

// ReadPicture reads it.
func ReadPicture(data []byte) (picture []byte, batches int, err error) {
	r := bytes.NewReader(data)
	if _, err := readBase(r); err != nil {
		return nil, 0, err
	}
	if picture, err = io.ReadAll(&frameReader{from: r}); err != nil {
		return nil, 0, err
	}
	if err := readBatches(r, func(*batch) error { batches++; return nil }); err != nil {
		return nil, 0, err
	}
	_, err = readTrailer(r)
	return picture, batches, err
}

// The errors of reading records and checkpoints, by the names of spec/replication.md §8.
var Layers = map[string]error{
	"end": errNoRecord, "record": errBadRecord, "batch": errBatch,
	"header": errHead, "version": ErrNewer, "older": errOlder, "key": errOtherKey, "chunk": errChunk, "picture": errPicture,
}

var errOtherKey = errors.New("sealed under another key")

// OpenRecord reads a record that follows batch number and its head, and returns
// the encoded batch and the next head.
func OpenRecord(key [32]byte, number uint64, prev [32]byte, record []byte) (encoded []byte, head [32]byte, err error) {
	e, err := newEpoch(anchor.KeyFromBytes(key))
	if err != nil {
		return nil, head, err
	}
	b, next, size, err := openRecord(record, e, chain{number, prev})
	if err != nil {
		return nil, head, err
	}
	if size != len(record) {
		return nil, head, errBadRecord
	}
	return b.append(nil), next.head, nil
}

// OpenCheckpoint reads a checkpoint, and returns what is inside, and the chain after it.
func OpenCheckpoint(key [32]byte, file []byte) (inside []byte, number uint64, head [32]byte, err error) {
	e, err := newEpoch(anchor.KeyFromBytes(key))
	if err != nil {
		return nil, 0, head, err
	}
	h, err := decodeCheckpointHead(file)
	if err != nil {
		return nil, 0, head, err
	}
	if h.keyID != e.id {
		return nil, 0, head, errOtherKey
	}
	r, err := newChunkReader(bytes.NewReader(file), int64(len(file)), e, h)
	if err != nil {
		return nil, 0, head, err
	}
	if inside, err = io.ReadAll(r); err != nil {
		return nil, 0, head, err
	}
	if _, _, err := ReadPicture(inside); err != nil {
		return nil, 0, head, err
	}
	prev, err := readTrailer(bytes.NewReader(inside[len(inside)-8-headSize:]))
	after := r.cipher.after(prev)
	return inside, after.number, after.head, err
}

// Impossible gives a node a heartbeat of its leader that no leader sends.
func Impossible(n *Node) error {
	m := &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: new(n.lead), To: new(n.base.member), Term: new(n.term), Commit: new(n.store.last() + 5)}
	n.halted = n.guard(func() error { return n.raft.Step(m) })
	return n.Step()
}

// Vote is the term that a node is in, and whom it voted for there.
func Vote(n *Node) (term, vote uint64) {
	h := n.raft.BasicStatus().HardState
	return h.GetTerm(), h.GetVote()
}

// LogRoom is how many bytes are left of a node's log file.
func LogRoom(n *Node) int64 { return n.log.end - n.log.at }

// KeepLeadership is what Replica.Transfer does when it gives up.
var KeepLeadership = (*Node).keepLeadership
