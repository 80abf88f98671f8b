package peer

import (
	"bytes"
	"io"
)

// What the tests outside need to speak as a member that is not ours.
const (
	Protocol    = protocol
	KindHello   = kindHello
	KindBeat    = kindBeat
	KindMessage = kindMessage
	KindRequest = kindRequest
	KindAnswer  = kindAnswer
)

// Frame is a frame, with its fields open.
type Frame struct {
	Kind, Lane, Code byte
	From, To         uint64
	Number, Stamp    uint64
	Group, Left      uint32
	Body             []byte
}

// Bytes is the frame as it is sent.
func (f Frame) Bytes() []byte {
	in := frame{
		kind: f.Kind, lane: lane(f.Lane), code: f.Code, from: f.From, to: f.To, number: f.Number,
		stamp: f.Stamp, group: f.Group, left: f.Left, body: f.Body,
	}
	return append(in.head(nil), f.Body...)
}

// ReadFrame reads one.
func ReadFrame(r io.Reader, limit int) (Frame, error) {
	f, err := readFrame(r, limit)
	return Frame{
		Kind: f.kind, Lane: byte(f.lane), Code: f.code, From: f.from, To: f.to, Number: f.number,
		Stamp: f.stamp, Group: f.group, Left: f.left, Body: bytes.Clone(f.body),
	}, err
}
