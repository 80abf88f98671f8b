package backup_test

import (
	"bytes"
	"errors"
	"testing"

	"keepsake.example/backup"
	"keepsake.example/key"
)

// A repository whose key ring is damaged, or gone, opens with the spare: everything comes back, what is wrong is named, and a rotation mends it.
func TestSpareRing(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	start, mark, k, want := p.contents(), p.mark, p.key, tree(t, p.chats)
	main := rings(start)[0]
	for what, object := range map[string][]byte{
		"gone": nil, "salt": flipped(start[main], 50), "contents": flipped(start[main], 300), "cut": start[main][:90], "magic": flipped(start[main], 0),
		"noise": bytes.Repeat([]byte{7}, len(start[main])),
	} {
		p.setCloud(start)
		p.mark, p.key = mark, k
		p.put(main, object)
		same(t, want, tree(t, p.restore("latest")))
		v := p.verify(1)
		named := len(v.Damage) == 1 && v.Damage[0].Object == main
		if !v.NoSpare || named != (object != nil) {
			t.Errorf("%s: %+v", what, v)
		}
		p.write("a", []byte(what))
		p.backup(backup.BackupOptions{})
		p.rotate()
		if v := p.verify(1); len(v.Damage) > 0 || v.NoSpare || len(in(p.contents(), "ring")) != 2 {
			t.Errorf("%s: after a rotation: %+v", what, v)
		}
		wantWrongKey(t, what, p.store, k)
		p.backup(backup.BackupOptions{})
	}
}

// A spare that is damaged, or gone, stops nothing, and verify says so.
func TestDamagedSpare(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	start := p.contents()
	for _, name := range in(start, "ring") {
		if !isSpare(name) {
			continue
		}
		p.put(name, flipped(start[name], 300))
		p.backup(backup.BackupOptions{})
		if v := p.verify(1); len(v.Damage) != 1 || v.Damage[0].Object != name || v.NoSpare {
			t.Errorf("damaged: %+v", v)
		}
		p.put(name, nil)
		p.backup(backup.BackupOptions{})
		if v := p.verify(1); len(v.Damage) > 0 || !v.NoSpare {
			t.Errorf("gone: %+v", v)
		}
		return
	}
	t.Fatal("no spare")
}

// With both damaged nothing opens, and that is damage, not a wrong key.
func TestBothRingsDamaged(t *testing.T) {
	p := newPhone(t)
	for _, name := range in(p.contents(), "ring") {
		p.put(name, flipped(p.contents()[name], 50))
	}
	if _, err := open(p.store, p.key); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("%v, want damage", err)
	}
}

// Two devices that change the key at the same time, past the locks, leave one key that opens, and no spare of the other.
func TestRotationsRaced(t *testing.T) {
	p := newPhone(t)
	p.write("a", []byte("a"))
	p.backup(backup.BackupOptions{})
	start, keys := p.contents(), []*key.Key{newKey(t), newKey(t)}
	both := p.contents()
	for _, k := range keys {
		p.setCloud(start)
		r, err := backup.Open(t.Context(), &haltingStore{Store: p.store, left: 3}, p.key, p.options()) // the lock, the ring, its spare
		must(t, err)
		if err := r.Rotate(t.Context(), k); !errors.Is(err, errHalted) {
			t.Fatal(err)
		}
		r.Close()
		after := p.contents()
		for _, name := range in(after, "ring") {
			both[name] = after[name]
		}
	}
	p.setCloud(both)
	var finished []*key.Key
	for _, k := range keys {
		r, err := backup.Open(t.Context(), p.store, k, p.options())
		must(t, err)
		if r.FinishRotation(t.Context()) == nil {
			finished = append(finished, k)
		}
		r.Close()
		if len(finished) > 0 {
			break
		}
	}
	if len(finished) != 1 || len(in(p.contents(), "ring")) != 2 {
		t.Fatalf("%d keys finished, rings %v", len(finished), in(p.contents(), "ring"))
	}
	p.key = finished[0]
	for _, k := range keys {
		if !k.Equal(p.key) {
			wantWrongKey(t, "the other", p.store, k)
		}
	}
	if v := p.verify(1); v.NoSpare || len(v.Damage) > 0 {
		t.Errorf("%+v", v)
	}
}
