// Package rclone keeps a cloud where rclone (github.com/rclone/rclone) can
// reach one: Google Drive, iCloud Drive, S3, WebDAV, SFTP, Dropbox, OneDrive,
// Backblaze B2, a folder. No cloud's protocol is written here.
package rclone

import (
	"context"
	"errors"
	"io"

	"github.com/rclone/rclone/fs/config/configmap"

	"keepsake.example/cloud"

	// The back ends a person can name; each brings its cloud's SDK.
	_ "github.com/rclone/rclone/backend/b2"
	_ "github.com/rclone/rclone/backend/drive"
	_ "github.com/rclone/rclone/backend/dropbox"
	_ "github.com/rclone/rclone/backend/iclouddrive"
	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/onedrive"
	_ "github.com/rclone/rclone/backend/s3"
	_ "github.com/rclone/rclone/backend/sftp"
	_ "github.com/rclone/rclone/backend/webdav"
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
	// the text of errors: "gdrive@work".
	Login string
	// Create makes the folder and its marker; without it a cloud without a
	// marker is cloud.ErrUnreachable.
	Create bool

	Network Network
}

// Network is how connections are made. The zero value is what most need.
type Network struct {
	// LimitUpload bounds what is sent, in rclone's words: "1M" (bytes a
	// second), or a timetable, "08:00,512k 23:00,off". One limit holds for
	// all stores of a process: the last one set.
	LimitUpload string
	// Proxy is the URL of an HTTP proxy; empty for that of the environment.
	Proxy string
	// CAs are files of certificates (PEM) to trust in place of the system's.
	CAs []string
}

// Store is a cloud.Store in a cloud.
type Store struct{}

var _ cloud.Store = (*Store)(nil)

var errUnfinished = errors.New("cloud/rclone: not built yet")

// Open opens a store, or makes one.
func Open(ctx context.Context, c Config) (*Store, error) { return nil, errUnfinished }

// FromRemote is the Config of a remote by its name in rclone's own
// configuration file: what "name:path" means to rclone. It is
// cloud.ErrNotExist when there is no remote of this name.
func FromRemote(name, path string) (Config, error) { return Config{}, errUnfinished }

// Put is cloud.Store.Put.
func (s *Store) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	return errUnfinished
}

// Get is cloud.Store.Get.
func (s *Store) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return nil, errUnfinished
}

// List is cloud.Store.List.
func (s *Store) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	return errUnfinished
}

// Delete is cloud.Store.Delete.
func (s *Store) Delete(ctx context.Context, name string) error { return errUnfinished }

// Stat is cloud.Store.Stat.
func (s *Store) Stat(ctx context.Context, name string) (cloud.Info, error) {
	return cloud.Info{}, errUnfinished
}

// Traits says what this kind of cloud is like.
func (s *Store) Traits() cloud.Traits { return cloud.Traits{} }

// Counters are what a store has asked of its cloud since it was opened.
type Counters struct {
	Requests int64 // HTTP requests, those of signing in included; of SFTP the calls of this package
	Sent     int64 // bytes of objects, those sent again included
	Received int64 // bytes of objects
}

// Counters counts.
func (s *Store) Counters() Counters { return Counters{} }

// Usage is the room in a cloud, in bytes; -1 is unknown.
type Usage struct{ Total, Used, Free int64 }

// About asks the cloud how much room there is.
func (s *Store) About(ctx context.Context) (Usage, error) { return Usage{}, errUnfinished }

// Destroy removes the marker and the empty folders of a store without
// objects, and the folder of the store itself.
func (s *Store) Destroy(ctx context.Context) error { return errUnfinished }

// Close ends what the store keeps open.
func (s *Store) Close() error { return nil }
