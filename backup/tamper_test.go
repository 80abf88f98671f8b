package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A mangling is an object as someone has changed it, and the layers of spec §2 that may refuse it.
type mangling struct {
	what   string
	object []byte
	layers []string
}

const (
	stub    = 104 // header, salt, commitment
	segment = 16400
)

// manglings lists what can be done to one object of the museum.
func manglings(m, other *museum, name string) (list []mangling) {
	object := m.objects[name]
	add := func(what string, b []byte, layers ...string) {
		list = append(list, mangling{what, b, layers})
	}
	older := slices.Contains(m.oldHead, name)
	for i, at := range flips(len(object)) {
		if older && i > stub && i%7 > 0 && !*long {
			continue // the newest head is changed in every byte, by the same code
		}
		add(fmt.Sprint("byte ", at), flipped(object, at), layerOf(name, at)...)
	}
	kind := strings.SplitAfter(name, "/")[0]
	pack := kind == "data/" || kind == "meta/"
	for _, n := range []int{0, 1, 8, 9, 12, 16, 32, 48, 72, 103, 104, 119, 120, 121, stub + segment - 1, stub + segment, stub + segment + 1, len(object) / 2, len(object) - 16, len(object) - 1} {
		switch {
		case n >= len(object):
		case pack:
			add(fmt.Sprint("cut to ", n), object[:n], "size")
		case n < 120 || kind == "ring/":
			add(fmt.Sprint("cut to ", n), object[:n], "header")
		default:
			add(fmt.Sprint("cut to ", n), object[:n], "segment")
		}
	}
	for _, n := range []int{1, 16, segment} {
		layer := "segment"
		if pack {
			layer = "size"
		} else if kind == "ring/" {
			layer = "header"
		}
		for fill := range byte(2) {
			add(fmt.Sprint("longer by ", n), append(slices.Clone(object), bytes.Repeat([]byte{fill}, n)...), layer)
		}
	}
	noise := make([]byte, len(object))
	rand.NewChaCha8([32]byte{9}).Read(noise)
	if pack {
		add("noise of another size", noise[:len(noise)-1], "size")
	}
	add("noise", noise, "header")
	for _, folder := range cloud.Folders() {
		add("foreign of "+folder, fitted(pack, first(other, folder, ""), len(object)), foreignLayers(kind, folder, pack)...)
		if mine := first(m, folder, name); mine != nil {
			add("other of "+folder, fitted(pack, mine, len(object)), swappedLayers(kind, folder, pack)...)
		}
	}
	// The same object of another backup: its place and name are right, and it is not ours.
	foreign := slices.Clone(object)
	copy(foreign[16:32], first(other, strings.Trim(kind, "/"), "")[16:32])
	if kind == "ring/" {
		add("same name, other backup", foreign, "header")
	} else {
		add("same name, other backup", foreign, "foreign")
	}
	add("removed", nil, "missing")
	return slices.DeleteFunc(list, func(g mangling) bool { return g.object != nil && bytes.Equal(g.object, object) })
}

// flips are the places at which a byte is changed: all in small objects, and in headers, else samples.
func flips(n int) (at []int) {
	last := (n - stub - 1) / segment * segment
	for i := range n {
		if n <= 4096 || *long || i < stub+32 || i%1021 == 0 || i >= n-48 || (i >= stub+last-20 && i < stub+last+20) {
			at = append(at, i)
		}
	}
	return at
}

// layerOf says which layer must refuse a changed byte, spec §2.
func layerOf(name string, at int) []string {
	ring := strings.HasPrefix(name, "ring/")
	switch {
	case at < 8 || at == 10 || at == 11:
		return []string{"header"}
	case at == 8:
		return []string{"version"}
	case at == 9:
		return []string{"header", "swapped"} // no kind at all, or another
	case at < 16 && !ring:
		return []string{"key", "commitment"} // a number that no key has, or that another has
	case at >= 32 && at < 48:
		return []string{"swapped"}
	case ring:
		return []string{"header"} // its checksum
	case at < 32:
		return []string{"foreign"}
	case at < stub:
		return []string{"commitment"}
	}
	return []string{"segment"}
}

// first is the bytes of the first object of a folder that is not the one named.
func first(m *museum, folder, not string) []byte {
	for _, name := range in(m.objects, folder) {
		if name != not {
			return m.objects[name]
		}
	}
	return nil
}

// fitted makes an object as long as the pack it stands in for, which is otherwise refused for its size.
func fitted(pack bool, object []byte, n int) []byte {
	if !pack || object == nil {
		return object
	}
	return append(slices.Clone(object), make([]byte, n)...)[:n]
}

func foreignLayers(kind, folder string, pack bool) []string {
	switch {
	case folder == "lock":
		return []string{"missing"} // the museum has none: nil, which removes the object
	case kind == "ring/":
		return []string{"swapped", "header"}
	case folder == "retired" && !pack:
		return []string{"header"} // 104 bytes
	}
	return []string{"foreign"}
}

func swappedLayers(kind, folder string, pack bool) []string {
	if folder == "retired" && !pack {
		return []string{"header"}
	}
	return []string{"swapped"}
}

// Whatever is done to any object of a repository, the layer that should refuse it does, and names the object; nothing else is
// said, and never that the key is wrong.
func TestMangleEveryObject(t *testing.T) {
	m, other := newMuseum(t, 0), newMuseum(t, 1)
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			t.Parallel()
			for _, g := range manglings(m, other, name) {
				m.mangled(t, name, g)
				if t.Failed() {
					t.Fatal("with: " + g.what)
				}
			}
		})
	}
}

// mangled holds opening and verifying a museum with one mangled object to what must come of it.
func (m *museum) mangled(t *testing.T, name string, g mangling) {
	r, err := open(m.with(name, g.object), m.key)
	newest := strings.HasPrefix(name, "head/") && !slices.Contains(m.oldHead, name)
	switch {
	case strings.HasPrefix(name, "ring/") && g.object == nil:
		if !errors.Is(err, backup.ErrNoRepository) {
			t.Errorf("%v, want no repository", err)
		}
		return
	case strings.HasPrefix(name, "ring/"), newest && g.object != nil:
		wantDamage(t, g.what, err, name, g.layers...)
		return
	case err != nil:
		t.Errorf("opening: %v", err)
		return
	}
	defer r.Close()
	pack := strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "meta/")
	if found := r.Damage(); len(found) > 0 && !pack && strings.HasPrefix(g.what, "byte") {
		for _, d := range found {
			wantDamage(t, g.what, d, name, g.layers...)
		}
		return // Verify starts with the same: not for each of thousands of bytes
	}
	if newest {
		// A new device cannot know that there was a newer head, spec §5; one that has seen it does: TestRollback.
		if len(r.Snapshots()) != 1 {
			t.Errorf("%d snapshots without the newest head, want the one before", len(r.Snapshots()))
		}
		return
	}
	share := 1.0
	if !pack {
		share = 0
	}
	v, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: share})
	must(t, err)
	m.verified(t, name, g, v)
}

// verified compares what Verify reports with what was done.
func (m *museum) verified(t *testing.T, name string, g mangling, v *backup.VerifyResult) {
	harmless := strings.HasPrefix(name, "retired/") || (slices.Contains(m.oldHead, name) && g.object == nil)
	switch {
	case harmless && len(v.Damage) > 0:
		t.Errorf("damage %v, want none", v.Damage)
	case !harmless && len(v.Damage) == 0:
		t.Errorf("nothing found")
	}
	for _, d := range v.Damage {
		if sized := g.layers[0] == "size" && d.Layer != "size" && d.Object == name; !sized { // it is read all the same, if it is a list of files
			wantDamage(t, g.what, d, name, g.layers...)
		}
	}
	if m.late[name] && len(v.Affected[m.snaps[0]]) > 0 {
		t.Errorf("%s affects the older snapshot", name)
	}
	if strings.HasPrefix(name, "index/") && len(v.Affected) > 0 {
		t.Errorf("a damaged index affects %v, but packs have their own tables", v.Affected)
	}
}

// Some of the same, with a restore of each snapshot: what comes back is right, what does not is an error, and what does not need
// the object comes back. Verify says beforehand which files those are.
func TestRestoreWithEachObjectMangled(t *testing.T) {
	m := newMuseum(t, 0)
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		object := m.objects[name]
		if strings.HasPrefix(name, "ring/") || (strings.HasPrefix(name, "head/") && !slices.Contains(m.oldHead, name)) {
			continue // nothing opens
		}
		t.Run(strings.ReplaceAll(name, "/", " "), func(t *testing.T) {
			t.Parallel()
			for what, b := range map[string][]byte{"commitment": flipped(object, 80), "first": flipped(object, min(len(object)-1, 300)),
				"last": flipped(object, len(object)-1), "half": object[:len(object)/2], "removed": nil} {
				m.restored(t, name, name+" "+what, b)
			}
		})
	}
}

func (m *museum) restored(t *testing.T, name, what string, object []byte) {
	t.Helper()
	r, err := open(m.with(name, object), m.key)
	must(t, err)
	defer r.Close()
	v, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: 1})
	must(t, err)
	for _, id := range m.snaps {
		if _, err := r.Find(id, noTime); err != nil {
			if name != "snap/"+id {
				t.Errorf("%s: snapshot %s: %v", what, id, err)
			}
			continue
		}
		missing := m.restoreCheck(t, what, r, id)
		if len(missing) > 0 && (m.late[name] && id == m.snaps[0] || !strings.HasPrefix(name, "data/") && !strings.HasPrefix(name, "meta/")) {
			t.Errorf("%s: snapshot %s does not need it, but lost %v", what, id, missing)
		}
		for _, path := range missing {
			if a := v.Affected[id]; !slices.Contains(a, path) && !inGap(a, path) {
				t.Errorf("%s: %s lost %q, which verify did not say: %v", what, id, path, a)
			}
		}
	}
}

// Two objects that trade places are both refused, whatever they are.
func TestSwappedObjects(t *testing.T) {
	m := newMuseum(t, 0)
	names := slices.Sorted(maps.Keys(m.objects))
	for i, a := range names {
		for _, b := range names[:i] {
			c := m.cloud()
			c.objects[a], c.objects[b] = m.objects[b], m.objects[a]
			r, err := open(c, m.key)
			if err != nil {
				if d := damageOf(err); d == nil || (d.Object != a && d.Object != b) {
					t.Errorf("%s and %s: %v", a, b, err)
				}
				continue
			}
			v, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: 1})
			must(t, err)
			r.Close()
			for _, name := range []string{a, b} {
				found := slices.ContainsFunc(v.Damage, func(d *backup.DamageError) bool { return d.Object == name })
				if !found && !strings.HasPrefix(name, "retired/") {
					t.Errorf("%s and %s: nothing is said of %s", a, b, name)
				}
			}
		}
	}
}

// Any set of objects may be gone: what is left comes back right, and the rest is named.
func TestRemovedObjects(t *testing.T) {
	m := newMuseum(t, 0)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.objects)) {
		if !strings.HasPrefix(name, "ring/") && !strings.HasPrefix(name, "head/") {
			names = append(names, name)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 25 {
		c := m.cloud()
		var gone []string
		for _, name := range names {
			if rnd.IntN(3) == 0 {
				delete(c.objects, name)
				gone = append(gone, name)
			}
		}
		r, err := open(c, m.key)
		must(t, err)
		v, err := r.Verify(t.Context(), backup.VerifyOptions{ReadData: 1})
		must(t, err)
		for _, name := range gone {
			pack := strings.HasPrefix(name, "data/") || strings.HasPrefix(name, "meta/")
			named := slices.ContainsFunc(v.Damage, func(d *backup.DamageError) bool { return d.Object == name && d.Layer == "missing" })
			index := slices.ContainsFunc(gone, func(n string) bool { return strings.HasPrefix(n, "index/") })
			if !named && !strings.HasPrefix(name, "retired/") && !(pack && index) {
				t.Errorf("without %v: nothing is said of %s", gone, name)
			}
		}
		for _, s := range r.Snapshots() {
			m.restoreCheck(t, fmt.Sprint("without ", gone), r, s.ID)
		}
		r.Close()
	}
}
