package cloudtest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"keepsake.example/cloud"
)

// content gives n bytes, up to 21 MiB, that differ from those of any other
// seed up to 1,000 at every offset. They are shared: not to be written to.
func content(seed, n int) []byte { return noise()[seed*4099:][:n:n] }

var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 26<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
})

// A plain body has no WriteTo: an adapter must not count on one.
type plain struct{ io.ReadSeeker }

func put(t tester, s cloud.Store, name string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}

// get reads a range; the error is that of Get or of reading.
func get(t tester, s cloud.Store, name string, offset, length int64) ([]byte, error) {
	return getAbout(t, s, name, offset, length, min(length, 4<<20))
}

// getAbout has room for about as many bytes, which spares growing a large buffer.
func getAbout(t tester, s cloud.Store, name string, offset, length, about int64) ([]byte, error) {
	r, err := s.Get(t.Context(), name, offset, length)
	if err != nil {
		return nil, err
	}
	buf := bytes.NewBuffer(make([]byte, 0, max(about, 0)+bytes.MinRead))
	_, err = buf.ReadFrom(r)
	return buf.Bytes(), errors.Join(err, r.Close())
}

func wantContent(t tester, s cloud.Store, name string, want []byte) {
	t.Helper()
	got, err := getAbout(t, s, name, 0, -1, int64(len(want)))
	if err != nil {
		t.Fatalf("Get(%s): %v", name, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("Get(%s) gave %d bytes that are not the %d put", name, len(got), len(want))
	}
	info, err := s.Stat(t.Context(), name)
	if err != nil {
		t.Fatalf("Stat(%s): %v", name, err)
	}
	if info.Name != name || info.Size != int64(len(want)) || info.ModTime.IsZero() {
		t.Fatalf("Stat(%s) = %+v, want %d bytes and a time", name, info, len(want))
	}
}

// list fails if an object is listed twice.
func list(t tester, s cloud.Store, prefix string) map[string]cloud.Info {
	t.Helper()
	found := make(map[string]cloud.Info)
	err := s.List(t.Context(), prefix, func(i cloud.Info) error {
		if _, twice := found[i.Name]; twice {
			t.Errorf("List(%q) gave %s twice", prefix, i.Name)
		}
		found[i.Name] = i
		return nil
	})
	if err != nil {
		t.Fatalf("List(%q): %v", prefix, err)
	}
	return found
}

func wantListed(t tester, s cloud.Store, prefix string, want ...string) {
	t.Helper()
	got := slices.Sorted(maps.Keys(list(t, s, prefix)))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("List(%q) gave %d objects, %s; want %d, %s", prefix, len(got), brief(got), len(want), brief(want))
	}
}

func brief(names []string) string {
	if len(names) > 12 {
		return strings.Join(names[:12], " ") + " …"
	}
	return strings.Join(names, " ")
}

// wantAbsent is how a failed Put must leave the store: the object in no
// listing, and its name free.
func wantAbsent(t tester, s cloud.Store, name string) {
	t.Helper()
	if _, err := s.Stat(t.Context(), name); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Stat(%s) = %v, want ErrNotExist", name, err)
	}
	if _, err := get(t, s, name, 0, -1); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Get(%s) = %v, want ErrNotExist", name, err)
	}
	if _, there := list(t, s, "")[name]; there {
		t.Errorf("%s is listed", name)
	}
}

// wantUntouched checks that a Put under a name that failed left the name
// free for the next.
func wantUntouched(t tester, s cloud.Store, name string) {
	t.Helper()
	wantAbsent(t, s, name)
	again := content(77, 1000)
	put(t, s, name, again)
	wantContent(t, s, name, again)
}

var kinds = []error{
	cloud.ErrNotExist, cloud.ErrExist, cloud.ErrUnreachable, cloud.ErrDenied, cloud.ErrFull, cloud.ErrThrottled,
}

// wantUnclassified checks an error that is not the store's: telling a person
// that the cloud is full because their phone's disk fails sends them the wrong way.
func wantUnclassified(t tester, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s succeeded", what)
	}
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			t.Errorf("%s = %v, which is %v", what, err, kind)
		}
	}
}

// together runs n functions at once and returns their errors.
func together(n int, f func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}
