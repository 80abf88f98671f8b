package peer

import (
	"encoding/binary"
	"errors"
	"io"
)

// Kinds of frames.
const (
	kindHello = iota
	kindBeat
	kindMessage
	kindRequest
	kindAnswer
)

// Lanes: what a connection is for.
type lane byte

const (
	messages lane = iota
	calls
	lanes = 2
)

func (n lane) String() string { return [lanes]string{"messages", "calls"}[n] }

// Sizes of the fixed part of each kind after its length: the kind, and its fields.
const (
	helloSize   = 1 + 1 + 8 + 8
	beatSize    = 1 + 8
	messageSize = 1 + 4
	requestSize = 1 + 8 + 4
	answerSize  = 1 + 8 + 1
)

var errFrame = errors.New("peer: a frame that cannot be")

// frame is one frame: only the fields of its kind are set.
type frame struct {
	kind     byte
	lane     lane   // hello
	from, to uint64 // hello
	stamp    uint64 // beat
	group    uint32 // message
	number   uint64 // request, answer
	left     uint32 // request: milliseconds
	code     byte   // answer
	body     []byte // message, request, answer
}

// readFrame reads one frame whose body is not longer than limit. The body is new
// memory. Memory is taken for what the header announces before it came: whoever
// sends it has shown its identity, and has one lane of each kind.
func readFrame(r io.Reader, limit int) (frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || uint64(n) > uint64(limit)+helloSize {
		return frame{}, errFrame
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return frame{}, err
	}
	f, ok := parseFrame(b)
	if !ok || len(f.body) > limit {
		return frame{}, errFrame
	}
	return f, nil
}

// parseFrame reads what follows a frame's length.
func parseFrame(b []byte) (f frame, ok bool) {
	f.kind = b[0]
	n := len(b)
	switch {
	case f.kind == kindHello && n == helloSize && b[1] < lanes:
		f.lane, f.from, f.to = lane(b[1]), binary.BigEndian.Uint64(b[2:]), binary.BigEndian.Uint64(b[10:])
	case f.kind == kindBeat && n == beatSize:
		f.stamp = binary.BigEndian.Uint64(b[1:])
	case f.kind == kindMessage && n >= messageSize:
		f.group, f.body = binary.BigEndian.Uint32(b[1:]), b[messageSize:]
	case f.kind == kindRequest && n >= requestSize:
		f.number, f.left, f.body = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint32(b[9:]), b[requestSize:]
	case f.kind == kindAnswer && n >= answerSize && b[9] <= codeFailed:
		f.number, f.code, f.body = binary.BigEndian.Uint64(b[1:]), b[9], b[answerSize:]
	default:
		return f, false
	}
	return f, true
}

// head appends the length, the kind and the fields of a frame; its body comes after them.
func (f *frame) head(b []byte) []byte {
	e := binary.BigEndian
	switch f.kind {
	case kindHello:
		b = append(e.AppendUint32(b, helloSize), f.kind, byte(f.lane))
		return e.AppendUint64(e.AppendUint64(b, f.from), f.to)
	case kindBeat:
		return e.AppendUint64(append(e.AppendUint32(b, beatSize), f.kind), f.stamp)
	case kindMessage:
		b = append(e.AppendUint32(b, messageSize+uint32(len(f.body))), f.kind)
		return e.AppendUint32(b, f.group)
	case kindRequest:
		b = append(e.AppendUint32(b, requestSize+uint32(len(f.body))), f.kind)
		return e.AppendUint32(e.AppendUint64(b, f.number), f.left)
	default:
		b = append(e.AppendUint32(b, answerSize+uint32(len(f.body))), f.kind)
		return append(e.AppendUint64(b, f.number), f.code)
	}
}
