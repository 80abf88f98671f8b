package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/internal/cobblestone"
)

// An Explanation is what can be said of an object without the key.
type Explanation struct {
	Kind          string   `json:"kind"`
	Version       int      `json:"version"`
	RepositoryID  string   `json:"repository_id"`
	ObjectID      string   `json:"object_id"`
	KeyNumber     uint32   `json:"key_number"` // 0 for K itself
	Size          int64    `json:"size"`
	PlaintextSize int64    `json:"plaintext_size"` // padded
	Segments      int64    `json:"segments"`
	Salt          string   `json:"salt"`
	Commitment    string   `json:"commitment"`
	Notes         []string `json:"notes"`
}

// Inspect explains an object from its name (its last two parts count; "" if unknown) and its bytes. Nothing of it is
// authenticated: without the key, an object can only be held to its form. It fails with a DamageError if it has not even that.
func Inspect(name string, object io.ReaderAt, size int64) (*Explanation, error) {
	stub := make([]byte, stubSize)
	n, err := object.ReadAt(stub, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	h, err := parseHeader(name, stub[:n])
	if err != nil {
		return nil, err
	}
	if n < stubSize {
		return nil, damage(name, "header", "only %d bytes", n)
	}
	e := &Explanation{Kind: kinds[h.kind].name, Version: formatVersion, RepositoryID: h.repo.String(), ObjectID: h.id.String(), KeyNumber: h.key, Size: size,
		Salt: hex.EncodeToString(stub[headerSize : headerSize+cobblestone.SaltSize]), Commitment: hex.EncodeToString(stub[headerSize+cobblestone.SaltSize:])}
	e.measure(h, name)
	e.compareName(h, name)
	return e, nil
}

// measure works out the sizes.
func (e *Explanation) measure(h header, name string) {
	sealed := e.Size - headerSize
	if h.kind == kindRing {
		sealed -= checksumSize
	}
	if e.Size == stubSize {
		e.Kind = "retired key ring"
		e.note("what is left of a key ring that was replaced: it recognises the old key and opens nothing")
		return
	}
	plain, err := cobblestone.PlaintextSize(sealed)
	if err != nil {
		e.note("the size fits no object: it was cut or extended")
		return
	}
	e.PlaintextSize = plain
	e.Segments = plain/cobblestone.ChunkSize + 1
	if padme(plain) != plain {
		e.note("the size is not padded as it should be: it was cut or extended")
	}
	if e.Size > kinds[h.kind].limit {
		e.note("larger than a %s may be", e.Kind)
	}
	e.note("%s", explanations[h.kind])
}

var explanations = map[kind]string{
	kindRing:     "the key ring: wrapped by the 64 digits, it holds the keys of everything else; its salt and commitment recognise the right digits",
	kindHead:     "a head: it names everything the repository holds at one moment",
	kindSnapshot: "a snapshot: where the list of its files is, and totals",
	kindIndex:    "an index: what lies in which pack",
	kindData:     "a data pack: contents of files, compressed, encrypted and padded",
	kindMeta:     "a meta pack: lists of files",
	kindLock:     "a lock: a device is writing, or was when it was interrupted",
}

func (e *Explanation) note(format string, args ...any) {
	e.Notes = append(e.Notes, fmt.Sprintf(format, args...))
}

// compareName says whether the object lies under its own name.
func (e *Explanation) compareName(h header, name string) {
	name = strings.ReplaceAll(name, "\\", "/")
	short := path.Join(path.Base(path.Dir(name)), path.Base(name))
	if rest, ok := strings.CutPrefix(short, retiredFolder); ok {
		if rest != h.id.String() {
			e.note("it lies under another object's name")
		}
		return
	}
	k, _, id, err := splitName(short)
	switch {
	case err != nil:
		e.note("the name is not that of an object; its own would be %s", kinds[h.kind].folder+h.id.String())
	case k != h.kind || id != h.id:
		e.note("it lies under another object's name")
	}
}

// Usage counts a repository's objects by kind.
type Usage struct {
	Objects map[string]int   `json:"objects"`
	Bytes   map[string]int64 `json:"bytes"`
	Total   int64            `json:"total_bytes"`
}

// Usage lists the cloud and counts.
func (r *Repo) Usage(ctx context.Context) (Usage, error) {
	u := Usage{Objects: make(map[string]int), Bytes: make(map[string]int64)}
	err := eachObject(ctx, r.store, func(kind string, info cloud.Info) error {
		u.Objects[kind]++
		u.Bytes[kind] += info.Size
		u.Total += info.Size
		return nil
	})
	return u, err
}

// eachObject calls fn for every object of a repository.
func eachObject(ctx context.Context, store cloud.Store, fn func(kind string, info cloud.Info) error) error {
	names := map[string]string{retiredFolder: "retired key ring"}
	for _, k := range kinds {
		names[k.folder] = k.name
	}
	list, err := listFolders(ctx, store, slices.Collect(maps.Keys(names))...)
	if err != nil {
		return fmt.Errorf("listing objects: %w", err)
	}
	for folder, objects := range list {
		for _, info := range objects {
			if err := fn(names[folder], info); err != nil {
				return err
			}
		}
	}
	return nil
}

// Destroy deletes every object of the repository in store, the key ring first: without it, what is left of an interrupted deletion can
// be read by nobody. It needs no key. It returns what it deleted.
func Destroy(ctx context.Context, store cloud.Store) (objects int, bytes int64, err error) {
	deleted := make(map[string]bool)
	lag := cloud.TraitsOf(store).Lag
	// What a listing shows late is found by the ones after it.
	err = patiently(ctx, lag, time.Now(), func() (bool, error) {
		var rings, rest []string
		err := eachObject(ctx, store, func(_ string, info cloud.Info) error {
			switch {
			case deleted[info.Name]:
				return nil
			case strings.HasPrefix(info.Name, kinds[kindRing].folder):
				rings = append(rings, info.Name)
			default:
				rest = append(rest, info.Name)
			}
			deleted[info.Name] = true
			bytes += info.Size
			return nil
		})
		for _, names := range [][]string{rings, rest} {
			if err == nil {
				err = deleteAll(ctx, store, names, nil)
			}
		}
		return lag == 0, err
	})
	if err != nil {
		return 0, 0, err
	}
	return len(deleted), bytes, nil
}
