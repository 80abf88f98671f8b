package backup

import (
	"os"
	"path/filepath"
	"strings"

	"keepsake.example/cloud"
)

// A cache keeps copies of small encrypted objects on the device, as they lie in the cloud. It is not trusted: what comes
// from it is authenticated like what comes from the cloud, and dropped if it fails. Deleting it costs only requests.
// An empty dir means no cache.
type cache struct{ dir string }

func (c cache) path(name string) string {
	return filepath.Join(c.dir, strings.ReplaceAll(name, "/", "."))
}

// open returns the cached copy of an object, or nil.
func (c cache) open(name string) *os.File {
	if c.dir == "" {
		return nil
	}
	f, err := os.Open(c.path(name))
	if err != nil {
		return nil
	}
	return f
}

// get returns the cached copy of an object of at most limit bytes, or nil.
func (c cache) get(name string, limit int64) []byte {
	f := c.open(name)
	if f == nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > limit {
		return nil
	}
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return nil
	}
	return b
}

// put stores a copy. It fails silently: a cache that cannot be written is no reason to stop a backup.
func (c cache) put(name string, object []byte) {
	if c.dir == "" {
		return
	}
	tmp, err := os.CreateTemp(c.dir, "tmp-")
	if err != nil {
		return
	}
	_, err = tmp.Write(object)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil || os.Rename(tmp.Name(), c.path(name)) != nil {
		os.Remove(tmp.Name())
	}
}

// hintName is a file that holds the name of the key ring used last: not trusted, and no part of a ring, which must not outlive its deletion here.
const hintName = "hint"

// hint returns what setHint kept, "" if nothing.
func (c cache) hint() string { return strings.TrimSpace(string(c.get(hintName, cloud.MaxName+1))) }

func (c cache) setHint(name string) {
	if c.dir != "" && c.hint() != name {
		c.put(hintName, append([]byte(name), '\n'))
	}
}

func (c cache) drop(name string) {
	if c.dir != "" {
		os.Remove(c.path(name))
	}
}

// keep deletes every copy of an object that wanted does not hold, and leftovers.
func (c cache) keep(wanted map[string]bool) {
	if c.dir == "" {
		return
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	names := make(map[string]bool, len(wanted)+1)
	names[hintName] = true
	for name := range wanted {
		names[filepath.Base(c.path(name))] = true
	}
	for _, e := range entries {
		if e.Type().IsRegular() && !names[e.Name()] {
			os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
}
