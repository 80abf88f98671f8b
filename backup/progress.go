package backup

import (
	"sync/atomic"
	"time"
)

// A Progress says how far a run has come. Totals are zero while unknown.
type Progress struct {
	Phase         string
	FilesDone     int
	FilesTotal    int
	BytesDone     int64 // of the source or the target
	BytesTotal    int64
	BytesNew      int64 // of contents the repository did not have
	BytesUploaded int64 // of packs that the store has acknowledged
	BytesSending  int64 // handed to the store, of packs that it has not acknowledged yet
}

// counters are what a run counts; all may be used concurrently.
type counters struct {
	files, totalFiles    atomic.Int64
	bytes, totalBytes    atomic.Int64
	read, fresh, fetched atomic.Int64
	uploaded, objects    atomic.Int64 // what the store has acknowledged
	sealed               atomic.Int64 // bytes of packs that are complete, stored or not
	sending, sent        atomic.Int64 // bytes on the way, and all that ever were
}

// report calls fn with the state of c until the returned function is called, which calls it a last time.
func (c *counters) report(fn func(Progress), phase string) (stop func()) {
	if fn == nil {
		return func() {}
	}
	state := func() Progress {
		return Progress{Phase: phase, FilesDone: int(c.files.Load()), FilesTotal: int(c.totalFiles.Load()), BytesDone: c.bytes.Load(),
			BytesTotal: c.totalBytes.Load(), BytesNew: c.fresh.Load(), BytesUploaded: c.uploaded.Load(), BytesSending: c.sending.Load()}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	aside(func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fn(state())
			case <-quit:
				fn(state())
				return
			}
		}
	})
	return func() { close(quit); <-done }
}
