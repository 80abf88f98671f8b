package cloudtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"keepsake.example/cloud"
)

// Names lists the checks.
func Names() []string {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// CheckName and ReadExactly are what Memory checks.
var (
	CheckName   = checkName
	ReadExactly = readExactly
)

// Set stores an object over whatever is there.
func (m *Memory) Set(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name] = object{data, time.Now()}
}

// Remove removes an object, if it is there.
func (m *Memory) Remove(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
}

// Bytes are those of an object.
func (m *Memory) Bytes(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.objects[name].data
}

// Names are those of all objects.
func (m *Memory) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.objects))
}

// EndQuietly has a reader of a Memory end without complaint where the object does.
func EndQuietly(r io.Reader) {
	if mr, ok := r.(*memoryReader); ok {
		mr.short = false
	}
}

// Complaints runs the checks that want approves of, each on a store of its own
// from open, and returns the complaints of those that failed, by name.
func Complaints(ctx context.Context, open func() cloud.Store, want func(check string) bool) map[string][]string {
	failed := make(map[string][]string)
	for _, c := range checks {
		if !want(c.name) {
			continue
		}
		r := &recorder{ctx: ctx}
		done := make(chan struct{})
		go func() { // Fatalf ends the goroutine, as testing's does
			defer close(done)
			c.run(r, open())
		}()
		<-done
		if r.complaints != nil {
			failed[c.name] = r.complaints
		}
	}
	return failed
}

type recorder struct {
	ctx        context.Context
	mu         sync.Mutex
	complaints []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.complaints = append(r.complaints, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// CheckErrors runs one case of RunErrors, and returns its complaints.
func CheckErrors(ctx context.Context, c ErrorCase, s cloud.Store, mend func()) []string {
	r := &recorder{ctx: ctx}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.check(r, s, mend)
	}()
	<-done
	return r.complaints
}
