package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/cloud"
)

const (
	lockLife    = 30 * time.Minute // a lock of another device that old is taken for left over
	lockRenewal = 10 * time.Minute
	lockDoubt   = lockLife / 2 // a lock of our own that old may be gone: the device slept, or the renewals fail
)

// A lock keeps other devices from writing, spec §9.
type lock struct {
	r     *Repo
	what  string
	mu    sync.Mutex
	name  string
	since time.Time // by the store's clock

	// renewed is just before the newest lock was put, by the wall clock: the one that measures spans, and the timers with it, stand still
	// while the device sleeps, and another may take the lock over meanwhile.
	renewed atomic.Int64 // as Unix time in ns
	lost    error        // that is what happened

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
	if err := l.renewNow(ctx); err != nil {
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

// put puts a lock, and says when it began to.
func (l *lock) put(ctx context.Context) (name string, began time.Time, err error) {
	id, now := newID(), l.r.wall()
	var w wireWriter
	w.id(l.r.device)
	w.i64(now.UnixNano())
	w.str(l.what)
	name = objectName(kindLock, id)
	return name, now, l.r.writeSmall(ctx, kindLock, id, name, w.b)
}

// renewNow makes a new lock the run's.
func (l *lock) renewNow(ctx context.Context) error {
	name, began, err := l.put(ctx)
	if err == nil {
		l.name = name
		l.renewed.Store(began.UnixNano())
	}
	return err
}

// wall is the time of day, without what Go keeps beside it for measuring spans.
func (r *Repo) wall() time.Time { return r.opts.Now().Round(0) }

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
	return l.clear(ctx, list, ours)
}

func (l *lock) clear(ctx context.Context, list []cloud.Info, ours string) error {
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
	if l.lost != nil || l.doubtful() {
		l.regain(ctx)
		return
	}
	old := []string{l.name}
	if l.renewNow(ctx) != nil {
		return
	}
	if l.r.lag > 0 {
		old, l.before = l.before, old
	}
	for _, name := range old {
		l.r.store.Delete(ctx, name)
	}
}

// doubtful reports whether more time has passed since the lock was put than a renewal takes.
func (l *lock) doubtful() bool {
	age := time.Duration(l.r.wall().UnixNano() - l.renewed.Load())
	return age < 0 || age > lockDoubt
}

// regain makes a lock sure that was not renewed in time. It fails with a LockedError, from then on, if another device has taken it over: ours is not
// listed any more, or another's is. The new one is there before that look, so who comes later sees it.
func (l *lock) regain(ctx context.Context) error {
	if l.lost != nil {
		return l.lost
	}
	name, began, err := l.put(ctx)
	if err != nil {
		return fmt.Errorf("renewing the lock: %w", err)
	}
	err = sleep(ctx, 2*l.r.lag) // whoever could not see it yet has put his own by the first, which is shown by the second
	var list []cloud.Info
	if err == nil {
		list, err = listFolder(ctx, l.r.store, kinds[kindLock].folder)
	}
	there := slices.ContainsFunc(list, func(info cloud.Info) bool { return info.Name == l.name })
	if err == nil {
		err = l.clear(ctx, list, name)
	}
	if err == nil && !there {
		err = l.takenOver()
	}
	if err == nil {
		l.name = name
		l.renewed.Store(began.UnixNano())
		return nil
	}
	l.before = append(l.before, name) // to be removed
	if errors.Is(err, ErrLocked) {
		l.lost = err
	}
	return fmt.Errorf("renewing the lock: %w", err)
}

func (l *lock) takenOver() error {
	return &LockedError{Device: "unknown", Since: time.Unix(0, l.renewed.Load()), What: "it took this run's lock over, not renewed"}
}

// awake fails with a LockedError if this device slept and another has taken its lock over. It asks nothing of the cloud unless the lock was not
// renewed in time.
func (l *lock) awake(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost != nil || l.doubtful() {
		return l.regain(ctx)
	}
	return nil
}

// held is awake before what cannot be taken back, and looks each time where that is no request.
func (l *lock) held(ctx context.Context) error {
	if err := l.awake(ctx); err != nil || l.r.remote {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.r.store.Stat(ctx, l.name)
	if errors.Is(err, cloud.ErrNotExist) {
		l.lost = l.takenOver()
		return l.lost
	}
	if err != nil {
		return fmt.Errorf("looking at our lock: %w", err)
	}
	return nil
}

// errSlept stops a request that went on when the device woke.
var errSlept = errors.New("backup: the device slept")

// commit stores what makes a run's work count, a head or a ring, while the lock is ours. A layer below that tries again and again reads the object each time, and
// is stopped there once the lock is in doubt: the network goes before the device sleeps, and comes back after it.
func (l *lock) commit(ctx context.Context, name string, object []byte) error {
	for {
		if err := l.held(ctx); err != nil {
			return err
		}
		err := putBody(ctx, l.r.store, name, &wakeful{bytes.NewReader(object), l, ctx}, object)
		if err == nil || !l.doubtful() || ctx.Err() != nil {
			return err
		}
	}
}

// A wakeful reader reads while the lock is not in doubt.
type wakeful struct {
	io.ReadSeeker
	l   *lock
	ctx context.Context
}

func (w *wakeful) Read(p []byte) (int, error) {
	if w.l.r.remote && w.l.doubtful() {
		return 0, errSlept // no request within a request: there may be one at a time
	}
	if !w.l.r.remote {
		if err := w.l.held(w.ctx); err != nil {
			return 0, err
		}
	}
	return w.ReadSeeker.Read(p)
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
