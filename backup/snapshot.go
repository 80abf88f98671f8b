package backup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Snapshot describes one state of the chat folder in the repository.
type Snapshot struct {
	ID       string    `json:"id"`
	Seq      uint64    `json:"seq"` // of the head that committed it
	Time     time.Time `json:"time"`
	Source   string    `json:"source"` // the folder it was made from
	Device   string    `json:"device"`
	Files    int       `json:"files"`
	Dirs     int       `json:"dirs"`
	Links    int       `json:"links"`
	Bytes    int64     `json:"bytes"` // of all files
	New      int       `json:"new"`   // files, against the snapshot before: of this device and folder, or, when it is the first, the newest of any
	Changed  int       `json:"changed"`
	Removed  int       `json:"removed"`
	Unread   int       `json:"unread"`   // files that could not be read as they were
	Uploaded int64     `json:"uploaded"` // bytes of packs written for it

	id       ID
	parent   ID
	packs    []ID // what runs count in
	segments []run
}

// A NotFoundError says which snapshot was asked for. It is ErrNotFound.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string { return "backup: " + e.What }

// Is reports that every NotFoundError is ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// ErrNoSnapshot is a NotFoundError: no backup has ever been finished here.
var ErrNoSnapshot error = &NotFoundError{"there is no snapshot yet"}

const maxString = 4096

func (s *Snapshot) marshal(device ID) []byte {
	var w wireWriter
	w.u64(s.Seq)
	w.i64(s.Time.UnixNano())
	w.id(device)
	w.id(s.parent)
	w.str(s.Source)
	for _, n := range []int64{int64(s.Files), int64(s.Dirs), int64(s.Links), s.Bytes, int64(s.New), int64(s.Changed), int64(s.Removed), int64(s.Unread), s.Uploaded} {
		w.uvarint(uint64(n))
	}
	w.ids(s.packs)
	appendRuns(&w, s.segments)
	return w.b
}

func (s *Snapshot) unmarshal(payload []byte) error {
	r := wireReader{b: payload}
	s.Seq = r.u64()
	s.Time = time.Unix(0, r.i64()).UTC()
	s.Device = r.id().String()
	s.parent = r.id()
	s.Source = r.str(maxString)
	const most = 1 << 62
	for _, p := range []*int{&s.Files, &s.Dirs, &s.Links} {
		*p = int(r.upTo(most))
	}
	s.Bytes = int64(r.upTo(most))
	for _, p := range []*int{&s.New, &s.Changed, &s.Removed, &s.Unread} {
		*p = int(r.upTo(most))
	}
	s.Uploaded = int64(r.upTo(most))
	s.packs = r.ids(1 << 20)
	s.segments = readRuns(&r, len(s.packs))
	for _, seg := range s.segments {
		if seg.pack == 0 {
			r.fail() // a manifest of zeros
		}
	}
	return r.end()
}

// Find returns the snapshot that ref and at name. ref is an id or the start of one, or "" or "latest" for the newest; at,
// when it is not zero, leaves only snapshots made then or before. It fails with a NotFoundError, or with a LostSnapshotError when the
// one that is meant, or may be, cannot be read: an older one is taken in its place only with Options.OlderState.
func (r *Repo) Find(ref string, at time.Time) (Snapshot, error) {
	var found []*Snapshot
	for _, s := range r.snapshots {
		named := ref == "" || ref == "latest" || strings.HasPrefix(s.ID, strings.ToLower(ref))
		if named && (at.IsZero() || !s.Time.After(at)) {
			found = append(found, s)
		}
	}
	var best *Snapshot
	if len(found) > 0 {
		best = slices.MaxFunc(found, bySeq)
	}
	if lost := r.lost(ref, best); lost != nil {
		return Snapshot{}, lost
	}
	switch {
	case len(found) == 0 && len(r.snapshots) == 0:
		return Snapshot{}, ErrNoSnapshot
	case len(found) == 0 && !at.IsZero():
		return Snapshot{}, &NotFoundError{fmt.Sprintf("no snapshot %.40q at or before %s", ref, at.Format(time.RFC3339))}
	case len(found) == 0:
		return Snapshot{}, &NotFoundError{fmt.Sprintf("no snapshot %.40q", ref)}
	case len(found) > 1 && ref != "" && ref != "latest":
		return Snapshot{}, &NotFoundError{fmt.Sprintf("%.40q begins the ids of %d snapshots: give more digits", ref, len(found))}
	}
	return *best, nil
}

// lost finds out whether a snapshot that cannot be read is the one that ref means: by its id, or, for the newest, because the head
// names it right after the best that can be read.
func (r *Repo) lost(ref string, best *Snapshot) error {
	newest := ref == "" || ref == "latest"
	after := best == nil
	for _, id := range r.state.snapshots {
		if best != nil && id == best.id {
			after = true
			continue
		}
		d := r.damageOf(objectName(kindSnapshot, id))
		switch {
		case d != nil && !newest && best == nil && strings.HasPrefix(id.String(), strings.ToLower(ref)):
			return &LostSnapshotError{Damage: d}
		case !newest || !after || r.opts.OlderState && best != nil:
		case d != nil:
			return &LostSnapshotError{Damage: d, Before: best}
		case best != nil:
			return nil // the next one can be read, and is not wanted
		}
	}
	return nil
}

// damageOf is what was found on opening of an object, nil if nothing was.
func (r *Repo) damageOf(object string) *DamageError {
	for _, d := range r.damage {
		if d.Object == object {
			return d
		}
	}
	return nil
}

func bySeq(a, b *Snapshot) int {
	return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID))
}

// Snapshots lists the snapshots, oldest first.
func (r *Repo) Snapshots() []Snapshot {
	out := make([]Snapshot, len(r.snapshots))
	for i, s := range r.snapshots {
		out[i] = *s
	}
	return out
}

// snapshot finds a loaded snapshot by its full id.
func (r *Repo) snapshot(id string) (*Snapshot, error) {
	for _, s := range r.snapshots {
		if s.ID == id {
			return s, nil
		}
	}
	return nil, &NotFoundError{fmt.Sprintf("no snapshot %.40q", id)}
}
