package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/retry"
)

func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(*testing.T) cloud.Store { return retry.New(cloudtest.NewMemory(), retry.Options{}) })
}

// Every promise is kept while half of all requests fail, before or after they
// have done their work, and while downloads and listings break off. Spared is what
// nobody could tell from a repetition: the same bytes put twice, nothing deleted,
// an object that is there while it is put again.
func TestConformanceWithFaults(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloud.Store {
		w := newWorld()
		fault := func(string, int) error {
			switch rand.N(6) {
			case 0:
				return unreachable("planted")
			case 1:
				return cloud.ErrThrottled
			}
			return nil
		}
		w.before, w.after = fault, fault
		w.spared = func(method, name string) bool {
			_, err := w.Memory.Stat(context.Background(), name)
			return name == "data/atomic" || method == "Put" && err == nil || method == "Delete" && err != nil
		}
		w.broken = func(int) (int, error) {
			if rand.N(3) > 0 {
				return 0, nil
			}
			return rand.N(200_000), unreachable("planted")
		}
		return w.store(func(o *retry.Options) { o.Jitter = func(time.Duration) time.Duration { return 0 } })
	})
}

func TestTraits(t *testing.T) {
	want := cloud.Traits{Parallel: 4, Lag: time.Minute, Racy: true}
	if got := cloud.TraitsOf(retry.New(traits{cloudtest.NewMemory(), want}, retry.Options{})); got != want {
		t.Errorf("traits %+v, want %+v", got, want)
	}
}

type traits struct {
	cloud.Store
	are cloud.Traits
}

func (t traits) Traits() cloud.Traits { return t.are }

func TestTriesAgain(t *testing.T) {
	for _, fault := range []error{cloud.ErrThrottled, unreachable("no route"), &cloud.DelayError{After: time.Second, Err: cloud.ErrThrottled}} {
		for _, method := range []string{"Put", "Get", "List", "Stat", "Delete"} {
			t.Run(fmt.Sprint(method, " ", fault), func(t *testing.T) {
				w := newWorld()
				w.before = times(3, method, fault)
				s := w.store(nil)
				put(t, s, "data/a", []byte("content"))
				wantContent(t, s, "data/a", []byte("content"))
				if _, err := s.Stat(t.Context(), "data/a"); err != nil {
					t.Error(err)
				}
				if err := s.List(t.Context(), "", func(cloud.Info) error { return nil }); err != nil {
					t.Error(err)
				}
				if err := s.Delete(t.Context(), "data/a"); err != nil {
					t.Error(err)
				}
				if len(w.waits) != 3 || w.resume != 1 {
					t.Errorf("told of %d waits and %d ends, want 3 and 1", len(w.waits), w.resume)
				}
			})
		}
	}
}

func TestNeverAgain(t *testing.T) {
	for _, fault := range []error{cloud.ErrDenied, cloud.ErrFull, cloud.ErrNotExist, cloud.ErrExist, errors.New("odd"), context.Canceled, io.ErrUnexpectedEOF} {
		w := newWorld()
		w.before = func(method string, _ int) error {
			if method == "Stat" {
				return nil
			}
			return fault
		}
		w.Memory.Put(t.Context(), "data/a", strings.NewReader(""), 0)
		s := w.store(nil)
		_, err := s.Get(t.Context(), "data/a", 0, 10) // which is more than it has
		for method, err := range map[string]error{
			"Put": s.Put(t.Context(), "data/a", strings.NewReader("x"), 1), "Delete": s.Delete(t.Context(), "data/a"), "Get": err,
			"List": s.List(t.Context(), "", func(cloud.Info) error { return nil }),
		} {
			if !errors.Is(err, fault) || w.asked[method] != 1 {
				t.Errorf("%s = %v after %d attempts, want %v after one", method, err, w.asked[method], fault)
			}
		}
		if w.slept != nil {
			t.Errorf("waited %v after %v", w.slept, fault)
		}
	}
}

// The body of a second attempt is read from its start.
func TestPutSeeksBack(t *testing.T) {
	w := newWorld()
	read := 0
	w.before = func(method string, n int) error {
		if method == "Put" && n < 4 {
			return unreachable("reset")
		}
		return nil
	}
	data := pattern(100_000)
	body := &seeker{Reader: bytes.NewReader(data), seeks: &read}
	io.CopyN(io.Discard, body.Reader, 0)
	s := w.store(nil)
	if err := s.Put(t.Context(), "data/a", body, int64(len(data))); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "data/a", data)
	if read != 3 {
		t.Errorf("went back %d times, want 3", read)
	}
}

type seeker struct {
	*bytes.Reader
	seeks *int
	err   error
}

func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	if *s.seeks++; s.err != nil || offset != 0 || whence != io.SeekStart {
		return 0, errors.Join(s.err, errors.New("only back to the start"))
	}
	return s.Reader.Seek(offset, whence)
}

func TestPutThatCannotGoBack(t *testing.T) {
	w := newWorld()
	w.before = times(1, "Put", unreachable("reset"))
	broken, seeks := errors.New("the disk of the source"), 0
	err := w.store(nil).Put(t.Context(), "data/a", &seeker{bytes.NewReader(nil), &seeks, broken}, 0)
	if !errors.Is(err, broken) || errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("Put = %v, want the body's error alone", err)
	}
}

// What was stored while its answer was lost is stored, whatever its length.
func TestPutWhoseAnswerIsLost(t *testing.T) {
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300_000} {
		w := newWorld()
		w.after = times(2, "Put", unreachable("reset"))
		s := w.store(nil)
		put(t, s, "lock/a", pattern(size))
		wantContent(t, s, "lock/a", pattern(size))
	}
}

// What is there was stored by somebody else, between two attempts that failed.
func TestPutThatSomebodyElseWon(t *testing.T) {
	ours, theirs := pattern(100_000), pattern(100_000)
	theirs[70_000] ^= 1
	for _, theirs := range [][]byte{theirs, theirs[:99_999], nil} {
		w := newWorld()
		w.after = func(method string, n int) error {
			if method == "Put" && n == 1 {
				w.Memory.Delete(t.Context(), "lock/a")
				return errors.Join(unreachable("reset"), w.Memory.Put(t.Context(), "lock/a", bytes.NewReader(theirs), int64(len(theirs))))
			}
			return nil
		}
		s := w.store(nil)
		if err := s.Put(t.Context(), "lock/a", bytes.NewReader(ours), int64(len(ours))); !errors.Is(err, cloud.ErrExist) {
			t.Errorf("Put = %v, want ErrExist: what is there is another's", err)
		}
		wantContent(t, s, "lock/a", theirs)
	}
}

// The comparison itself can fail, and is made again.
func TestPutComparedThroughFaults(t *testing.T) {
	for _, fault := range []error{unreachable("reset"), cloud.ErrThrottled, cloud.ErrNotExist} {
		for _, method := range []string{"Stat", "Get"} {
			w := newWorld()
			w.after = times(1, "Put", unreachable("reset"))
			w.before = times(2, method, fault)
			put(t, w.store(nil), "lock/a", pattern(70_000))
			if w.asked["Put"] != 4 {
				t.Errorf("%s fails with %v: %d Puts, want 4", method, fault, w.asked["Put"])
			}
		}
	}
	w := newWorld()
	w.after = times(1, "Put", unreachable("reset"))
	w.before = times(1, "Get", cloud.ErrDenied)
	if err := w.store(nil).Put(t.Context(), "lock/a", strings.NewReader("x"), 1); !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("Put = %v, want ErrDenied of the comparison", err)
	}
}

func TestDeleteWhoseAnswerIsLost(t *testing.T) {
	w := newWorld()
	s := w.store(nil)
	put(t, s, "lock/a", nil)
	w.after = times(2, "Delete", unreachable("reset"))
	if err := s.Delete(t.Context(), "lock/a"); err != nil {
		t.Errorf("Delete = %v", err)
	}
	if err := s.Delete(t.Context(), "lock/a"); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Delete of nothing = %v, want ErrNotExist", err)
	}
}

// fn is called once for each name, however often the listing breaks off, and its
// own error, even one that looks like the store's, ends it.
func TestListStartsAgain(t *testing.T) {
	w := newWorld()
	s := w.store(func(o *retry.Options) { o.Patience = 10 * time.Second })
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("data/%02d", i))
		put(t, s, want[i], nil)
	}
	w.broken = func(n int) (int, error) { return n, unreachable("reset") } // one name more each time: never out of patience
	var got []string
	err := s.List(t.Context(), "data/", func(info cloud.Info) error { got = append(got, info.Name); return nil })
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("List gave %q, %v", got, err)
	}
	w.broken, got = nil, nil
	err = s.List(t.Context(), "data/", func(info cloud.Info) error { got = append(got, info.Name); return cloud.ErrThrottled })
	if !errors.Is(err, cloud.ErrThrottled) || len(got) != 1 {
		t.Errorf("List = %v after %d names, want the caller's own error after one", err, len(got))
	}
}

func TestListGetsNoFurther(t *testing.T) {
	w := newWorld()
	s := w.store(func(o *retry.Options) { o.Patience = time.Minute })
	put(t, s, "data/a", nil)
	put(t, s, "data/b", nil)
	w.broken = func(int) (int, error) { return 1, unreachable("reset") }
	if err := s.List(t.Context(), "", func(cloud.Info) error { return nil }); !errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("List = %v, want to be given up", err)
	}
}
