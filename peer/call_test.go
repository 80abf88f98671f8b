package peer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/peer"
)

func TestCalls(t *testing.T) {
	a, b, _ := pair(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			from, to := a, b
			if i%2 == 0 {
				from, to = b, a
			}
			request := bytes.Repeat([]byte{byte(i)}, i*100)
			answer, err := from.Call(t.Context(), to.number, request)
			if want := append([]byte{byte(from.number), byte(to.number)}, request...); err != nil || !bytes.Equal(answer, want) {
				t.Errorf("call %d: %d bytes, %v", i, len(answer), err)
			}
		})
	}
	all.Wait()
	if _, err := a.Call(t.Context(), 3, nil); err != peer.ErrUnknown {
		t.Errorf("calling nobody: %v", err)
	}
	if _, err := a.Call(t.Context(), 2, make([]byte, 256<<10+1)); err != peer.ErrLarge {
		t.Errorf("a request that is too large: %v", err)
	}
	if _, err := a.Call(t.Context(), 2, make([]byte, 256<<10)); err != peer.ErrFailed {
		t.Errorf("an answer that is too large: %v", err) // by two bytes
	}
	if answer, err := a.Call(t.Context(), 2, make([]byte, 256<<10-2)); err != nil || len(answer) != 256<<10 {
		t.Errorf("an answer of the full size: %v", err)
	}
	a.Close()
	if _, err := a.Call(t.Context(), 2, nil); err != peer.ErrClosed {
		t.Errorf("calling after Close: %v", err)
	}
}

func TestCallThatFails(t *testing.T) {
	a, b, _ := pair(t, func(c *peer.Config) {
		if c.Self == 1 {
			c.Serve = nil
			return
		}
		c.Serve = func(context.Context, uint64, []byte) ([]byte, error) {
			return []byte("x"), errors.New("a secret reason")
		}
	})
	for from, to := range map[*member]uint64{a: 2, b: 1} {
		if answer, err := from.Call(t.Context(), to, nil); err != peer.ErrFailed || answer != nil {
			t.Errorf("calling %d: %q, %v", to, answer, err)
		}
	}
}

// A caller's deadline is the callee's, too, and one that has none gets one. What was
// asked may be done all the same.
func TestCallDeadline(t *testing.T) {
	for name, bounds := range map[string]struct{ call, ofAll time.Duration }{
		"own": {100 * time.Millisecond, time.Hour}, "none": {time.Hour, 100 * time.Millisecond},
	} {
		ended := make(chan error, 100)
		a, _, _ := pair(t, func(c *peer.Config) {
			c.Limits.CallTime = bounds.ofAll
			c.Serve = func(ctx context.Context, _ uint64, _ []byte) ([]byte, error) {
				<-ctx.Done()
				ended <- ctx.Err()
				return nil, ctx.Err()
			}
		})
		a.awaitConnected(2)
		await(t, "the end at the other side", func() bool { // on a busy machine a call may end before it is sent
			ctx, cancel := context.WithTimeout(t.Context(), bounds.call)
			defer cancel()
			if _, err := a.Call(ctx, 2, nil); !errors.Is(err, context.DeadlineExceeded) && err != peer.ErrFailed {
				t.Errorf("%s deadline: %v", name, err)
			}
			return len(ended) > 0
		})
		if err := <-ended; err != context.DeadlineExceeded {
			t.Errorf("%s deadline: at the other side %v", name, err)
		}
	}
}

// So many calls are in work at once, and the others wait, however the caller is made.
func TestCallsInFlight(t *testing.T) {
	const most, count = 3, 20
	var now, max atomic.Int64
	d := &directory{}
	la, lb := listen(t), listen(t)
	d.add(1, la.Addr().String())
	d.add(2, lb.Addr().String())
	limits := map[uint64]int{1: count, 2: most} // the caller would have them all in work
	serve := func(c *peer.Config) {
		c.Limits.Calls = limits[c.Self]
		c.Serve = func(_ context.Context, _ uint64, request []byte) ([]byte, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := max.Load(); n > m && !max.CompareAndSwap(m, n); m = max.Load() {
			}
			// Until as many as may be are here together; a second, where they never are, and for the last ones.
			for end := time.Now().Add(time.Second); max.Load() < most && time.Now().Before(end); time.Sleep(time.Millisecond) {
			}
			time.Sleep(time.Millisecond) // and one too many would come
			return request, nil
		}
	}
	a, b := join(t, 1, la, d, serve), join(t, 2, lb, d, serve)
	for from, to := range map[*member]uint64{a: 2, b: 1} {
		var all sync.WaitGroup
		for i := range count {
			all.Go(func() {
				text := fmt.Sprint(i)
				if answer, err := from.Call(t.Context(), to, []byte(text)); err != nil || string(answer) != text {
					t.Errorf("%q, %v", answer, err)
				}
			})
		}
		all.Wait()
	}
	if max.Load() != most {
		t.Errorf("%d calls were in work at once, not %d", max.Load(), most)
	}
}

// The connection ends while the other side works: nobody knows what came of it. And
// when there is none, that is known at once.
func TestCallIsLost(t *testing.T) {
	d := &directory{}
	la, lb := listen(t), listen(t)
	way := newProxy(t, lb.Addr().String())
	d.add(1, la.Addr().String())
	d.add(2, way.address)
	a := join(t, 1, la, d, quick)
	at, gone := make(chan struct{}, 1), make(chan struct{})
	b := join(t, 2, lb, d, quick, func(c *peer.Config) {
		c.Serve = func(ctx context.Context, _ uint64, _ []byte) ([]byte, error) {
			at <- struct{}{}
			<-ctx.Done() // ends with the connection
			close(gone)
			return nil, ctx.Err()
		}
	})
	lost := make(chan error, 1)
	go func() {
		_, err := a.Call(t.Context(), 2, nil)
		lost <- err
	}()
	<-at
	way.cut()
	if err := <-lost; err != peer.ErrLost {
		t.Errorf("a lost call: %v", err)
	}
	<-gone
	b.Close()
	a.awaitCut(2)
	await(t, "a failed attempt", func() bool { _, err := a.Call(t.Context(), 2, nil); return err == peer.ErrUnreachable })
}

// A large answer does not stand in front of messages, nor of other answers that are
// ready: a stuck call keeps no other from being answered.
func TestCallsOvertake(t *testing.T) {
	release := make(chan struct{})
	a, _, _ := pair(t, func(c *peer.Config) {
		c.Serve = func(_ context.Context, _ uint64, request []byte) ([]byte, error) {
			if len(request) == 0 {
				<-release
			}
			return request, nil
		}
	})
	first := make(chan error, 1)
	go func() {
		_, err := a.Call(t.Context(), 2, nil)
		first <- err
	}()
	if _, err := a.Call(t.Context(), 2, []byte("second")); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
