package replica_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"keepsake.example/anchor/anchortest"
	"keepsake.example/anchor/software"
	"keepsake.example/replica"
)

// Who asks a replica whose anchor hangs waits no longer than it wants to, and what it asked
// for is not done behind its back.
func TestSecretOfAReplicaThatHangs(t *testing.T) {
	p := created(t)
	var hang anchortest.Hang
	a := hang.Of(must(software.Open(p.anchor)))
	defer a.Close()
	r := must(replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}))
	defer r.Close()
	check(t, r.Read(t.Context(), func(replica.Machine) {}))
	var proposed sync.WaitGroup
	hang.Lock()
	proposed.Go(func() { propose(t, r, "waits for the anchor") })
	for r.Stalled() < 300*time.Millisecond {
		time.Sleep(10 * time.Millisecond)
	}
	called := 0
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Secret(ctx, func([]byte) { called++ }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	hang.Unlock()
	proposed.Wait()
	check(t, r.Secret(t.Context(), func([]byte) { called++ }))
	if called != 1 {
		t.Errorf("called %d times", called)
	}
	for over := time.Now().Add(10 * time.Second); r.Stalled() > 150*time.Millisecond; time.Sleep(time.Millisecond) {
		if time.Now().After(over) {
			t.Fatalf("no step for %v, with nothing that hangs", r.Stalled())
		}
	}
}

// What has begun is waited for, however short the patience: it writes what who asked reads.
func TestSecretThatIsBeingReadIsWaitedFor(t *testing.T) {
	p := created(t)
	a := must(software.Open(p.anchor))
	defer a.Close()
	r := must(replica.Open(t.Context(), replica.Config{Dir: p.disk, Anchor: a, NewMachine: newToy}))
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := false
	check(t, r.Secret(ctx, func([]byte) {
		cancel()
		time.Sleep(100 * time.Millisecond)
		ended = true
	}))
	if !ended {
		t.Error("it had not ended")
	}
}
