package backup_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/backup"
)

// Whoever has the key may write a manifest of any paths. No restore leaves its folder, whatever they are, or whatever links are there.
func TestHostilePaths(t *testing.T) {
	outside := t.TempDir()
	put(t, outside, map[string]string{"file": "outside", "folder/file": "outside"})
	before := tree(t, outside)
	folder := func(path string) backup.Planted { return backup.Planted{Path: path, Kind: "folder"} }
	file := func(path string) backup.Planted { return backup.Planted{Path: path, Kind: "file"} }
	link := func(path, target string) backup.Planted {
		return backup.Planted{Path: path, Kind: "link", Target: target}
	}
	up := "../" + filepath.Base(outside)
	for name, c := range map[string]struct {
		entries []backup.Planted
		want    error
	}{
		"dots":                       {[]backup.Planted{file(up + "/file")}, backup.ErrDamaged},
		"dots in the middle":         {[]backup.Planted{file("a/../../" + filepath.Base(outside) + "/file")}, backup.ErrDamaged},
		"dot":                        {[]backup.Planted{file("./file")}, backup.ErrDamaged},
		"absolute":                   {[]backup.Planted{file(outside + "/file")}, backup.ErrDamaged},
		"empty name":                 {[]backup.Planted{file("a//b")}, backup.ErrDamaged},
		"zero byte":                  {[]backup.Planted{file("a\x00b")}, backup.ErrDamaged},
		"folder of dots":             {[]backup.Planted{folder("..")}, backup.ErrDamaged},
		"out of order":               {[]backup.Planted{file("b"), file("a")}, backup.ErrDamaged},
		"twice":                      {[]backup.Planted{link("a", outside), folder("a")}, backup.ErrDamaged},
		"file through a link":        {[]backup.Planted{link("a", outside), file("a/file")}, backup.ErrLocal},
		"file through a short link":  {[]backup.Planted{link("a", up), file("a/file")}, backup.ErrLocal},
		"folder through a link":      {[]backup.Planted{link("a", outside), folder("a/folder")}, backup.ErrLocal},
		"link through a link":        {[]backup.Planted{link("a", outside), link("a/folder", "x")}, backup.ErrLocal},
		"through two links":          {[]backup.Planted{link("a", "b"), file("a/file"), link("b", outside)}, backup.ErrLocal},
		"file below a file":          {[]backup.Planted{file("a"), file("a/b")}, backup.ErrLocal},
		"link out of it, not used":   {[]backup.Planted{link("a", outside+"/file"), file("b")}, nil},
		"into the work folder":       {[]backup.Planted{folder(workFolder), file(workFolder + "/restore.json"), file("b")}, nil},
		"work folder a link":         {[]backup.Planted{link(workFolder, outside), file("b")}, nil},
		"in the target, by its link": {[]backup.Planted{folder("x"), link("y", "x"), file("z")}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPhone(t)
			id, err := p.open().Plant(t.Context(), append([]backup.Planted{folder("")}, c.entries...))
			must(t, err)
			target := filepath.Join(t.TempDir(), "target")
			_, err = p.restoring(p.store, backup.RestoreOptions{Snapshot: id, Target: target})
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			same(t, before, tree(t, outside))
		})
	}
}

// Links that lie in a target already lead nowhere else either.
func TestHostileTarget(t *testing.T) {
	p := newPhone(t)
	p.write("Notes/one", []byte("one"))
	p.write("file", []byte("file"))
	p.backup(backup.BackupOptions{})
	outside := t.TempDir()
	put(t, outside, map[string]string{"file": "outside", "one": "outside"})
	before := tree(t, outside)
	for name, link := range map[string]struct {
		path, to string
		want     error
	}{
		"a file's place":        {"file", outside + "/file", nil},
		"a folder's place":      {"Notes", outside, backup.ErrLocal},
		"the work folder":       {workFolder, outside, nil},
		"a file in such a link": {"Notes", "../" + filepath.Base(outside), backup.ErrLocal},
	} {
		target := t.TempDir()
		must(t, os.Symlink(link.to, filepath.Join(target, link.path)))
		_, err := p.restoring(p.store, backup.RestoreOptions{Target: target, IntoNonEmpty: true})
		if !errors.Is(err, link.want) {
			t.Errorf("%s: %v, want %v", name, err, link.want)
		}
		same(t, before, tree(t, outside))
		if link.want == nil {
			same(t, tree(t, p.chats), tree(t, target))
		}
	}
}
