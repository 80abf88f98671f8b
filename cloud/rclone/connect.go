package rclone

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	icloud "github.com/rclone/rclone/backend/iclouddrive/api"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/fshttp"

	"keepsake.example/cloud"
)

const (
	// connectTimeout bounds dialing and TLS; idleTimeout the time in which
	// not one byte moves, which is how a connection that is half open is
	// noticed.
	connectTimeout = 20 * time.Second
	idleTimeout    = 60 * time.Second
	userAgent      = "keepsake"
)

var process struct {
	sync.Mutex
	stop func() // ends the upload limit in force
}

// configure sets what rclone keeps once for a process.
func configure(n Network) error {
	var table fs.BwTimetable
	if n.LimitUpload != "" {
		if err := table.Set(n.LimitUpload); err != nil {
			return fmt.Errorf("reading the upload limit %q: %w", n.LimitUpload, err)
		}
	}
	process.Lock()
	defer process.Unlock()
	if fshttp.DefaultMetrics == nil {
		fshttp.DefaultMetrics = fshttp.NewMetrics("keepsake")
	}
	c := fs.GetConfig(context.Background())
	want := *c
	if err := pristine(&want); err != nil {
		return err
	}
	want.LogLevel = fs.LogLevelError
	want.ConnectTimeout = fs.Duration(connectTimeout)
	want.Timeout = fs.Duration(idleTimeout)
	if n.Idle > 0 {
		want.Timeout = fs.Duration(n.Idle)
	}
	want.UserAgent = userAgent
	want.UseServerModTime = true
	want.AskPassword = false // of an encrypted rclone.conf: stdin is not the person's
	others := c.HTTPProxy != n.Proxy || !slices.Equal(c.CaCert, n.CAs)
	want.HTTPProxy, want.CaCert = n.Proxy, n.CAs
	// What is as it should be is left alone: another Store that is opened meanwhile reads it without a lock.
	if !reflect.DeepEqual(*c, want) {
		*c = want
	}
	if others {
		fshttp.ResetTransport() // some back ends share one
	}
	if process.stop != nil {
		process.stop()
		process.stop = nil
	}
	if len(table) > 0 {
		process.stop = limitUpload(table)
	}
	return nil
}

// limitUpload keeps rclone's token bucket at what the table says of the hour,
// until stop. rclone's own ticker cannot be stopped, and comes with a signal
// handler.
func limitUpload(table fs.BwTimetable) (stop func()) {
	var now fs.BwPair
	set := func() {
		next := table.LimitAt(time.Now()).Bandwidth
		next.Rx = -1 // what comes down is not limited
		if next != now {
			accounting.TokenBucket.SetBwLimit(next)
			now = next
		}
	}
	set()
	end := make(chan struct{})
	tick := time.NewTicker(time.Minute)
	go func() {
		for {
			select {
			case <-tick.C:
				set()
			case <-end:
				return
			}
		}
	}()
	return func() {
		tick.Stop()
		close(end)
		accounting.TokenBucket.SetBwLimit(fs.BwPair{Tx: -1, Rx: -1})
	}
}

// requests counts the HTTP requests of the process so far.
func requests() (n int64) {
	process.Lock()
	metrics := fshttp.DefaultMetrics
	process.Unlock()
	counters := make(chan prometheus.Metric, 64)
	go func() {
		for _, c := range metrics.Collectors() {
			c.Collect(counters)
		}
		close(counters)
	}()
	for c := range counters {
		var m dto.Metric
		if c.Write(&m) == nil {
			n += int64(m.GetCounter().GetValue())
		}
	}
	return n
}

// defaults are what a back end's options are when nobody says.
type defaults fs.Options

// Get is configmap.Getter.Get.
func (d defaults) Get(key string) (string, bool) {
	o := fs.Options(d).Get(key)
	if o == nil {
		return "", false
	}
	return o.String(), true
}

// connect makes rclone's view of the cloud. It reads neither rclone's
// configuration file nor the environment.
func (s *Store) connect(ctx context.Context) (fs.Fs, error) {
	return s.connectTo(ctx, s.config.Root, s.insist())
}

// connectTo is connect to another folder, with options before all others.
func (s *Store) connectTo(ctx context.Context, root string, first configmap.Simple) (fs.Fs, error) {
	info, err := fs.Find(s.config.Backend)
	if err != nil {
		return nil, err
	}
	m := configmap.New()
	m.AddGetter(first, configmap.PriorityNormal)
	m.AddGetter(configmap.Simple(s.kind.always), configmap.PriorityNormal)
	if s.config.Mapper != nil {
		m.AddGetter(s.config.Mapper, configmap.PriorityNormal)
		m.AddSetter(s.config.Mapper)
	}
	m.AddGetter(configmap.Simple(s.config.Options), configmap.PriorityNormal)
	m.AddGetter(configmap.Simple(s.kind.usual), configmap.PriorityNormal)
	m.AddGetter(defaults(info.Options), configmap.PriorityDefault)
	// The context must outlive this call: some back ends keep it.
	keep, c := fs.AddConfig(context.WithoutCancel(ctx))
	c.LowLevelRetries = s.kind.retries
	f, err := await(ctx, func() (fs.Fs, error) { return info.NewFs(keep, s.account(), root, m) }, nil)
	if errors.Is(err, fs.ErrorIsFile) {
		return nil, fmt.Errorf("%s is a file", s.config.Root)
	}
	return f, err
}

// account is the name under which iCloud's back end keeps a session.
func (s *Store) account() string {
	if s.config.Login == "" {
		return "keepsake-" + s.config.Backend
	}
	return "keepsake-" + s.config.Login
}

// option is what the person's configuration says of an option.
func (s *Store) option(key string) string {
	if s.config.Mapper != nil {
		if value, ok := s.config.Mapper.Get(key); ok {
			return value
		}
	}
	return s.config.Options[key]
}

// insist gives options that hang on the person's own.
func (s *Store) insist() configmap.Simple {
	switch {
	case s.config.Backend == "sftp":
		// A host whose key nobody pinned is pinned at first sight. Where one is,
		// rclone would with this option take a key of any other algorithm too:
		// whoever is in between has one.
		pinned := s.option("host_keys") != "" || s.option("known_hosts_file") != ""
		return configmap.Simple{"pin_host_key": strconv.FormatBool(!pinned)}
	case s.plainDAV():
		return configmap.Simple{"vendor": "other"}
	}
	return nil
}

// plainDAV is for WebDAV as its standard has it. What rclone does for single makes
// of servers is setting times and sending large files in chunks, for which we have
// no use; but SharePoint's way to sign in is its own.
func (s *Store) plainDAV() bool {
	return s.config.Backend == "webdav" && !strings.HasPrefix(s.option("vendor"), "sharepoint")
}

// below gives rclone's view of one folder as if it were a server's root, for
// what is written there. Into any other place rclone's WebDAV first makes the
// folder, each time: two requests of six, and a disk that is gone from its
// server would come back as an empty folder. It is nil where that cannot be
// had.
func (s *Store) below(ctx context.Context, folder string) (fs.Fs, error) {
	if !s.plainDAV() || s.option("encoding") != "" {
		return nil, nil
	}
	s.folderMu.Lock()
	defer s.folderMu.Unlock()
	if f := s.folderViews[folder]; f != nil {
		return f, nil
	}
	base, err := url.Parse(s.option("url"))
	if err != nil {
		return nil, fmt.Errorf("reading the server's URL: %w", err)
	}
	first := s.insist()
	first["url"] = base.JoinPath(s.config.Root, folder).String()
	f, err := s.connectTo(ctx, "", first)
	if err != nil {
		return nil, err
	}
	if s.folderViews == nil {
		s.folderViews = make(map[string]fs.Fs)
	}
	s.folderViews[folder] = f
	return f, nil
}

// renew signs in anew, once after each time that worked, when the cloud says
// that who we are has expired. It tells whether it is worth another try with
// the session that took the place of stale; an error says why there is none.
func (s *Store) renew(ctx context.Context, stale fs.Fs) (again bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != stale {
		return true, nil
	}
	if s.dirty || s.config.Mapper == nil {
		return false, nil
	}
	s.dirty = true
	switch s.config.Backend {
	case "iclouddrive":
		// rclone takes up the session it finds, dead or not; without one
		// it signs in with password and trust token.
		s.config.Mapper.Set("cookies", "")
		icloud.ClearCacheDir(s.account())
	case "drive", "dropbox", "onedrive":
		if !expireToken(s.config.Mapper) {
			return false, nil
		}
	default:
		return false, nil
	}
	f, err := s.connect(ctx)
	if err == nil {
		err = s.learn(ctx, f)
	}
	if err != nil {
		// Who is refused must not knock again and again: Apple locks
		// accounts. A network that was down says nothing.
		s.dirty = errors.Is(s.classify(ctx, err), cloud.ErrDenied)
		return false, err
	}
	s.f = f
	s.known.forgetObjects()
	return true, nil
}

// learn lists the root where there may be two folders of one name: so a new session knows
// ours. Those it does not know rclone looks for by name, and makes anew when such a search,
// which lags, shows none.
func (s *Store) learn(ctx context.Context, f fs.Fs) error {
	if !s.kind.duplicates {
		return nil
	}
	_, err := list(ctx, f, "", false)
	if errors.Is(err, fs.ErrorDirNotFound) { // it is not made yet
		return nil
	}
	return err
}
