package backup

import (
	"context"
	"sync"
)

// inOrder calls get for 0 to n-1, up to width of them at a time, and use with each result in turn, from one goroutine. Results wait for their
// turn, so that no more than width of them are in memory. It ends with the first error that use returns; nothing runs on after it.
func inOrder[T any](ctx context.Context, n, width int, get func(ctx context.Context, i int) (T, error), use func(i int, v T, err error) error) error {
	type result struct {
		v   T
		err error
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	slots := make([]chan result, min(n, width))
	start := func(i int) {
		slot := make(chan result, 1)
		slots[i%len(slots)] = slot
		var res result
		running.Go(func() {
			res.err = Guard(func() (err error) { res.v, err = get(ctx, i); return err })
			slot <- res
		})
	}
	for i := range slots {
		start(i)
	}
	for i := range n {
		res := <-slots[i%len(slots)]
		if err := use(i, res.v, res.err); err != nil {
			return err
		}
		if i+len(slots) < n {
			start(i + len(slots))
		}
	}
	return nil
}

// together runs functions at the same time and returns the error of the first in order that failed. All have ended when it returns: what they
// wait for is one round trip each, and stopping them half-way would leave it open what they did.
func together(fns ...func() error) error {
	errs := make([]error, len(fns))
	var running sync.WaitGroup
	for i, fn := range fns {
		running.Go(func() { errs[i] = Guard(fn) })
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
