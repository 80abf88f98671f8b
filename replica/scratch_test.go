package replica_test

import (
	"io"

	"keepsake.example/replica"
)

// A scratch is a file that is gone when the power goes.
type scratch struct {
	w    *world
	data []byte
}

func (w *world) Scratch() (f replica.File, err error) {
	err = w.locked("scratch", func() error { f = &scratch{w: w}; w.open.Add(1); return nil })
	return f, err
}

func (s *scratch) WriteAt(p []byte, at int64) (int, error) {
	err := s.w.locked("write scratch", func() error {
		if need := at + int64(len(p)); need > int64(len(s.data)) {
			s.data = append(s.data, make([]byte, need-int64(len(s.data)))...)
		}
		copy(s.data[at:], p)
		return nil
	})
	return len(p), err
}

func (s *scratch) ReadAt(p []byte, at int64) (n int, err error) {
	err = s.w.locked("read scratch", func() error {
		if at < int64(len(s.data)) {
			n = copy(p, s.data[at:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (s *scratch) Size() (int64, error) { return int64(len(s.data)), nil }
func (s *scratch) Sync() error          { return nil }
func (s *scratch) Close() error         { s.data = nil; s.w.open.Add(-1); return nil }
