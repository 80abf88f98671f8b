// Package rclone keeps a cloud where rclone (github.com/rclone/rclone) can
// reach one: Google Drive, iCloud Drive, S3, WebDAV, SFTP, Dropbox, OneDrive,
// Backblaze B2, a folder. No cloud's protocol is written here: rclone's back
// ends are asked to put, open, list, move and remove, and what each of them is
// like stands in one table (kinds.go). Neither rclone's sync nor its virtual
// file system is used.
//
// The layout is that of package dir: a folder for each of [cloud.Folders], in
// them an object under its own name, and beside them the file [cloud.Marker],
// without which nothing is believed: an absent object is absent, and an empty
// listing empty, only while the marker is there.
//
// Where a cloud shows an object when its last byte has come, Put sends it
// under its name. Where a server writes in place (WebDAV, SFTP, a folder) it
// is sent under a temporary leaf with a dot in it, which [cloud.CheckName]
// refuses and no method shows, and then moved. A process killed on the way
// leaves the temporary, which a listing finds and removes when it is a day
// older than the newest thing in its folder, by the cloud's own clock.
//
// What the Store itself wrote or deleted it shows from memory for as long as
// the cloud's listings may lag; an object of two copies (Google Drive keeps
// as many files of one name as are sent) is listed once, and deleted wholly.
//
// rclone's configuration is one for the whole process: Open changes its
// timeouts, user agent, proxy, certificates and log level. rclone's own
// configuration file and its RCLONE_ variables are not read, but by
// FromRemote. Nothing the cloud says is trusted: see package cloud.
package rclone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"

	"keepsake.example/cloud"
)

// Config says which cloud a store is in, and how to speak to it.
type Config struct {
	// Backend is rclone's name of the kind: drive, iclouddrive, s3, webdav,
	// sftp, dropbox, onedrive, b2, local.
	Backend string
	// Root is the folder below what the account shows, or bucket/prefix.
	Root string
	// Options are rclone's own, by its own names; secrets rclone keeps
	// obscured (pass, password) are expected obscured.
	Options map[string]string
	// Mapper, if not nil, is asked for options before Options, and told of
	// those the back end changes, such as a token it refreshed. It may be
	// used by several goroutines at once.
	Mapper configmap.Mapper
	// Login is what "keepsake cloud login" would be told to sign in anew, for
	// the text of errors: "gdrive@work". It also keeps the accounts of one
	// process apart.
	Login string
	// Create makes the folder and its marker; without it a cloud without a
	// marker is cloud.ErrUnreachable. The bucket of a back end that has
	// buckets must be there.
	Create bool

	Network Network
}

// Network is how connections are made. The zero value is what most need. It
// holds for the whole process: the last one opened.
type Network struct {
	// LimitUpload bounds what is sent, in rclone's words: "1M" (bytes a
	// second), or a timetable, "08:00,512k 23:00,off".
	LimitUpload string
	// Idle is after how long without a byte a connection counts as dead; 0
	// means a minute.
	Idle time.Duration
	// Proxy is the URL of an HTTP proxy; empty for that of the environment.
	Proxy string
	// CAs are files of certificates (PEM) to trust in place of the system's.
	CAs []string
}

// Store is a cloud.Store in a cloud.
type Store struct {
	config Config
	kind   kind
	known  *known
	names  names
	ending sync.WaitGroup // what goes on after a method returned

	mu    sync.Mutex
	f     fs.Fs // replaced when the session is renewed
	dirty bool  // the session was renewed, and nothing has succeeded since
	mark  mark  // the marker, if this Store made it

	folderMu    sync.Mutex
	folderViews map[string]fs.Fs // by folder: see below

	fresh                 atomic.Bool // the folder was not there before
	proven                atomic.Bool // the cloud refuses to clobber: seen
	asks                  atomic.Bool // it does not: look before each Put
	probed                sync.Mutex
	calls, sent, received atomic.Int64
	requestsBefore        int64
}

var _ cloud.Store = (*Store)(nil)

// Open opens a store, or makes one.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("cloud/rclone: opening: %w", err)
	}
	return s, nil
}

// refreshable are the back ends whose sign-in is a token that a refresh token
// replaces (RFC 6749 section 6).
var refreshable = []string{"drive", "dropbox", "onedrive"}

func open(ctx context.Context, c Config) (*Store, error) {
	k, ok := kinds[c.Backend]
	if !ok {
		return nil, fmt.Errorf("there is no back end %q", c.Backend)
	}
	if err := configure(c.Network); err != nil {
		return nil, err
	}
	s := &Store{config: c, kind: k, known: newKnown(k.traits.Lag), requestsBefore: requests()}
	s.asks.Store(k.clobber == asked)
	f, err := s.connect(ctx)
	if err != nil && isExpired(err) && slices.Contains(refreshable, c.Backend) && c.Mapper != nil && expireToken(c.Mapper) {
		// Refused before its time: our clock, or theirs.
		s.dirty = true
		f, err = s.connect(ctx)
	}
	if err != nil {
		return nil, s.classify(ctx, err)
	}
	s.f = f
	if c.Create {
		err = s.create(ctx)
	} else {
		err = s.find(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Traits says what this kind of cloud is like. A cloud that can refuse to
// clobber is Racy until it was seen to.
func (s *Store) Traits() cloud.Traits {
	t := s.kind.traits
	t.Racy = s.kind.clobber == asked || !s.proven.Load()
	t.Fresh = s.fresh.Load()
	return t
}

// Counters count. Requests are HTTP requests of the whole process since this
// store was opened, those of signing in included; of SFTP and of a folder the
// calls of back ends. Sent and Received are bytes of objects.
func (s *Store) Counters() cloud.Counters {
	c := cloud.Counters{Requests: s.calls.Load(), Sent: s.sent.Load(), Received: s.received.Load()}
	if s.kind.http {
		c.Requests = requests() - s.requestsBefore
	}
	return c
}

// Usage is the room in a cloud, in bytes; -1 is unknown.
type Usage struct{ Total, Used, Free int64 }

// About asks the cloud how much room there is. A cloud that cannot tell is no
// error.
func (s *Store) About(ctx context.Context) (Usage, error) {
	u := Usage{-1, -1, -1}
	err := s.do(ctx, func(ctx context.Context, f fs.Fs) error {
		about := f.Features().About
		if about == nil {
			return nil
		}
		got, err := about(ctx)
		if err != nil {
			return err
		}
		for to, from := range map[*int64]*int64{&u.Total: got.Total, &u.Used: got.Used, &u.Free: got.Free} {
			if from != nil {
				*to = *from
			}
		}
		return nil
	})
	if err != nil {
		return u, fmt.Errorf("cloud/rclone: asking for room: %w", err)
	}
	return u, nil
}

// Close ends what the store keeps open. No method may be called after it.
func (s *Store) Close() error {
	s.ending.Wait()
	stop := s.current().Features().Shutdown
	if stop == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := stop(ctx); err != nil {
		return fmt.Errorf("cloud/rclone: closing: %w", err)
	}
	return nil
}

func (s *Store) current() fs.Fs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f
}
