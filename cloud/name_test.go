package cloud_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"pgregory.net/rapid"
)

// Names with a chance of being valid, of climbing out, and of hiding.
func nameGen() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"..", ".", "/", "//", "\\", "data", "data/", "ring/", "lock", ".tmp-", cloud.Marker, "\x00", "", "-", "ä", "A"}),
		rapid.StringMatching(`[a-z0-9-]{1,70}`),
		rapid.String(),
	)
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, "pieces"), "")
	})
}

var (
	plainName = regexp.MustCompile(`\A(?:(?:ring|head|snap|index|data|meta|lock|retired)/)?[a-z0-9-]+\z`)
	reserved  = append(cloud.Folders(), cloud.Marker)
)

func TestCheckName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := nameGen().Draw(t, "name")
		want := len(name) <= 128 && plainName.MatchString(name) && !slices.Contains(reserved, name)
		if got := cloud.CheckName(name); (got == nil) != want {
			t.Fatalf("CheckName(%q) = %v, want valid: %t", name, got, want)
		}
		if want && (!filepath.IsLocal(name) || filepath.ToSlash(filepath.Clean(name)) != name) {
			t.Fatalf("%q is not a plain local path", name)
		}
	})
}

func TestCheckNameLimits(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "data/a": true, "data/data": true, "data/" + cloud.Marker: true,
		strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"data/" + strings.Repeat("a", 123): true, "data/" + strings.Repeat("a", 124): false,
		"": false, "data/": false, "/a": false, "data": false, cloud.Marker: false, "data/a/b": false, "other/a": false, "data/.tmp-a": false,
	} {
		if err := cloud.CheckName(name); (err == nil) != valid {
			t.Errorf("CheckName(%q) = %v, want valid: %t", name, err, valid)
		}
	}
}

func TestFoldersIsACopy(t *testing.T) {
	cloud.Folders()[0] = "changed"
	if cloud.Folders()[0] != "ring" {
		t.Errorf("a caller changed the folders of everybody")
	}
}
