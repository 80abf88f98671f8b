package backup_test

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// contents reads every object of the cloud folder: name → bytes.
func (p *phone) contents() map[string][]byte {
	p.t.Helper()
	out := make(map[string][]byte)
	for _, name := range p.objects() {
		out[name] = mustRead(p.t, p.file(name))
	}
	return out
}

// file is where the cloud folder keeps an object.
func (p *phone) file(name string) string { return filepath.Join(p.clouds, filepath.FromSlash(name)) }

// put replaces an object by other bytes, behind the store's back; nil removes it.
func (p *phone) put(name string, object []byte) {
	p.t.Helper()
	if object == nil {
		must(p.t, os.Remove(p.file(name)))
		return
	}
	must(p.t, os.RemoveAll(p.file(name)))
	must(p.t, os.WriteFile(p.file(name), object, 0o600))
}

// setCloud makes the cloud folder hold exactly these objects.
func (p *phone) setCloud(objects map[string][]byte) {
	p.t.Helper()
	now := p.contents()
	for name := range now {
		if _, ok := objects[name]; !ok {
			p.put(name, nil)
		}
	}
	for name, object := range objects {
		if string(now[name]) != string(object) {
			p.put(name, object)
		}
	}
}

// in lists the objects of a folder of the cloud.
func in(objects map[string][]byte, folder string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		if strings.HasPrefix(name, folder+"/") {
			names = append(names, name)
		}
	}
	return names
}

// age sets the time at which the store believes to have got an object.
func (p *phone) age(name string, by time.Duration) {
	p.t.Helper()
	when := time.Now().Add(-by)
	must(p.t, os.Chtimes(p.file(name), when, when))
}

// another is a second device with the same key, on a copy of the cloud or, with share, on the same one.
func (p *phone) another(number byte, share bool) *phone {
	p.t.Helper()
	top := p.t.TempDir()
	q := &phone{t: p.t, key: p.key, chats: filepath.Join(top, "chats"), clouds: p.clouds, store: p.store, cache: filepath.Join(top, "cache"),
		device: strings.Repeat("0", 30) + string("0123456789abcdef"[number]) + "0"}
	must(p.t, os.Mkdir(q.chats, 0o755))
	if !share {
		q.clouds = filepath.Join(top, "cloud")
		must(p.t, os.CopyFS(q.clouds, os.DirFS(p.clouds)))
		var err error
		q.store, err = dir.Open(q.clouds)
		must(p.t, err)
	}
	return q
}

// rotate gives the repository a new key.
func (p *phone) rotate() {
	p.t.Helper()
	k, err := key.Generate()
	must(p.t, err)
	must(p.t, p.open().Rotate(p.t.Context(), k))
	p.key = k
}

func (p *phone) prune(o backup.PruneOptions) *backup.PruneResult {
	p.t.Helper()
	r := p.open()
	res, err := r.Prune(p.t.Context(), o)
	must(p.t, err)
	if !o.DryRun {
		p.mark = r.Mark()
	}
	return res
}

// damageOf returns the damage in an error.
func damageOf(err error) *backup.DamageError {
	var d *backup.DamageError
	errors.As(err, &d)
	return d
}

// bytesAt is an io.ReaderAt.
type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func with(b []byte, at int, v byte) []byte {
	out := slices.Clone(b)
	out[at] = v
	return out
}

// flipped inverts one bit of the byte at a place, another bit each place.
func flipped(b []byte, at int) []byte { return with(b, at, b[at]^(1<<(at%8))) }

func wantDamage(t testing.TB, what string, err error, object string, layers ...string) {
	t.Helper()
	d := damageOf(err)
	if d == nil || !errors.Is(err, backup.ErrDamaged) || errors.Is(err, backup.ErrWrongKey) {
		t.Errorf("%s: %v, want damage of %s", what, err, object)
		return
	}
	if d.Object != object || !slices.Contains(layers, d.Layer) {
		t.Errorf("%s: refused by %q of %s, want %q of %s", what, d.Layer, d.Object, layers, object)
	}
}

// withoutSpares takes the spares of key rings away: what is said of a ring is of one that has none.
func (p *phone) withoutSpares() {
	p.t.Helper()
	for _, name := range in(p.contents(), "ring") {
		if isSpare(name) {
			p.put(name, nil)
		}
	}
}

// isSpare tells the spare of a ring by its name, spec §4.
func isSpare(name string) bool { return name[len("ring/")] < '8' }

// rings are the rings of some objects that are no spares.
func rings(objects map[string][]byte) (names []string) {
	return slices.DeleteFunc(in(objects, "ring"), isSpare)
}
