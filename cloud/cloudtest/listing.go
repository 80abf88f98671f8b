package cloudtest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"keepsake.example/cloud"
)

func listPrefix(t tester, s cloud.Store) {
	all := []string{"lone", "lonely", "data/00", "data/01", "data/10", "data/lone", "meta/00", "head/00-a", "head/00-b"}
	for i, name := range all {
		put(t, s, name, content(20, i))
	}
	for _, prefix := range []string{
		"", "data/", "data/0", "data/00", "data/000", "data", "d", "da", "meta/", "ring/", "head/00-",
		"lon", "lonely", "lonelyx", "x", "/", "data//", "../", "data/../meta/", ".", "DATA/",
	} {
		var want []string
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		wantListed(t, s, prefix, want...)
	}
	for i, name := range all {
		if info := list(t, s, "")[name]; info.Size != int64(i) || info.ModTime.IsZero() {
			t.Errorf("List gave %+v, want %d bytes and a time", info, i)
		}
	}
}

// listMany has more objects than a page of any cloud's listing.
func listMany(t tester, s cloud.Store) { listAll(t, s, 2000) }

func listAll(t tester, s cloud.Store, n int) {
	t.Helper()
	want := putMany(t, s, n)
	wantListed(t, s, "data/", want...)
	wantListed(t, s, "", want...)
}

func putMany(t tester, s cloud.Store, n int) []string {
	t.Helper()
	const workers = 8
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("data/%032x", i)
	}
	errs := together(workers, func(w int) error {
		for i := w; i < n; i += workers {
			if err := s.Put(t.Context(), all[i], bytes.NewReader([]byte(all[i])), int64(len(all[i]))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("Put of %d objects: %v", n, err)
	}
	return all
}

func listStops(t tester, s cloud.Store) {
	putMany(t, s, 20)
	stop := errors.New("enough")
	calls := 0
	err := s.List(t.Context(), "data/", func(cloud.Info) error {
		calls++
		if calls == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || calls != 3 {
		t.Errorf("List = %v after %d calls, want the error of the third", err, calls)
	}
	wantUnclassified(t, "List stopped by its caller", err)
}

// listDeleting deletes while it lists, as prune does. What nobody deleted must
// be listed all the same.
func listDeleting(t tester, s cloud.Store) { deleteHalf(t, s, 600) }

func deleteHalf(t tester, s cloud.Store, n int) {
	t.Helper()
	all := putMany(t, s, n)
	var mu sync.Mutex
	seen := make(map[string]int)
	err := s.List(t.Context(), "data/", func(i cloud.Info) error {
		mu.Lock()
		seen[i.Name]++
		odd := len(seen)%2 == 1
		mu.Unlock()
		if odd {
			return s.Delete(t.Context(), i.Name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("List that deletes: %v", err)
	}
	for _, name := range all {
		if seen[name] != 1 {
			t.Errorf("%s was listed %d times, want once", name, seen[name])
		}
	}
	if left := len(list(t, s, "")); left != len(all)/2 {
		t.Errorf("%d objects are left, want %d", left, len(all)/2)
	}
}

func names(t tester, s cloud.Store) {
	all := []string{
		"a", "0", "-", "--", "-rf", "abcdefghijklmnopqrstuvwxyz-0123456789", "data/-", "data/a", "data/data", "data/" + cloud.Marker, "dat", "datas",
		strings.Repeat("x", cloud.MaxName), "retired/" + strings.Repeat("f", cloud.MaxName-len("retired/")),
	}
	for _, folder := range cloud.Folders() {
		all = append(all, folder+"/00ff")
	}
	for i, name := range all {
		put(t, s, name, content(30+i, 10+i))
	}
	for i, name := range all {
		wantContent(t, s, name, content(30+i, 10+i))
	}
	wantListed(t, s, "", all...)
	for _, name := range all {
		if err := s.Delete(t.Context(), name); err != nil {
			t.Errorf("Delete(%s): %v", name, err)
		}
	}
	wantListed(t, s, "")
}

// badNames would reach outside the store or into its own files, or would be
// one object on one cloud and another elsewhere.
func badNames(t tester, s cloud.Store) {
	put(t, s, "data/a", content(31, 10))
	for _, name := range []string{
		"", "/", ".", "..", "../a", "data/..", "data/../a", "data/../data/a", "./a", "data/.", "/data/a", "data/", "data//a", "data/a/",
		"data/a/b", "data", "lock", cloud.Marker, "unknown/a", "Data/a", "data/A", "data/a b", "data/a\x00", "data\\a", "data/ä", "data/a.tmp", ".tmp-a",
		"data/.tmp-a", "data/a\n", "C:a", "data/a*", strings.Repeat("x", cloud.MaxName+1), "data/" + strings.Repeat("x", cloud.MaxName-4),
	} {
		wantUnclassified(t, fmt.Sprintf("Put(%q)", name), s.Put(t.Context(), name, strings.NewReader("x"), 1))
		_, err := get(t, s, name, 0, -1)
		wantUnclassified(t, fmt.Sprintf("Get(%q)", name), err)
		_, err = s.Stat(t.Context(), name)
		wantUnclassified(t, fmt.Sprintf("Stat(%q)", name), err)
		wantUnclassified(t, fmt.Sprintf("Delete(%q)", name), s.Delete(t.Context(), name))
	}
	wantListed(t, s, "", "data/a")
	wantContent(t, s, "data/a", content(31, 10))
}
