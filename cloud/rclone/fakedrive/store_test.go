package fakedrive_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/fakedrive"
)

// account is where an account's options are kept, as package account does.
type account struct {
	mu      sync.Mutex
	options map[string]string
	saved   int // how often a token was written back
}

func (a *account) Get(name string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.options[name]
	return v, ok
}

func (a *account) Set(name, value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.options[name] = value
	a.saved++
}

// drive is a Google account, signed in, and its server.
type drive struct {
	*fakedrive.Server
	t testing.TB
	*account
	root string
}

// startDrive signs a person in. rclone's settings of the network are global:
// one at a time.
func startDrive(t testing.TB, c fakedrive.Config, scopes ...string) *drive {
	t.Helper()
	c.Dir = t.TempDir()
	s, err := fakedrive.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if foreign := s.Counters().Foreign; len(foreign) > 0 {
			t.Errorf("requests that the fake does not model: %q", foreign)
		}
		if refused := s.Refused(); len(refused) > 0 {
			t.Errorf("hosts that are not Google's: %q", refused)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	options := map[string]string{
		"client_id": fakedrive.ClientID, "client_secret": fakedrive.ClientSecret, "token": s.SignIn(scopes...),
		"pacer_min_sleep": "1ms", "pacer_burst": "1000", "chunk_size": "1Mi", "upload_cutoff": "512Ki",
	}
	return &drive{Server: s, t: t, account: &account{options: options}, root: "Backups/Keepsake"}
}

// appData makes of a drive one in the hidden folder of the app.
func (d *drive) appData() *drive {
	d.Set("root_folder_id", "appDataFolder")
	d.Set("scope", "drive.appfolder")
	return d
}

func (d *drive) config(create bool) rclone.Config {
	return rclone.Config{
		Backend: "drive", Root: d.root, Mapper: d.account, Login: "gdrive", Create: create,
		Network: rclone.Network{Proxy: d.Proxy(), CAs: []string{d.CA()}},
	}
}

func (d *drive) open(create bool) *rclone.Store {
	d.t.Helper()
	s, err := rclone.Open(d.t.Context(), d.config(create))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			d.t.Error(err)
		}
	})
	return s
}

// at is the path, in the person's Drive, of an object.
func (d *drive) at(name string) string { return d.root + "/" + name }

func (d *drive) token() map[string]any {
	d.t.Helper()
	text, _ := d.Get("token")
	var token map[string]any
	if err := json.Unmarshal([]byte(text), &token); err != nil {
		d.t.Fatal(err)
	}
	return token
}

func put(t testing.TB, s cloud.Store, name string, content []byte) {
	t.Helper()
	if err := s.Put(t.Context(), name, bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
}

func read(t testing.TB, s cloud.Store, name string) ([]byte, error) {
	t.Helper()
	r, err := s.Get(t.Context(), name, 0, -1)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

func wantContent(t testing.TB, s cloud.Store, name string, want []byte) {
	t.Helper()
	if got, err := read(t, s, name); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s holds %d bytes, %v; want the %d that were put", name, len(got), err, len(want))
	}
}

func sizes(t testing.TB, s cloud.Store, prefix string) map[string]int64 {
	t.Helper()
	found := make(map[string]int64)
	err := s.List(t.Context(), prefix, func(i cloud.Info) error {
		if _, twice := found[i.Name]; twice {
			t.Errorf("%s is listed twice", i.Name)
		}
		found[i.Name] = i.Size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantSizes(t testing.TB, s cloud.Store, prefix string, want map[string]int64) {
	t.Helper()
	if got := sizes(t, s, prefix); !maps.Equal(got, want) {
		t.Errorf("List(%q) = %v, want %v", prefix, got, want)
	}
}

// TestConformance runs cloudtest: as it is at best, where listings lag and
// repeat rows, in an app's hidden folder, and with an app that sees only what
// it made.
func TestConformance(t *testing.T) {
	late := fakedrive.Lag{Names: 300 * time.Millisecond, Folders: 150 * time.Millisecond}
	for _, c := range []struct {
		name  string
		lag   fakedrive.Lag
		scope string
	}{
		{name: "prompt", scope: "drive"},
		{name: "late", scope: "drive.file", lag: late},
		{name: "hidden", scope: "drive.appfolder", lag: late},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startDrive(t, fakedrive.Config{}, c.scope)
			if c.scope == "drive.appfolder" {
				d.appData()
			}
			d.RepeatRows(c.lag.Names > 0)
			n := 0
			cloudtest.Run(t, func(t *testing.T) cloud.Store {
				n++
				d.t, d.root = t, fmt.Sprintf("Backups/check-%d", n)
				d.SetLag(fakedrive.Lag{})
				s := d.open(true)
				d.SetLag(c.lag)
				return s
			})
		})
	}
}

// TestErrors: what each refusal of Google's means.
func TestErrors(t *testing.T) {
	always := func(f fakedrive.Fault) func(*drive) {
		return func(d *drive) { d.Inject(fakedrive.Always("", f)) }
	}
	one := []string{"Put"} // rclone waits longer after each error of these kinds
	cases := []struct {
		name    string
		fail    func(*drive)
		want    error
		after   time.Duration
		methods []string
	}{
		{"full", func(d *drive) { d.SetQuota(1) }, cloud.ErrFull, 0, one},
		{"user rate", always(fakedrive.UserRate), cloud.ErrThrottled, 0, []string{"Put", "List"}},
		{"project rate", always(fakedrive.ProjectRate), cloud.ErrThrottled, 0, one},
		{"daily limit", always(fakedrive.DailyLimit), cloud.ErrThrottled, 0, nil},
		{"too many", always(fakedrive.TooMany), cloud.ErrThrottled, time.Second, one},
		{"backend error", always(fakedrive.BackendError), cloud.ErrUnreachable, 0, one},
		{"unavailable", always(fakedrive.Unavailable), cloud.ErrUnreachable, 0, []string{"Stat"}},
		{"revoked", func(d *drive) { d.Revoke() }, cloud.ErrDenied, 0, nil},
		{"cut off", always(fakedrive.Fault{Cut: true}), cloud.ErrUnreachable, 0, one},
		{"folder removed", func(d *drive) { d.Remove("Backups") }, cloud.ErrUnreachable, 0, nil},
		// Put of a pack asks nothing, and Google takes it; no run ends without
		// a listing.
		{"folder in the trash", func(d *drive) { d.Trash("Backups") }, cloud.ErrUnreachable, 0, []string{"List"}},
		{"server gone", func(d *drive) { d.Server.Close() }, cloud.ErrUnreachable, 0, one},
	}
	var all []cloudtest.ErrorCase
	for _, c := range cases {
		all = append(all, cloudtest.ErrorCase{Name: c.name, Want: c.want, After: c.after, Methods: c.methods, Open: func(t *testing.T) (cloud.Store, func()) {
			d := startDrive(t, fakedrive.Config{})
			d.open(true)
			s := d.open(false) // a day later
			c.fail(d)
			return s, nil
		}})
	}
	cloudtest.RunErrors(t, all)
}

// TestTokenIsRefreshed: an access token that is too old is replaced, what was
// got is kept for the next process, and the refresh token stays.
func TestTokenIsRefreshed(t *testing.T) {
	d := startDrive(t, fakedrive.Config{TokenLife: time.Second}) // rclone renews ten seconds before the end: each time
	before := d.token()
	s := d.open(true)
	put(t, s, "data/x", bytesOf(3<<20)) // a session of four requests
	wantContent(t, s, "data/x", bytesOf(3<<20))
	after := d.token()
	if d.saved == 0 || after["access_token"] == before["access_token"] || after["refresh_token"] != before["refresh_token"] {
		t.Errorf("written back %d times: %v", d.saved, after)
	}
	if got := d.Counters().Requests[fakedrive.OpToken]; got < 4 {
		t.Errorf("%d refreshes", got)
	}
}

// TestTokenRefusedMidUpload: Google stops taking a token that is still young
// by our clock, between the parts of an upload and before anything else. It is
// replaced without a word to the person.
func TestTokenRefusedMidUpload(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	s := d.open(true)
	d.Inject(func(c fakedrive.Call) fakedrive.Fault {
		if c.Op == fakedrive.OpUploadChunk && c.N == 2 {
			d.ExpireTokens()
		}
		return fakedrive.Fault{}
	})
	put(t, s, "data/x", bytesOf(3<<20))
	wantContent(t, s, "data/x", bytesOf(3<<20))
	d.ExpireTokens()
	if err := s.Delete(t.Context(), "data/x"); err != nil {
		t.Error(err)
	}
	d.ExpireTokens()
	d.open(false)
	if d.saved < 3 {
		t.Errorf("new tokens were written back %d times", d.saved)
	}
}

// TestRevoked: the error says what happened and what to do, and no secret.
func TestRevoked(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	s := d.open(true)
	d.Revoke()
	_, err := rclone.Open(t.Context(), d.config(false))
	for what, err := range map[string]error{
		"Open": err,
		"Put":  s.Put(t.Context(), "data/x", bytes.NewReader(nil), 0),
		"List": s.List(t.Context(), "", func(cloud.Info) error { return nil }),
	} {
		if !errors.Is(err, cloud.ErrDenied) || !strings.Contains(err.Error(), "revoked") || !strings.Contains(err.Error(), "keepsake cloud login gdrive") {
			t.Errorf("%s: %v; want ErrDenied, that access was revoked, and what to do", what, err)
			continue
		}
		for _, secret := range []string{"ya29.", "1//0", fakedrive.ClientSecret} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s tells %s: %v", what, secret, err)
			}
		}
	}
}

// TestFresh: only who made the folder need not wait for what it may not show.
func TestFresh(t *testing.T) {
	for _, scope := range []string{"drive", "drive.appfolder"} {
		d := startDrive(t, fakedrive.Config{}, scope)
		if scope != "drive" {
			d.appData()
		}
		if !d.open(true).Traits().Fresh {
			t.Errorf("%s: a folder just made is not fresh", scope)
		}
		for _, create := range []bool{false, true} {
			if d.open(create).Traits().Fresh {
				t.Errorf("%s: a folder that was there is fresh, create=%t", scope, create)
			}
		}
	}
}

// TestFoldersAfterRenewal: a session that takes the place of one that was refused knows no
// folders, and rclone makes those that a search by name does not show. It finds ours.
func TestFoldersAfterRenewal(t *testing.T) {
	d := startDrive(t, fakedrive.Config{})
	d.root = ""
	s := d.open(true)
	d.SetLag(fakedrive.Lag{Names: time.Hour})
	d.ExpireTokens()
	put(t, s, "data/x", bytesOf(1000))
	put(t, s, "meta/x", bytesOf(1000))
	d.SetLag(fakedrive.Lag{})
	for _, folder := range cloud.Folders() {
		if got := d.Files(folder); len(got) != 1 {
			t.Errorf("%d folders %s: %v", len(got), folder, got)
		}
	}
}
