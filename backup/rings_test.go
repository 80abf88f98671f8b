package backup_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/key"
)

// twoRings is a repository whose key rotation was interrupted before the old ring was retired.
func twoRings(t *testing.T) (p *phone, oldKey, next *key.Key, oldRing, newRing string) {
	t.Helper()
	p = newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	oldKey, next = p.key, newKey(t)
	p.withoutSpares()
	oldRing = in(p.contents(), "ring")[0]
	r, err := backup.Open(t.Context(), &haltingStore{Store: p.store, left: 2}, p.key, p.options()) // the lock, the new ring
	must(t, err)
	defer r.Close()
	if err := r.Rotate(t.Context(), next); !errors.Is(err, errHalted) {
		t.Fatal(err)
	}
	for _, name := range in(p.contents(), "ring") {
		if name != oldRing {
			newRing = name
		}
	}
	return p, oldKey, next, oldRing, newRing
}

// reports checks that a damaged ring beside the good one stops neither opening nor restoring, and is named by both opening and verify.
func (p *phone) reports(what, ring string) {
	p.t.Helper()
	r := p.open()
	if d := r.Damage(); len(d) != 1 || d[0].Object != ring {
		p.t.Errorf("%s: opening names %v", what, d)
	}
	same(p.t, tree(p.t, p.chats), tree(p.t, p.restore("latest")))
	if v := p.verify(1); len(v.Damage) != 1 || v.Damage[0].Object != ring || len(v.Affected) > 0 {
		p.t.Errorf("%s: %+v", what, v)
	}
}

// Of two rings the old one is damaged: the new key opens. The next backup clears the old ring away, as finishing the rotation would have done,
// when its header says that it is the old one; else it is reported until the rings are replaced, and one that may be newer stops writing.
func TestDamagedOlderRing(t *testing.T) {
	p, _, k, old, ring := twoRings(t)
	p.key = k
	start, mark := p.contents(), p.mark
	object := start[old]
	newer := bytes.Clone(object)
	newer[12] = 0xff // of the generation
	for _, c := range []struct {
		what    string
		object  []byte
		cleared bool
		unclear bool
	}{
		{"salt", flipped(object, 50), true, false}, {"commitment", flipped(object, 90), true, false}, {"contents", flipped(object, 300), true, false},
		{"checksum", flipped(object, len(object)-1), true, false}, {"cut", object[:200], true, false}, {"magic", flipped(object, 0), false, false},
		{"empty", []byte{}, false, false}, {"large", make([]byte, 100_000), false, false}, {"id", flipped(object, 40), false, false},
		{"repository", flipped(object, 20), false, false}, {"generation", newer, false, true}, {"version", with(object, 8, 2), false, true},
	} {
		p.setCloud(start)
		p.mark = mark
		p.put(old, c.object)
		p.reports(c.what, old)
		_, err := p.open().Backup(t.Context(), backup.BackupOptions{Source: p.chats})
		if errors.Is(err, backup.ErrRingUnclear) != c.unclear || (err != nil) != c.unclear {
			t.Errorf("%s: %v", c.what, err)
		}
		if there := p.contents()[old] != nil; there == c.cleared {
			t.Errorf("%s: still there: %v", c.what, there)
		}
		if c.cleared {
			if d := p.open().Damage(); len(d) > 0 {
				t.Errorf("%s: after it was cleared: %v", c.what, d)
			}
		}
		if !bytes.Equal(p.contents()[ring], start[ring]) {
			t.Fatalf("%s: the good ring is not as it was", c.what)
		}
	}
}

// Of two rings the new one is damaged: the old key opens and restores, writes nothing that it could read and the person who has the new
// one meant to keep from it, and may replace the rings. After that there is one.
func TestDamagedNewerRing(t *testing.T) {
	p, _, _, _, ring := twoRings(t)
	p.put(ring, flipped(p.contents()[ring], 300))
	p.reports("newer", ring)
	before := p.contents()
	for what, run := range writers(p) {
		if what == "rotate" {
			continue // it comes last, below
		}
		if err := run(p.open()); !errors.Is(err, backup.ErrRingUnclear) || damageOf(err) == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := p.contents(); len(in(got, "data")) != len(in(before, "data")) || len(in(got, "head")) != len(in(before, "head")) {
		t.Error("something was written")
	}
	old := p.key
	p.rotate()
	if rings := in(p.contents(), "ring"); len(rings) != 2 {
		t.Errorf("rings %v", rings)
	}
	if v := p.verify(1); len(v.Damage) > 0 {
		t.Errorf("%+v", v)
	}
	wantWrongKey(t, "old key", p.store, old)
	p.backup(backup.BackupOptions{})
}

// Where no whole ring fits, a damaged one may be the one that did: that is damage and no wrong key, unless the key is known to be replaced.
func TestDamagedRingAndNoOther(t *testing.T) {
	p, oldKey, k, old, ring := twoRings(t)
	start := p.contents()
	for at := 0; at < len(start[ring]); at += 97 {
		p.put(ring, flipped(start[ring], at))
		_, err := open(p.store, k)
		wantDamage(t, fmt.Sprint("byte ", at), err, ring, layerOf(ring, at)...)
	}
	p.setCloud(start)
	p.key = k
	must(t, p.open().FinishRotation(t.Context()))
	p.put("ring/"+strings.Repeat("ab", 16), []byte("trash"))
	wantWrongKey(t, "replaced", p.store, oldKey)
	_, err := open(p.store, newKey(t))
	wantDamage(t, "another key", err, "ring/"+strings.Repeat("ab", 16), "header")
	if p.contents()[old] != nil {
		t.Error("the old ring is still there")
	}
	check, err := backup.KeyCheck(t.Context(), p.store)
	must(t, err)
	k.Use(func(b *[32]byte) {
		if !check(b) {
			t.Error("the right key does not pass")
		}
	})
}
