package process

import (
	"context"
	"io"
	"net/http"
	"time"
)

// What the tests of a hostile child, and the fuzz targets, use.
var (
	ServeHTTP      = serveHTTP
	EncodeEnd      = encodeEnd
	DecodeEnd      = decodeEnd
	EncodeInfo     = encodeInfo
	DecodeInfo     = decodeInfo
	EncodeCounters = encodeCounters
	DecodeCounters = decodeCounters
	DecodeTraits   = decodeTraits
	DecodeOpen     = decodeOpen
	DecodeRange    = decodeRange
	Clean          = clean
)

const (
	HeaderEnd      = headerEnd
	HeaderCounters = headerCounters
	Greeting       = greeting
	MaxDeaths      = maxDeaths
)

// Handler serves requests as Serve does.
func Handler(open OpenFunc) http.Handler { return (&server{open: open}).handler() }

// Kill ends the child as kill -9 does, and Pid says which one it is.
func (s *Store) Kill()    { s.child.cmd.Process.Kill() }
func (s *Store) Pid() int { return s.child.cmd.Process.Pid }

// Alive says whether the child has not ended.
func (s *Store) Alive() bool {
	select {
	case <-s.child.ended:
		return false
	default:
		return true
	}
}

// SetLeaveTime is for a test in a hurry.
func SetLeaveTime(d time.Duration) { leaveTime = d }

// SetFrozenTime is for tests that freeze a child.
func SetFrozenTime(quiet, frozen time.Duration) (undo func()) {
	before, limit := quietTime, frozenTime
	quietTime, frozenTime = quiet, frozen
	return func() { quietTime, frozenTime = before, limit }
}

// NewUpload is the body of a Put as it is sent.
func NewUpload(ctx context.Context, body io.Reader, size int64) io.Reader {
	return newUpload(ctx, body, size)
}
