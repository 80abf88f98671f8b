package rclone

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"

	"keepsake.example/cloud"
)

// known is what a Store remembers of its cloud: the objects listings and its
// own Puts gave, which spares looking them up before they are read or
// removed; and what it changed so lately that the cloud may not show it.
type known struct {
	lag time.Duration

	mu      sync.Mutex
	entries map[string]entry
	mine    map[string]change // empty where nothing lags
}

// An entry is the objects of one name, the one that stands for it first.
type entry struct {
	objects []fs.Object
	at      time.Time
	listed  bool // by a listing, which shows all of one name
}

type change struct {
	at   time.Time
	info cloud.Info
	gone bool
}

func newKnown(lag time.Duration) *known {
	return &known{lag: lag, entries: make(map[string]entry), mine: make(map[string]change)}
}

func (k *known) put(o fs.Object, info cloud.Info) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.entries[info.Name] = entry{objects: []fs.Object{o}, at: now}
	k.remember(info.Name, change{at: now, info: info})
}

func (k *known) deleted(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.entries, name)
	k.remember(name, change{at: time.Now(), gone: true})
}

func (k *known) remember(name string, c change) {
	if k.lag > 0 {
		k.mine[name] = c
	}
}

// found remembers what a lookup gave.
func (k *known) found(name string, objects []fs.Object) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries[name] = entry{objects: objects, at: time.Now()}
}

// forget is for objects that must be looked up anew.
func (k *known) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.entries, name)
}

// lost is for objects of which the cloud said, asked for themselves and not
// for their name, that they are gone: also for one put a moment ago.
func (k *known) lost(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.entries, name)
	delete(k.mine, name)
}

// forgetObjects is for a session that ended: objects belong to one.
func (k *known) forgetObjects() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.entries)
}

func (k *known) get(name string) (entry, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.entries[name]
	return e, ok
}

// lately is what this Store did to name, if the cloud may not show it yet.
func (k *known) lately(name string) (change, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fresh(name)
}

func (k *known) fresh(name string) (change, bool) {
	c, ok := k.mine[name]
	if ok && time.Since(c.at) > k.lag {
		delete(k.mine, name)
		return change{}, false
	}
	return c, ok
}

// merge makes of a complete listing of the names for which within holds,
// begun at started, what it should have been: this Store's own changes in it.
func (k *known) merge(ctx context.Context, started time.Time, found map[string][]fs.Object, within func(string) bool) []cloud.Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, e := range k.entries {
		if found[name] != nil || !e.at.Before(started) || !within(name) {
			continue
		}
		if c, ok := k.fresh(name); !ok || c.gone { // else it is ours, and too new to be shown
			delete(k.entries, name)
		}
	}
	infos := make([]cloud.Info, 0, len(found))
	for name, objects := range found {
		if c, ok := k.fresh(name); ok && c.gone {
			continue
		}
		k.entries[name] = entry{objects: objects, at: started, listed: true}
		infos = append(infos, describe(ctx, name, objects[0]))
	}
	for name := range k.mine {
		if c, ok := k.fresh(name); ok && !c.gone && found[name] == nil && within(name) {
			infos = append(infos, c.info)
		}
	}
	return infos
}

// describe drops what is below a second of the time: S3 tells more of it in
// listings than elsewhere.
func describe(ctx context.Context, name string, o fs.Object) cloud.Info {
	return cloud.Info{Name: name, Size: o.Size(), ModTime: o.ModTime(ctx).Truncate(time.Second)}
}

// rank puts the object that stands for a name first, the same for every
// device: the largest, because one may be cut short, and the oldest of those.
// Two entries for one object, which a listing in pages may give, become one.
func rank(ctx context.Context, objects []fs.Object) []fs.Object {
	if len(objects) < 2 {
		return objects
	}
	slices.SortStableFunc(objects, func(a, b fs.Object) int {
		return cmp.Or(cmp.Compare(b.Size(), a.Size()), a.ModTime(ctx).Compare(b.ModTime(ctx)), strings.Compare(identity(a), identity(b)))
	})
	return slices.CompactFunc(objects, func(a, b fs.Object) bool { return identity(a) == identity(b) })
}

// identity tells objects of one name apart, where a cloud has such.
func identity(o fs.Object) string {
	if i, ok := o.(fs.IDer); ok {
		return i.ID()
	}
	return ""
}
