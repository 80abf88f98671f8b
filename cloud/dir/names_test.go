//go:build unix

package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"pgregory.net/rapid"
)

// Whatever the name, nothing outside the store is touched, nothing of the
// store's own either, and a valid name is exactly one file of that name.
func TestNamesStayInside(t *testing.T) {
	outer := t.TempDir()
	path := filepath.Join(outer, "cloud")
	s := create(t, path)
	if err := os.WriteFile(filepath.Join(outer, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, outer)
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"..", "../", ".", "/", "\\", "data", "data/", "ring/", "secret", "cloud", ".tmp-", cloud.Marker, path, "\x00", "a"}),
		rapid.StringMatching(`(data/)?[a-z0-9-]{1,30}`),
		rapid.String(),
	)
	valid, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		name := strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(rt, "pieces"), "")
		if cloud.CheckName(name) != nil {
			refused++
			for method, err := range everyMethod(s, name) {
				if (err == nil) != (method == "List") || errors.Is(err, cloud.ErrNotExist) {
					rt.Errorf("%s(%q) = %v", method, name, err)
				}
			}
		} else {
			valid++
			put(t, s, name, "data of "+name)
			if data, err := os.ReadFile(filepath.Join(path, name)); err != nil || string(data) != "data of "+name {
				rt.Errorf("file for %q holds %q, %v", name, data, err)
			}
			if err := s.Delete(t.Context(), name); err != nil {
				rt.Errorf("Delete(%q): %v", name, err)
			}
		}
		if after := tree(t, outer); !slices.Equal(before, after) {
			rt.Fatalf("after %q, %q became %q", name, before, after)
		}
	})
	if valid == 0 || refused == 0 {
		t.Errorf("tried %d valid names and %d others, want some of each", valid, refused)
	}
}
