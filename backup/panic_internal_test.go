package backup

import (
	"errors"
	"testing"
)

// A worker that panics ends the run: the stages that wait for what it was to do learn of it.
func TestPanicOfAWorker(t *testing.T) {
	r := repoOf(nil)
	r.index = packIndex{names: newPackNames()}
	p := r.newPipeline(t.Context(), &counters{}, &idMap{m: make(map[ID]uint64)}, true)
	err := p.run(t.Context(), func() error {
		e := &entry{kind: recordFile, path: "f", unit: 1}
		for range 100 {
			if err := p.send(&chunkJob{file: e, data: []byte{1}, unit: -1}); err != nil { // a unit that no scanner sends
				return err
			}
		}
		return nil
	}, func() error { return errors.New("a run that failed got to its end") })
	var internal *InternalError
	if !errors.As(err, &internal) || internal.Type != "runtime.boundsError" {
		t.Errorf("%v, want an internal error", err)
	}
}
