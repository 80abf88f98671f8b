package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"keepsake.example/cloud"
)

const (
	lockLife    = 30 * time.Minute // a lock of another device that old is taken for left over
	lockRenewal = 10 * time.Minute
)

// A lock keeps other devices from writing, spec §9.
type lock struct {
	r     *Repo
	what  string
	mu    sync.Mutex
	name  string
	since time.Time // by the store's clock

	placed    time.Time // when the first lock of this run was there, by our clock
	before    []string  // where listings lag: the lock that name has replaced, which stays until everybody must see name
	replacing bool      // the run replaces key rings
	release   sync.Once
	stop      context.CancelFunc
	done      chan struct{}
}

// lock puts a lock or fails with a LockedError.
func (r *Repo) lock(ctx context.Context, what string) (*lock, error) {
	l := &lock{r: r, what: what, done: make(chan struct{})}
	if err := l.put(ctx); err != nil {
		return nil, err
	}
	l.placed = time.Now()
	if err := l.first(ctx); err != nil {
		l.remove()
		return nil, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	aside(func() { l.renew(renewing) })
	return l, nil
}

func (l *lock) put(ctx context.Context) error {
	id := newID()
	var w wireWriter
	w.id(l.r.device)
	w.i64(l.r.opts.Now().UnixNano())
	w.str(l.what)
	name := objectName(kindLock, id)
	if err := l.r.writeSmall(ctx, kindLock, id, name, w.b); err != nil {
		return err
	}
	l.name = name
	return nil
}

// first looks at the locks once ours is there. The listing says when that was, by the store's clock.
func (l *lock) first(ctx context.Context) error {
	list, err := listFolder(ctx, l.r.store, kinds[kindLock].folder)
	if err != nil {
		return fmt.Errorf("listing locks: %w", err)
	}
	if i := slices.IndexFunc(list, func(info cloud.Info) bool { return info.Name == l.name }); i >= 0 {
		l.since = list[i].ModTime
	} else if info, err := l.r.store.Stat(ctx, l.name); err == nil {
		l.since = info.ModTime
	} else {
		return fmt.Errorf("looking at our lock: %w", err)
	}
	return l.checkOthers(ctx, list)
}

// checkOthers clears away left-over locks and fails if another device holds one. A lock that is listed and not there was removed; on a store that lags it may as
// well be so new that the listing shows it and a look by name does not: if it was put before ours, settle sees it, and if after, its owner sees ours.
func (l *lock) checkOthers(ctx context.Context, list []cloud.Info) error {
	l.mu.Lock()
	ours := l.name
	l.mu.Unlock()
	for _, info := range list {
		if info.Name == ours {
			continue
		}
		held, gone := l.r.readLock(ctx, info)
		if gone {
			continue
		}
		own := held.Device == l.r.device.String()
		if !own && l.since.Sub(info.ModTime) < lockLife {
			return held
		}
		if !own {
			l.r.reclaimed = true
		}
		if err := l.r.store.Delete(ctx, info.Name); err != nil && !errors.Is(err, cloud.ErrNotExist) {
			return fmt.Errorf("removing a left-over lock: %w", err)
		}
	}
	return nil
}

// readLock describes a lock; one that cannot be read is held by someone unknown. gone says that it is not there.
func (r *Repo) readLock(ctx context.Context, info cloud.Info) (held *LockedError, gone bool) {
	unknown := &LockedError{Device: "unknown", Since: info.ModTime, What: "something"}
	k, _, id, err := splitName(info.Name)
	if err != nil || k != kindLock {
		return unknown, false
	}
	payload, err := r.readSmall(ctx, kindLock, id, info.Name)
	if err != nil {
		return unknown, isMissing(err)
	}
	rd := wireReader{b: payload}
	held = &LockedError{Device: rd.id().String(), Since: time.Unix(0, rd.i64()), What: rd.str(256)}
	if rd.end() != nil {
		return unknown, false
	}
	return held, false
}

// renew replaces the lock by a younger one now and then. A failure is left for the next time: the run itself will fail soon enough.
func (l *lock) renew(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(lockRenewal)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.replace(ctx)
		}
	}
}

func (l *lock) replace(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := []string{l.name}
	if l.put(ctx) != nil {
		return
	}
	if l.r.lag > 0 {
		old, l.before = l.before, old
	}
	for _, name := range old {
		l.r.store.Delete(ctx, name)
	}
}

// unlock removes the lock, once. It works after the run was interrupted, for ten seconds; what stays then is cleared by this device's next run.
func (l *lock) unlock() {
	l.release.Do(func() {
		l.stop()
		<-l.done
		l.remove()
	})
}

func (l *lock) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range append(l.before, l.name) {
		l.r.store.Delete(ctx, name)
	}
}
