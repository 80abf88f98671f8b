package client

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/cloud/process"
	"keepsake.example/cloud/retry"
)

// place gives a destination as a profile holds it: a path absolute, all others in
// their one form.
func place(destination string) (string, error) {
	d, err := cloud.ParseDestination(destination)
	if err != nil {
		return "", err
	}
	if !d.Network() {
		return absolute(destination), nil
	}
	return d.String(), nil
}

// isPlace says whether place would leave text as it is.
func isPlace(text string) bool {
	d, err := cloud.ParseDestination(text)
	return err == nil && d.String() == text && (d.Network() || filepath.IsAbs(text))
}

// reach opens the store at a destination. The caller ends it with release.
func (c *Client) reach(ctx context.Context, destination string, create bool) (cloud.Store, error) {
	where, err := place(destination)
	if err != nil {
		return nil, err
	}
	return c.s.OpenCloud(ctx, where, create)
}

// release ends what reach gave: the child of a network's store.
func release(s cloud.Store) {
	if s, ok := s.(io.Closer); ok {
		s.Close() // nothing is lost: every object was acknowledged by itself
	}
}

// openCloud is the OpenCloud of a Client that was given none.
func (c *Client) openCloud(ctx context.Context, destination string, create bool) (cloud.Store, error) {
	d, err := cloud.ParseDestination(destination)
	switch {
	case err != nil:
		return nil, err
	case d.Network():
		return c.openNetwork(ctx, d, create)
	case create:
		return dir.Create(destination)
	}
	return dir.Open(destination)
}

// network is a store that is reached through another process, and asked again when
// that helps.
type network struct {
	*retry.Store
	under *process.Store
}

func (n network) Close() error             { return n.under.Close() }
func (n network) Counters() cloud.Counters { return n.under.Counters() }

func (c *Client) openNetwork(ctx context.Context, d cloud.Destination, create bool) (cloud.Store, error) {
	find := c.s.CloudProgram
	if find == nil {
		find = process.Find
	}
	program, err := find()
	if err != nil {
		return nil, err
	}
	o := &outage{tell: c.s.Waiting}
	again := c.again(o)
	var s *process.Store
	err = retry.Do(ctx, again, func() (err error) {
		s, err = process.Open(ctx, process.Options{Program: program, Destination: d, Create: create, LimitUpload: c.s.LimitUpload})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", d, err)
	}
	return network{retry.New(s, again), s}, nil
}

// again says how requests are tried again. Who has said for how long means the first request too.
func (c *Client) again(o *outage) retry.Options {
	return retry.Options{Patience: c.s.Patience, Connect: max(c.s.Patience, 0), Waiting: o.waiting, Resumed: o.over}
}

// outage tells once, when waiting takes long enough to be noticed, that there is one.
type outage struct {
	tell func(text string)
	mu   sync.Mutex
	told bool
}

// patiently tells the person, when opening at a cloud whose listings lag takes long, why
// it may. The caller stops it when that is over.
func (c *Client) patiently(s cloud.Store) (stop func() bool) {
	lag := cloud.TraitsOf(s).Lag
	if lag == 0 || c.s.Waiting == nil {
		return func() bool { return false }
	}
	return time.AfterFunc(cmp.Or(c.s.notice, longOpening), func() {
		c.s.Waiting(fmt.Sprintf("this cloud may show only %v later what another device has written; looking again until then", lag))
	}).Stop
}

// longOpening is how long opening may take unexplained.
const longOpening = 10 * time.Second

// noticed is how long waiting may take that nobody is told of, and quietly how many attempts
// may fail: waits are drawn by chance, and may all be short. Of an attempt that took so long in vain
// that somebody who watches has wondered, she is told too.
const (
	noticed  = 3 * time.Second
	quietly  = 3
	wondered = 30 * time.Second
)

func (o *outage) waiting(w retry.Wait) {
	o.mu.Lock()
	defer o.mu.Unlock()
	soon := w.Failed <= quietly && w.Took < wondered && w.Tried+w.After < noticed
	if o.tell == nil || o.told || soon {
		return
	}
	o.told = true
	o.tell(fmt.Sprintf("%v; trying again for %s", w.Err, w.Left.Round(time.Second)))
}

func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = false
}

// cloudFolder is a destination among folders that must lie apart.
func cloudFolder(name, destination string) folder {
	d, err := cloud.ParseDestination(destination)
	if err != nil || !d.Network() {
		return folder{name: name, path: destination}
	}
	return folder{name: name, path: destination, network: &d}
}

// apart checks that neither of two folders lies inside the other. A backup of
// itself would grow with every run; a restore into the cloud folder would be
// taken for damage.
func apart(a, b folder) error {
	inside := within
	switch {
	case a.network != nil && b.network != nil:
		inside = func(inner, outer string) bool { return inner == outer || strings.HasPrefix(inner, outer) }
	case a.network != nil || b.network != nil:
		return nil
	}
	ra, rb := a.resolved(), b.resolved()
	if inside(ra, rb) {
		return &OverlapError{Inner: a.path, Outer: b.path, InnerName: a.name, OuterName: b.name}
	}
	if inside(rb, ra) {
		return &OverlapError{Inner: b.path, Outer: a.path, InnerName: b.name, OuterName: a.name}
	}
	return nil
}

// resolved is a text in which what lies inside begins with what it lies in.
func (f folder) resolved() string {
	if f.network == nil {
		return resolve(f.path)
	}
	return strings.TrimSuffix(f.network.String(), "/") + "/"
}
