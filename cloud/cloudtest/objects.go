package cloudtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing/iotest"

	"keepsake.example/cloud"
)

func readAfterWrite(t tester, s cloud.Store) {
	wantListed(t, s, "")
	first, second := content(1, 1000), content(2, 70_000)
	put(t, s, "snap/aa", first)
	wantContent(t, s, "snap/aa", first)
	if err := s.Put(t.Context(), "top", plain{bytes.NewReader(second)}, int64(len(second))); err != nil {
		t.Fatalf("Put(top): %v", err)
	}
	wantContent(t, s, "top", second)
	wantContent(t, s, "snap/aa", first)
	wantListed(t, s, "", "snap/aa", "top")
	for name, listed := range list(t, s, "") {
		info, err := s.Stat(t.Context(), name)
		if err != nil || info.Size != listed.Size || !info.ModTime.Equal(listed.ModTime) {
			t.Errorf("Stat gave %+v, %v; List %+v", info, err, listed)
		}
	}
}

func emptyObject(t tester, s cloud.Store) {
	put(t, s, "meta/empty", nil)
	wantContent(t, s, "meta/empty", nil)
	wantListed(t, s, "", "meta/empty")
	if data, err := get(t, s, "meta/empty", 0, 0); err != nil || len(data) != 0 {
		t.Errorf("Get of nothing = %d bytes, %v", len(data), err)
	}
	if _, err := get(t, s, "meta/empty", 0, 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Get of one byte of nothing = %v, want io.ErrUnexpectedEOF", err)
	}
	if err := s.Put(t.Context(), "meta/empty", bytes.NewReader(nil), 0); !errors.Is(err, cloud.ErrExist) {
		t.Errorf("second Put of nothing = %v, want ErrExist", err)
	}
}

// largeObject is larger than a pack can be; a body without WriteTo is larger
// than any buffer.
func largeObject(t tester, s cloud.Store) {
	data := content(3, 20<<20+1)
	put(t, s, "data/large", data)
	wantContent(t, s, "data/large", data)
	data = data[:5<<20+1]
	if err := s.Put(t.Context(), "data/plain", plain{bytes.NewReader(data)}, int64(len(data))); err != nil {
		t.Fatalf("Put of a plain body: %v", err)
	}
	wantContent(t, s, "data/plain", data)
}

func ranges(t tester, s cloud.Store) {
	const size = 3<<20 + 5
	data := content(4, size)
	put(t, s, "data/ranges", data)
	for _, r := range []struct{ offset, length int64 }{
		{0, size}, {0, -1}, {0, 1}, {0, 100}, // from the start
		{1, 1}, {1 << 20, 1 << 20}, {1<<20 - 1, 2}, {777, 2_000_001}, // in the middle
		{size - 1, 1}, {size - 1, -1}, {size - 1000, -1}, {size - 1000, 1000}, // to the end
		{size, -1}, {0, 0}, {1000, 0}, // nothing
	} {
		want := data[r.offset:]
		if r.length >= 0 {
			want = want[:r.length]
		}
		got, err := get(t, s, "data/ranges", r.offset, r.length)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("Get(%d, %d) gave %d bytes, %v; want the %d bytes there", r.offset, r.length, len(got), err, len(want))
		}
	}
	if _, err := get(t, s, "data/ranges", -1, 10); err == nil {
		t.Errorf("Get from a negative offset succeeded")
	}
}

func rangePastEnd(t tester, s cloud.Store) {
	const size = 5000
	data := content(5, size)
	put(t, s, "data/short", data)
	for _, r := range []struct{ offset, length int64 }{
		{0, size + 1}, {size - 1, 2}, {size, 1}, {size + 1, 1}, {size + 1, -1}, {1 << 40, 1 << 40}, {1<<63 - 1, 1<<63 - 1},
	} {
		got, err := get(t, s, "data/short", r.offset, r.length)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("Get(%d, %d) = %v, want io.ErrUnexpectedEOF", r.offset, r.length, err)
		}
		if !bytes.HasPrefix(data[min(r.offset, size):], got) {
			t.Errorf("Get(%d, %d) gave %d bytes that are not there", r.offset, r.length, len(got))
		}
	}
}

func concurrentReads(t tester, s cloud.Store) {
	const part, parts = 100_000, 8
	data := content(6, part*parts)
	put(t, s, "data/shared", data)
	errs := together(parts, func(i int) error {
		got, err := get(t, s, "data/shared", int64(i)*part, part)
		if err == nil && !bytes.Equal(got, data[i*part:][:part]) {
			return fmt.Errorf("part %d is wrong", i)
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Errorf("reading one object in %d parts at once: %v", parts, err)
	}
}

func absent(t tester, s cloud.Store) {
	put(t, s, "data/there", content(7, 10))
	for _, name := range []string{"data/not", "ring/there", "there", "data/ther", "data/there0"} {
		wantAbsent(t, s, name)
		if _, err := get(t, s, name, 0, 0); !errors.Is(err, cloud.ErrNotExist) {
			t.Errorf("Get(%s) of no bytes = %v, want ErrNotExist", name, err)
		}
		if err := s.Delete(t.Context(), name); !errors.Is(err, cloud.ErrNotExist) {
			t.Errorf("Delete(%s) = %v, want ErrNotExist", name, err)
		}
	}
	wantListed(t, s, "", "data/there")
}

func noClobber(t tester, s cloud.Store) {
	old := content(8, 3000)
	put(t, s, "head/aa", old)
	for _, data := range [][]byte{content(9, 3000), content(10, 10), content(11, 100_000), old, nil} {
		err := s.Put(t.Context(), "head/aa", bytes.NewReader(data), int64(len(data)))
		if !errors.Is(err, cloud.ErrExist) {
			t.Errorf("Put over an object = %v, want ErrExist", err)
		}
		wantContent(t, s, "head/aa", old)
	}
	wantListed(t, s, "", "head/aa")
}

func deleteObject(t tester, s cloud.Store) {
	kept, old, next := content(12, 100), content(13, 200), content(14, 300)
	put(t, s, "index/kept", kept)
	put(t, s, "index/gone", old)
	if err := s.Delete(t.Context(), "index/gone"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantAbsent(t, s, "index/gone")
	if err := s.Delete(t.Context(), "index/gone"); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("second Delete = %v, want ErrNotExist", err)
	}
	wantContent(t, s, "index/kept", kept)
	put(t, s, "index/gone", next)
	wantContent(t, s, "index/gone", next)
}

// wrongSize has bodies that are not as long as announced, by much and by a byte.
func wrongSize(t tester, s cloud.Store) {
	for i, c := range []struct{ has, announced int }{{0, 1}, {999, 1000}, {1001, 1000}, {1, 0}, {3 << 20, 2 << 20}, {2 << 20, 3 << 20}} {
		name := fmt.Sprintf("data/size-%d", i)
		data := content(15, c.has)
		for _, body := range []io.ReadSeeker{bytes.NewReader(data), plain{bytes.NewReader(data)}} {
			err := s.Put(t.Context(), name, body, int64(c.announced))
			wantUnclassified(t, fmt.Sprintf("Put of %d bytes as %d", c.has, c.announced), err)
			wantAbsent(t, s, name)
		}
		wantUntouched(t, s, name)
	}
	wantUnclassified(t, "Put of -1 bytes", s.Put(t.Context(), "data/minus", bytes.NewReader(nil), -1))
	wantAbsent(t, s, "data/minus")
}

func failingBody(t tester, s cloud.Store) {
	broken := errors.New("the source's own error")
	for i, good := range []int{0, 1, 1 << 20, 3<<20 + 1} {
		name := fmt.Sprintf("data/fail-%d", i)
		body := &watchedBody{data: content(16, 4<<20), at: func(offset int) error {
			if offset >= good {
				return broken
			}
			return nil
		}}
		err := s.Put(t.Context(), name, body, 4<<20)
		if !errors.Is(err, broken) {
			t.Errorf("Put of a body that fails after %d bytes = %v, want its error wrapped", good, err)
		}
		wantUnclassified(t, "Put of a failing body", err)
		wantUntouched(t, s, name)
	}
	slow := bytes.NewReader(content(17, 3000))
	if err := s.Put(t.Context(), "data/slow", trickle{iotest.OneByteReader(slow), slow}, 3000); err != nil {
		t.Fatalf("Put of a body that comes byte by byte: %v", err)
	}
	wantContent(t, s, "data/slow", content(17, 3000))
}

type trickle struct {
	io.Reader
	io.Seeker
}
