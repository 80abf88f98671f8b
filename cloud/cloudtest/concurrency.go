package cloudtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"keepsake.example/cloud"
)

// watchedBody calls at before every read, with the offset it is about to
// read from. It gives 64 KiB at a time, so that a store which copies in
// blocks sees many.
type watchedBody struct {
	data   []byte
	offset int
	at     func(offset int) error
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if err := b.at(b.offset); err != nil {
		return 0, err
	}
	if b.offset == len(b.data) {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 64<<10)], b.data[b.offset:])
	b.offset += n
	return n, nil
}

func (b *watchedBody) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset != 0 {
		return 0, errors.New("only back to the start")
	}
	b.offset = 0
	return 0, nil
}

// atomicVisibility looks for the object from inside its own body: nothing of
// it may be seen before Put has every byte, and all of it afterwards.
func atomicVisibility(t tester, s cloud.Store) {
	data := content(40, 3<<20)
	seen := make(map[string]int) // how, and after how many bytes first
	body := &watchedBody{data: data, at: func(offset int) error {
		for _, how := range visible(t.Context(), s, "data/atomic") {
			if _, before := seen[how]; !before {
				seen[how] = offset
			}
		}
		return nil
	}}
	if err := s.Put(t.Context(), "data/atomic", body, int64(len(data))); err != nil {
		t.Fatalf("Put: %v", err)
	}
	for how, offset := range seen {
		t.Errorf("%s saw the object when %d of %d bytes were put", how, offset, len(data))
	}
	wantContent(t, s, "data/atomic", data)
}

// visible tells which methods see name, or an object where there is none. It
// reports nothing to a tester: a store may read its body in another goroutine.
func visible(ctx context.Context, s cloud.Store, name string) (how []string) {
	if _, err := s.Stat(ctx, name); !errors.Is(err, cloud.ErrNotExist) {
		how = append(how, "Stat")
	}
	if r, err := s.Get(ctx, name, 0, -1); err == nil {
		r.Close()
		how = append(how, "Get")
	}
	if err := s.List(ctx, "", func(cloud.Info) error { return errors.New("listed") }); err != nil {
		how = append(how, "List")
	}
	return how
}

func concurrentNames(t tester, s cloud.Store) {
	const n = 16
	name := func(i int) string { return fmt.Sprintf("data/%02d", i) }
	errs := together(n, func(i int) error {
		data := content(50+i, 100_000+i)
		return s.Put(t.Context(), name(i), bytes.NewReader(data), int64(len(data)))
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("Put of %d objects at once: %v", n, err)
	}
	for i := range n {
		wantContent(t, s, name(i), content(50+i, 100_000+i))
	}
	if got := len(list(t, s, "")); got != n {
		t.Errorf("List gave %d objects, want %d", got, n)
	}
}

// concurrentSameName is what makes a lock a lock. Of a racy store it asks that
// the name stands for one whole object, and that a listing and Delete know of no
// second one behind it.
func concurrentSameName(t tester, s cloud.Store) {
	const writers = 8
	for round := range 5 {
		name := fmt.Sprintf("lock/%d", round)
		data := func(i int) []byte { return content(100*round+i, 200_000+i) }
		wait := gate(writers)
		errs := together(writers, func(i int) error {
			var once sync.Once
			body := &watchedBody{data: data(i), at: func(int) error { once.Do(wait); return nil }}
			return s.Put(t.Context(), name, body, int64(len(body.data)))
		})
		racy, winners := cloud.TraitsOf(s).Racy, winners(t, errs)
		if len(winners) > 1 && !racy {
			t.Errorf("writers %v all succeeded", winners)
		}
		wantContent(t, s, name, data(standing(t, s, name, winners)))
		wantListed(t, s, name, name)
		if racy {
			wantNothingBehind(t, s, name)
		}
	}
}

// wantNothingBehind is for a store where a name may for a while be that of two objects.
func wantNothingBehind(t tester, s cloud.Store, name string) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(nil), 0); !errors.Is(err, cloud.ErrExist) {
		t.Errorf("Put after the race = %v, want ErrExist", err)
	}
	if err := s.Delete(t.Context(), name); err != nil {
		t.Errorf("Delete after the race: %v", err)
	}
	wantAbsent(t, s, name)
}

// gate lets everyone through when n have come, so that no writer wins by being
// first through the door. A store that lets one writer at a time begin is
// within its rights, so nobody waits for ever; no check counts on the time.
func gate(n int) (wait func()) {
	var mu sync.Mutex
	all := make(chan struct{})
	return func() {
		mu.Lock()
		if n--; n == 0 {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// winners are the writers that succeeded, at least one.
func winners(t tester, errs []error) (winners []int) {
	t.Helper()
	for i, err := range errs {
		switch {
		case err == nil:
			winners = append(winners, i)
		case !errors.Is(err, cloud.ErrExist):
			t.Errorf("losing Put = %v, want ErrExist", err)
		}
	}
	if winners == nil {
		t.Fatalf("no writer succeeded: %v", errors.Join(errs...))
	}
	return winners
}

// standing is the winner that has the length of the object that is there: each
// has its own.
func standing(t tester, s cloud.Store, name string, winners []int) int {
	t.Helper()
	info, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatalf("Stat(%s): %v", name, err)
	}
	if i := int(info.Size) - 200_000; slices.Contains(winners, i) {
		return i
	}
	t.Fatalf("%s has %d bytes, which no successful writer gave", name, info.Size)
	return -1
}

func cancelledBefore(t tester, s cloud.Store) {
	data := content(60, 1000)
	put(t, s, "data/there", data)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	want := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s after the context ended = %v, want context.Canceled", what, err)
		}
	}
	want("Put", s.Put(ctx, "data/new", bytes.NewReader(data), int64(len(data))))
	want("Put of nothing", s.Put(ctx, "data/new", bytes.NewReader(nil), 0))
	want("Delete", s.Delete(ctx, "data/there"))
	_, err := s.Stat(ctx, "data/there")
	want("Stat", err)
	_, err = s.Get(ctx, "data/there", 0, -1)
	want("Get", err)
	want("List", s.List(ctx, "", func(cloud.Info) error { return nil }))
	wantUntouched(t, s, "data/new")
	wantContent(t, s, "data/there", data)
}

// cancelledPut ends the context while the body is being read; the body goes on.
func cancelledPut(t tester, s cloud.Store) {
	data := content(61, 3<<20)
	for i, at := range []int{0, 1 << 20, 2 << 20, len(data)} {
		name := fmt.Sprintf("data/cancel-%d", i)
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Put(ctx, name, &watchedBody{data: data, at: func(offset int) error {
			if offset >= at {
				cancel()
			}
			return nil
		}}, int64(len(data)))
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Put cancelled after %d bytes = %v, want context.Canceled", at, err)
		}
		wantUntouched(t, s, name)
	}
}

func cancelledGet(t tester, s cloud.Store) {
	put(t, s, "data/long", content(62, 4<<20))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := s.Get(ctx, "data/long", 0, -1)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatalf("reading: %v", err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after the context ended = %v, want context.Canceled", err)
	}
}
