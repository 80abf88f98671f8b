package backup_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
)

var objectNames = regexp.MustCompile(`\A((ring|snap|index|data|meta|lock|retired)/[0-9a-f]{32}|head/[0-9a-f]{16}-[0-9a-f]{32})\z`)

// Nothing that tells names, contents, sizes, keys or digests lies in the cloud, neither in objects nor in their names; and every object has a padded size.
func TestNothingReadableInTheCloud(t *testing.T) {
	p := newPhone(t)
	rnd := rand.New(rand.NewChaCha8([32]byte{5}))
	media := random(rnd, 123_457)
	p.write("Secret folder/private-photo.jpg", media)
	p.write("Secret folder/copy-of-photo.jpg", media)
	p.write("note.txt", []byte(strings.Repeat("meet me at the old bridge. ", 900)))
	p.write("blank", make([]byte, 765_432))
	p.sql("messages.db", "CREATE TABLE confidential(id INTEGER PRIMARY KEY, body TEXT)", "INSERT INTO confidential(body) VALUES('the quick brown secret')")
	p.backup(backup.BackupOptions{})
	p.rotate()
	p.write("note.txt", []byte("another note, quite short"))
	p.backup(backup.BackupOptions{})
	p.prune(backup.PruneOptions{Keep: backup.Policy{Last: 1}, MaxUnused: 0.01})

	needles := map[string][]byte{"a size": []byte("123457"), "a hole's size": []byte("765432"), "a part of a photo": media[70_000:70_016], "the start of a photo": media[:16]}
	for _, s := range []string{"Secret folder", "private-photo", "copy-of", "note.txt", "old bridge", "blank", "messages.db", "SQLite format", "CREATE TABLE",
		"confidential", "quick brown", "another note", "chats", p.chats} {
		needles[s] = []byte(s)
	}
	r := p.open()
	for i, secret := range append(r.Secrets(), digestOf(r, media), digestOf(r, []byte("another note, quite short"))) {
		needles[fmt.Sprint("secret ", i)] = secret
		needles[fmt.Sprint("half of secret ", i)] = secret[:len(secret)/2]
		needles[fmt.Sprint("digits of secret ", i)] = []byte(hex.EncodeToString(secret))
	}
	p.key.Use(func(secret *[32]byte) { needles["K"] = slices.Clone(secret[:16]) })
	for name, object := range p.contents() {
		if !objectNames.MatchString(name) {
			t.Errorf("name %q", name)
		}
		for what, needle := range needles {
			if bytes.Contains(object, needle) || strings.Contains(name, string(needle)) {
				t.Errorf("%s holds %s", name, what)
			}
		}
		e, err := backup.Inspect(name, bytesAt(object), int64(len(object)))
		must(t, err)
		for _, note := range e.Notes {
			if strings.Contains(note, "not padded") || strings.Contains(note, "fits no object") {
				t.Errorf("%s: %s", name, note)
			}
		}
	}
}

// digestOf is the id that a chunk of these contents has.
func digestOf(r *backup.Repo, m []byte) []byte { id := r.ChunkDigest()(m); return id[:] }

// Two repositories of the same folder share nothing but their form, and the same folder backed up twice under the same key neither.
func TestSameFilesLookDifferent(t *testing.T) {
	var objects [2]map[string][]byte
	p := newPhone(t)
	q := newPhone(t)
	q.withoutSpares()
	q.put(in(q.contents(), "ring")[0], nil)
	q.key = p.key
	_, err := backup.Create(t.Context(), q.store, q.key, time.Now())
	must(t, err)
	for i, ph := range []*phone{p, q} {
		ph.write("same", bytes.Repeat([]byte("same"), 3000))
		ph.backup(backup.BackupOptions{})
		objects[i] = ph.contents()
	}
	seen := make(map[string]string)
	for i := range objects {
		for name, object := range objects[i] {
			for at := 48; at+16 <= len(object); at++ {
				if i == 0 {
					seen[string(object[at:at+16])] = name
				} else if other, ok := seen[string(object[at:at+16])]; ok {
					t.Fatalf("%s and %s share 16 bytes", name, other)
				}
			}
		}
	}
}

// What the cloud sees of two folders of the same number and sizes of files is the same: contents do not show in sizes, as they would through
// chunk boundaries. What compresses is not part of this: spec §3 says that padded sizes are seen.
func TestSizesDoNotDependOnContents(t *testing.T) {
	var sizes [2][]int
	for i := range sizes {
		p := newPhone(t)
		rnd := rand.New(rand.NewChaCha8([32]byte{byte(i)}))
		for f := range 5 {
			p.write(fmt.Sprint("f", f), random(rnd, 300_000+f))
		}
		p.backup(backup.BackupOptions{})
		for _, object := range p.contents() {
			sizes[i] = append(sizes[i], len(object))
		}
		slices.Sort(sizes[i])
	}
	if !slices.Equal(sizes[0], sizes[1]) {
		t.Errorf("sizes differ: %v and %v", sizes[0], sizes[1])
	}
}
