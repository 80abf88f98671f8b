// Package process reaches a cloud through a program of its own, keepsake-cloud:
// the libraries of the providers, a hundred modules, are not in the process that
// holds the key of the backup. The program sees ciphertext and the account at the
// provider, nothing else.
//
// [Open] starts the program as a child and speaks HTTP/2 over its standard input
// and output; [Serve] is the other end, which the program calls. The protocol is
// spec/cloud-process.md. Nothing that the child says is trusted beyond what any
// cloud.Store says: sizes, names, kinds of errors and delays are checked here.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"keepsake.example/cloud"
)

// Limits of the protocol (spec/cloud-process.md §6).
const (
	// MaxObject is the size of the largest object, in bytes: the largest pack, 40 MiB
	// (spec/backup-format.md), and room for what goes round it.
	MaxObject = 40<<20 + 64<<10
	// MaxParallel is how many uploads may be under way, whatever the traits say.
	MaxParallel = 8

	maxListed = 1 << 20 // objects in one answer of List
	maxDeaths = 5       // children that died in a row before the store gives up
)

// ErrProgram means that keepsake-cloud is missing, does not run, or is another
// program or another version. Trying again does not help.
var ErrProgram = errors.New("cloud/process: the program keepsake-cloud, which reaches clouds, cannot be used")

// ErrMissing is the ErrProgram that installing it mends.
var ErrMissing = fmt.Errorf("%w: it is neither beside this program nor in PATH", ErrProgram)

// ErrProtocol means that the child answered what the protocol does not have. It is
// ended; the next request starts another.
var ErrProtocol = errors.New("cloud/process: keepsake-cloud gave an answer that cannot be")

var errClosed = errors.New("cloud/process: the store is closed")

// Options say which program reaches which cloud.
type Options struct {
	Program string   // its path, as Find gives it
	Args    []string // its arguments; nil: serve
	// Env is its environment, "NAME=value" each; nil: that of this process.
	Env         []string
	Destination cloud.Destination
	Create      bool // make the place first when it is not there
	// LimitUpload is how fast to upload, as the person wrote it: 1M, or
	// "08:00,512k 23:00,off". "" is no limit. Read by the program.
	LimitUpload string
}

// Store is a cloud.Store in another process. When the process dies, the requests
// under way end with cloud.ErrUnreachable and the next one starts another.
type Store struct {
	options Options
	traits  cloud.Traits
	uploads chan struct{} // a place for each upload under way

	starting chan struct{} // held by who looks at the fields below
	child    *child        // nil before the first
	deaths   int           // in a row: of children without an answer since
	closed   bool

	mu    sync.Mutex
	count cloud.Counters // of children that are gone
}

// Open starts the program and has it open the destination. ctx bounds only that.
// Errors wrap ErrProgram, ErrProtocol, or what opening a cloud gives.
func Open(ctx context.Context, o Options) (*Store, error) {
	if !o.Destination.Network() {
		return nil, errors.New("cloud/process: a path needs no other process")
	}
	s := &Store{options: o, starting: make(chan struct{}, 1)}
	traits, err := s.start(ctx, o.Create)
	if err != nil {
		return nil, err
	}
	s.traits = traits
	s.uploads = make(chan struct{}, parallel(traits))
	return s, nil
}

func parallel(t cloud.Traits) int {
	if t.Parallel == 0 {
		return 2 // cloud.Traits
	}
	return t.Parallel
}

// start starts a child and keeps it. Nobody else may look at s.child meanwhile.
func (s *Store) start(ctx context.Context, create bool) (cloud.Traits, error) {
	c, err := startChild(s.options)
	if err != nil {
		return cloud.Traits{}, err
	}
	traits, err := c.open(ctx, s.options, create)
	if err != nil {
		if errors.As(err, new(*Error)) && c.err() == nil {
			s.deaths = 0 // it lives, and says what the cloud says
		}
		c.close(leaveTime)
		return cloud.Traits{}, err
	}
	s.child = c
	return traits, nil
}

// running gives the child, a new one when the last has died.
func (s *Store) running(ctx context.Context) (*child, error) {
	select {
	case s.starting <- struct{}{}:
		defer func() { <-s.starting }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case s.closed:
		return nil, errClosed
	case s.child.err() == nil:
		return s.child, nil
	case s.deaths >= maxDeaths:
		return nil, s.child.died(fmt.Sprintf("ended %d times in a row", s.deaths+1))
	}
	s.deaths++
	s.retire(s.child)
	if _, err := s.start(ctx, false); err != nil {
		return nil, err
	}
	return s.child, nil
}

// retire keeps the counters of a child that is gone, once.
func (s *Store) retire(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := c.takeCounters()
	s.count.Requests += n.Requests
	s.count.Sent += n.Sent
	s.count.Received += n.Received
}

// Close ends the child, and with it what requests are under way. It waits up to
// some seconds for the child to leave by itself.
func (s *Store) Close() error {
	s.starting <- struct{}{}
	defer func() { <-s.starting }()
	if !s.closed {
		s.closed = true
		s.child.leave()
		s.retire(s.child)
	}
	return nil
}

// Traits are those that the child's store had first.
func (s *Store) Traits() cloud.Traits { return s.traits }

// Counters are the sums over all children. Each tells with every answer; what one
// did after its last answer is not in them.
func (s *Store) Counters() cloud.Counters {
	s.starting <- struct{}{}
	defer func() { <-s.starting }()
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.child.counters()
	return cloud.Counters{
		Requests: s.count.Requests + n.Requests,
		Sent:     s.count.Sent + n.Sent,
		Received: s.count.Received + n.Received,
	}
}

// ask sends a request to the child and reads the head of the answer. Without an
// error the caller closes the answer's body.
func (s *Store) ask(ctx context.Context, method, path string, body io.ReadCloser, size int64) (*answer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := s.running(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.ask(ctx, method, path, body, size)
	if err == nil || errors.As(err, new(*Error)) && c.err() == nil {
		s.answered(c)
	}
	return a, err
}

// answered notes that a child lives.
func (s *Store) answered(c *child) {
	s.starting <- struct{}{}
	defer func() { <-s.starting }()
	if c == s.child {
		s.deaths = 0
	}
}

func objectPath(name string) string { return "/object/" + name }

// Put sends the object to the child, which stores it when it has it whole.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if err := cloud.CheckName(name); err != nil {
		return err
	}
	if size < 0 || size > MaxObject {
		return fmt.Errorf("cloud/process: an object of %d bytes", size)
	}
	select {
	case s.uploads <- struct{}{}:
		defer func() { <-s.uploads }()
	case <-ctx.Done():
		return ctx.Err()
	}
	upload := newUpload(ctx, body, size)
	if size == 0 { // without a byte to send net/http does not ask for the end
		if _, err := upload.Read(make([]byte, 1)); err != io.EOF {
			return upload.failed(err)
		}
	}
	a, err := s.ask(ctx, http.MethodPut, objectPath(name), upload, size)
	upload.stop()
	if err != nil {
		return upload.failed(err)
	}
	return a.finish()
}

// Get opens a stream from the child.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := cloud.CheckName(name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("cloud/process: reading from offset %d", offset)
	}
	length = max(length, -1)
	a, err := s.ask(ctx, http.MethodGet, fmt.Sprintf("%s?offset=%d&length=%d", objectPath(name), offset, length), nil, 0)
	if err != nil {
		return nil, err
	}
	return newDownload(a, length), nil
}

// List reads what the child lists, and calls fn for each.
func (s *Store) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	a, err := s.ask(ctx, http.MethodGet, "/list?prefix="+url.QueryEscape(prefix), nil, 0)
	if err != nil {
		return err
	}
	defer a.Close()
	return a.each(maxListed, prefix, fn)
}

// Delete has the child delete an object.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := cloud.CheckName(name); err != nil {
		return err
	}
	a, err := s.ask(ctx, http.MethodDelete, objectPath(name), nil, 0)
	if err != nil {
		return err
	}
	return a.finish()
}

// Stat asks the child about an object.
func (s *Store) Stat(ctx context.Context, name string) (cloud.Info, error) {
	if err := cloud.CheckName(name); err != nil {
		return cloud.Info{}, err
	}
	a, err := s.ask(ctx, http.MethodGet, "/stat/"+name, nil, 0)
	if err != nil {
		return cloud.Info{}, err
	}
	defer a.Close()
	info := cloud.Info{Name: "", Size: -1, ModTime: time.Time{}}
	err = a.each(1, name, func(i cloud.Info) error { info = i; return nil })
	if err == nil && info.Name != name {
		err = a.broken("it describes another object than was asked for")
	}
	return info, err
}
