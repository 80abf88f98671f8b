package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// A network is a cloud far away, in virtual time: each request takes a round trip and the time its bytes need. As tests run in a synctest bubble,
// where computing takes no time, the time that an operation takes is that of its longest chain of requests, to the nanosecond.
type network struct {
	trip      time.Duration // of a request
	perSecond int64         // bytes on all connections together; 0: any number
	traits    cloud.Traits
	double    bool // listings say everything twice
	exact     bool // a look by name does not lag
	fail      func(method, name string) error

	mu      sync.Mutex
	objects map[string]*kept
	clock   time.Time // where the next bubble begins
	free    time.Time // when the line is
	asked   []request
}

// A kept object remembers who put and who deleted it: a handle sees its own doings at once, and those of others when the lag is over.
type kept struct {
	data         []byte
	put, deleted time.Time // deleted is zero while it is there
	by, deleter  *handle
}

// A request is one call of a store.
type request struct {
	method, name string // Put, Get, List, Delete, Stat; a listing's name is its folder
	bytes        int64
	at           time.Time
}

func newNetwork(traits cloud.Traits) *network {
	return &network{trip: 100 * time.Millisecond, traits: traits, objects: make(map[string]*kept)}
}

// far are the traits of a network without lag.
var far = cloud.Traits{Parallel: 4}

// A handle is the network as one process sees it.
type handle struct{ n *network }

func (n *network) handle() *handle { return &handle{n} }

func (h *handle) Traits() cloud.Traits { return h.n.traits }

// request takes a request's time and counts it.
func (h *handle) request(ctx context.Context, method, name string, size int64) error {
	n := h.n
	n.mu.Lock()
	n.asked = append(n.asked, request{method, name, size, time.Now()})
	wait := n.trip
	if n.perSecond > 0 {
		now := time.Now()
		if n.free.Before(now) {
			n.free = now
		}
		n.free = n.free.Add(time.Duration(size * int64(time.Second) / n.perSecond))
		wait += n.free.Sub(now)
	}
	fail := n.fail
	n.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	if fail != nil {
		return fail(method, name)
	}
	return nil
}

// shows reports whether the handle sees the object, and whether that is old news: it was deleted.
func (h *handle) shows(o *kept) (there, ghost bool) {
	lag := h.n.traits.Lag
	if o.by != h && time.Since(o.put) < lag {
		return false, false
	}
	if o.deleted.IsZero() {
		return true, false
	}
	late := o.deleter != h && time.Since(o.deleted) < lag
	return late, late
}

func (h *handle) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	b, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if err := h.request(ctx, "Put", name, size); err != nil {
		return err
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	if o := h.n.objects[name]; (o != nil && o.deleted.IsZero()) || int64(len(b)) != size {
		return cloud.ErrExist
	}
	h.n.objects[name] = &kept{data: b, put: time.Now(), by: h}
	return nil
}

// find looks an object up by name; one that was deleted is gone for its readers, late or not.
func (h *handle) find(name string) (*kept, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	o := h.n.objects[name]
	if o == nil {
		return nil, cloud.ErrNotExist
	}
	there, ghost := h.shows(o)
	if h.n.exact {
		there, ghost = o.deleted.IsZero(), false
	}
	if !there || ghost {
		return nil, cloud.ErrNotExist
	}
	return o, nil
}

func (h *handle) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := h.find(name)
	size := int64(0)
	if err == nil {
		if size = max(0, int64(len(o.data))-offset); length >= 0 {
			size = min(size, length)
		}
	}
	if err := h.request(ctx, "Get", name, size); err != nil {
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if offset > int64(len(o.data)) || (length >= 0 && offset+length > int64(len(o.data))) {
		return nil, io.ErrUnexpectedEOF
	}
	return io.NopCloser(bytes.NewReader(o.data[offset : offset+size])), nil
}

func (h *handle) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if err := h.request(ctx, "List", prefix, 0); err != nil {
		return err
	}
	var infos []cloud.Info
	h.n.mu.Lock()
	for name, o := range h.n.objects {
		if there, _ := h.shows(o); there && strings.HasPrefix(name, prefix) {
			infos = append(infos, cloud.Info{Name: name, Size: int64(len(o.data)), ModTime: o.put})
		}
	}
	h.n.mu.Unlock()
	if h.n.double {
		infos = append(infos, infos...)
	}
	for _, info := range infos {
		if err := fn(info); err != nil {
			return err
		}
	}
	return nil
}

func (h *handle) Delete(ctx context.Context, name string) error {
	if err := h.request(ctx, "Delete", name, 0); err != nil {
		return err
	}
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	o := h.n.objects[name]
	if o == nil || !o.deleted.IsZero() {
		return cloud.ErrNotExist
	}
	o.deleted, o.deleter = time.Now(), h
	return nil
}

func (h *handle) Stat(ctx context.Context, name string) (cloud.Info, error) {
	o, err := h.find(name)
	if err := h.request(ctx, "Stat", name, 0); err != nil {
		return cloud.Info{}, err
	}
	if err != nil {
		return cloud.Info{}, err
	}
	return cloud.Info{Name: name, Size: int64(len(o.data)), ModTime: o.put}, nil
}

// names lists what is there in truth, in one folder.
func (n *network) names(folder string) (names []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, o := range n.objects {
		if strings.HasPrefix(name, folder) && o.deleted.IsZero() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// during runs fn in a bubble that begins where the last one ended, and says what it asked and how long it took.
func (n *network) during(t *testing.T, fn func(t *testing.T)) (asked []request, took time.Duration) {
	t.Helper()
	from := len(n.asked)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(n.clock))
		began := time.Now()
		fn(t)
		took = time.Since(began)
		n.clock = time.Now().Add(time.Minute) // whatever was put is shown by then
	})
	return n.asked[from:], took
}

// count tells requests by method and folder.
func count(asked []request) map[string]int {
	c := make(map[string]int)
	for _, a := range asked {
		folder, _, _ := strings.Cut(a.name, "/")
		c[a.method+" "+folder]++
	}
	return c
}

func counted(asked []request) string {
	c := count(asked)
	var out []string
	for _, what := range slices.Sorted(maps.Keys(c)) {
		out = append(out, fmt.Sprintf("%s %d", what, c[what]))
	}
	return fmt.Sprintf("%d requests: %s", len(asked), strings.Join(out, ", "))
}

func bytesOf(asked []request, method, folder string) (total int64) {
	for _, a := range asked {
		if a.method == method && strings.HasPrefix(a.name, folder) {
			total += a.bytes
		}
	}
	return total
}

// remote moves a phone to the network, where it makes a repository.
func (p *phone) remote(n *network) {
	p.t.Helper()
	backup.Warm()
	p.onNetwork(n, func() {
		_, err := backup.Create(p.t.Context(), p.store, p.key, time.Now())
		must(p.t, err)
	})
}

// onNetwork runs fn as a new process of this phone.
func (p *phone) onNetwork(n *network, fn func()) (asked []request, took time.Duration) {
	p.t.Helper()
	outer := p.t
	defer func() { p.t = outer }()
	return n.during(outer.(*testing.T), func(t *testing.T) {
		p.t, p.store = t, n.handle()
		fn()
	})
}

// snap is a backup by a new process, as the command does it.
func (p *phone) snap(n *network) (res *backup.BackupResult, asked []request, took time.Duration) {
	p.t.Helper()
	asked, took = p.onNetwork(n, func() { res = p.snapNow() })
	return res, asked, took
}

// snapNow is snap inside a bubble.
func (p *phone) snapNow() *backup.BackupResult {
	p.t.Helper()
	res, err := p.trySnap()
	must(p.t, err)
	return res
}

func (p *phone) trySnap() (*backup.BackupResult, error) {
	o := p.options()
	o.Deferred = true
	r, err := backup.Open(p.t.Context(), p.store, p.key, o)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	res, err := r.Backup(p.t.Context(), backup.BackupOptions{Source: p.chats})
	if p.mark = r.Mark(); err == nil && len(res.Problems) > 0 {
		err = errors.New(res.Problems[0].What)
	}
	return res, err
}
