package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// spec/replication.md §10. A message travels sealed (session.go); this is what is
// inside.
const (
	maxMessage  = 2 << 20 // bytes on the wire, sealed: a batch of entries, or one chunk, fits
	maxContext  = 64
	maxMembers  = 64
	messageHead = 1 + 8 + 8 + 4
	raftHead    = 1 + 6*8 + 1 + 1 + 4 // type, numbers, reject, context's length, entries
	forwardHead = 8 + 8 + 1
	chunkHead   = idSize + 8
	idSize      = 16
)

// A peerMessage is what one member tells another. Exactly one of the pointers is
// not nil.
type peerMessage struct {
	reading uint64 // of the sender's clock, ms since 1970
	told    uint64 // the quorum's time as the sender knows it, ms since 1970
	version uint32 // of the protocol, the highest that the sender speaks

	raft    *raftpb.Message
	forward *forward
	refused *refused
	request *chunkRequest
	chunk   *chunk
	because *because
}

// forward asks the leader to propose an entry for a member that is none.
type forward struct {
	origin, sequence uint64 // who waits, and for which of its proposals
	change           bool   // the entry is a signed change of the membership
	entry            []byte
}

// refused tells that a forwarded entry certainly was not proposed.
type refused struct{ sequence uint64 }

// because tells, before the refusal itself, why it is refused. It is a kind of its own since
// members that do not know it drop it, and read the refusal as ever.
type because struct {
	sequence uint64
	reason   byte
}

// reasons are what a leader gives; the others are not worth more than that it does not
// propose it.
var reasons = map[byte]error{1: ErrFull, 2: ErrVersion, 3: ErrPending, 4: ErrSize}

// reasonOf is 0 for an error that is not told.
func reasonOf(err error) byte {
	for reason, e := range reasons {
		if errors.Is(err, e) {
			return reason
		}
	}
	return 0
}

// A chunkRequest asks for one chunk of a picture. An index after the last chunk
// asks for nothing, and says that the sender is still there.
type chunkRequest struct {
	id    [idSize]byte
	index uint64
}

type chunk struct {
	id    [idSize]byte
	index uint64
	data  []byte // chunkSize bytes, or in the last chunk the rest
}

// Kinds of messages.
const (
	kindRaft byte = iota + 1
	kindForward
	kindRefused
	kindRequest
	kindChunk
	kindBecause
)

var errMessage = errors.New("no peer message")

// kind returns 0 unless the message has exactly one content.
func (m *peerMessage) kind() (kind byte) {
	for i, there := range []bool{m.raft != nil, m.forward != nil, m.refused != nil, m.request != nil, m.chunk != nil, m.because != nil} {
		if there && kind != 0 {
			return 0
		} else if there {
			kind = kindRaft + byte(i)
		}
	}
	return kind
}

// check refuses what the layout cannot hold, before it is written.
func (m *peerMessage) check() error {
	kind := m.kind()
	switch {
	case kind == 0:
		return fmt.Errorf("%w: not of one kind", errMessage)
	case m.raft != nil:
		if err := checkRaft(m.raft); err != nil {
			return err
		}
	case m.forward != nil && (len(m.forward.entry) == 0 || len(m.forward.entry) > maxEntry):
		return fmt.Errorf("%w: forwards %d bytes", errMessage, len(m.forward.entry))
	case m.because != nil && reasons[m.because.reason] == nil:
		return fmt.Errorf("%w: reason %d", errMessage, m.because.reason)
	case m.chunk != nil && (len(m.chunk.data) == 0 || len(m.chunk.data) > chunkSize):
		return fmt.Errorf("%w: chunk of %d bytes", errMessage, len(m.chunk.data))
	}
	if n := sealedOver + m.size(); n > maxMessage {
		return fmt.Errorf("%w: %d bytes, at most %d are sent", errMessage, n, maxMessage)
	}
	return nil
}

// size is the length of what append writes.
func (m *peerMessage) size() int {
	switch m.kind() {
	case kindRaft:
		return messageHead + raftSize(m.raft)
	case kindForward:
		return messageHead + forwardHead + len(m.forward.entry)
	case kindRefused:
		return messageHead + 8
	case kindBecause:
		return messageHead + 9
	case kindRequest:
		return messageHead + chunkHead
	default:
		return messageHead + chunkHead + len(m.chunk.data)
	}
}

// append writes a message that check accepts.
func (m *peerMessage) append(to []byte) []byte {
	to = append(to, m.kind())
	to = be.AppendUint64(to, m.reading)
	to = be.AppendUint64(to, m.told)
	to = be.AppendUint32(to, m.version)
	switch m.kind() {
	case kindRaft:
		return appendRaft(to, m.raft)
	case kindForward:
		to = be.AppendUint64(to, m.forward.origin)
		to = be.AppendUint64(to, m.forward.sequence)
		return append(append(to, flag(m.forward.change)), m.forward.entry...)
	case kindRefused:
		return be.AppendUint64(to, m.refused.sequence)
	case kindBecause:
		return append(be.AppendUint64(to, m.because.sequence), m.because.reason)
	case kindRequest:
		return be.AppendUint64(append(to, m.request.id[:]...), m.request.index)
	default:
		to = be.AppendUint64(append(to, m.chunk.id[:]...), m.chunk.index)
		return append(to, m.chunk.data...)
	}
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decodeMessage reads what member from sent to member to. The message shares
// memory with b. The bytes were authenticated: the checks are there for what another
// version wrote, and keep raft from what makes it panic.
func decodeMessage(b []byte, from, to uint64) (*peerMessage, error) {
	if len(b) < messageHead || len(b) > maxMessage-sealedOver {
		return nil, fmt.Errorf("%w: %d bytes", errMessage, len(b))
	}
	m := &peerMessage{reading: be.Uint64(b[1:]), told: be.Uint64(b[9:]), version: be.Uint32(b[17:])}
	kind, b := b[0], b[messageHead:]
	var err error
	switch kind {
	case kindRaft:
		m.raft, err = decodeRaft(b, from, to)
	case kindForward:
		m.forward, err = decodeForward(b)
	case kindRefused:
		m.refused, err = decodeRefused(b)
	case kindRequest:
		m.request, err = decodeRequest(b)
	case kindChunk:
		m.chunk, err = decodeChunk(b)
	case kindBecause:
		m.because, err = decodeBecause(b)
	default:
		err = fmt.Errorf("%w: kind %d", errMessage, kind)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func decodeForward(b []byte) (*forward, error) {
	if len(b) <= forwardHead || len(b) > forwardHead+maxEntry || b[16] > 1 {
		return nil, fmt.Errorf("%w: forward of %d bytes", errMessage, len(b))
	}
	return &forward{origin: be.Uint64(b), sequence: be.Uint64(b[8:]), change: b[16] == 1, entry: b[forwardHead:]}, nil
}

func decodeRefused(b []byte) (*refused, error) {
	if len(b) != 8 {
		return nil, fmt.Errorf("%w: refusal of %d bytes", errMessage, len(b))
	}
	return &refused{be.Uint64(b)}, nil
}

func decodeBecause(b []byte) (*because, error) {
	if len(b) != 9 || reasons[b[8]] == nil {
		return nil, fmt.Errorf("%w: reason of %d bytes", errMessage, len(b))
	}
	return &because{be.Uint64(b), b[8]}, nil
}

func decodeRequest(b []byte) (*chunkRequest, error) {
	if len(b) != chunkHead {
		return nil, fmt.Errorf("%w: chunk request of %d bytes", errMessage, len(b))
	}
	return &chunkRequest{[idSize]byte(b), be.Uint64(b[idSize:])}, nil
}

func decodeChunk(b []byte) (*chunk, error) {
	if len(b) <= chunkHead || len(b) > chunkHead+chunkSize {
		return nil, fmt.Errorf("%w: chunk of %d bytes", errMessage, len(b))
	}
	return &chunk{[idSize]byte(b), be.Uint64(b[idSize:]), b[chunkHead:]}, nil
}
