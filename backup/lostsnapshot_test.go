package backup_test

import (
	"errors"
	"testing"
	"time"

	"keepsake.example/backup"
)

// A snapshot that cannot be read is never silently replaced by an older one.
func TestUnreadableSnapshotIsSaid(t *testing.T) {
	p := newPhone(t)
	var ids []string
	var times []time.Time
	for day := range 3 {
		p.write("Media/one.jpg", []byte{byte(day)})
		s := p.backup(backup.BackupOptions{}).Snapshot
		ids, times = append(ids, s.ID), append(times, s.Time)
	}
	p.mark = backup.Mark{}
	name := func(i int) string { return "snap/" + ids[i] }
	spoil := func(i int) (restore func()) {
		whole := p.contents()[name(i)]
		p.put(name(i), flipped(whole, len(whole)/2))
		return func() { p.put(name(i), whole) }
	}
	find := func(older bool, ref string, at time.Time) (string, error) {
		t.Helper()
		r, err := backup.Open(t.Context(), p.store, p.key, backup.Options{OlderState: older})
		must(t, err)
		defer r.Close()
		s, err := r.Find(ref, at)
		return s.ID, err
	}
	wantLost := func(what string, err error, before string) {
		t.Helper()
		var lost *backup.LostSnapshotError
		if !errors.As(err, &lost) || !errors.Is(err, backup.ErrDamaged) || (lost.Before == nil) != (before == "") || before != "" && lost.Before.ID != before {
			t.Errorf("%s: %v (%+v), want a lost snapshot, with %.8s before it", what, err, lost, before)
		}
	}
	wantFound := func(what, id string, err error, want string) {
		t.Helper()
		if err != nil || id != want {
			t.Errorf("%s: %.8s, %v, want %.8s", what, id, err, want)
		}
	}

	whole := spoil(2)
	_, err := find(false, "", time.Time{})
	wantLost("the newest is damaged", err, ids[1])
	_, err = find(false, "latest", time.Now())
	wantLost("the newest up to now is damaged", err, ids[1])
	_, err = find(false, ids[2][:8], time.Time{})
	wantLost("the one asked for is damaged", err, "")
	id, err := find(false, ids[1], time.Time{})
	wantFound("another is asked for", id, err, ids[1])
	id, err = find(true, "", time.Time{})
	wantFound("an older state is allowed", id, err, ids[1])
	whole()

	whole = spoil(1)
	id, err = find(false, "", time.Time{})
	wantFound("one in the middle is damaged", id, err, ids[2])
	_, err = find(false, "", times[1])
	wantLost("the one of that time is damaged", err, ids[0])
	whole()

	for i := range ids {
		defer spoil(i)()
	}
	_, err = find(false, "", time.Time{})
	wantLost("all are damaged", err, "")
	_, err = find(true, "", time.Time{})
	wantLost("all are damaged, and an older state is allowed", err, "")
}
