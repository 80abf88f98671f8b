package fakeicloud_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	_ "github.com/rclone/rclone/backend/iclouddrive"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/config/obscure"
	"github.com/rclone/rclone/fs/fshttp"
	"github.com/rclone/rclone/fs/object"

	"keepsake.example/cloud/rclone/fakeicloud"
)

const (
	person   = "ada@example.com"
	password = "correct horse battery staple"
)

// start starts iCloud and leads all of rclone to it. One at a time: rclone's
// settings of the network are global.
func start(t *testing.T, accounts ...fakeicloud.Account) *fakeicloud.Server {
	t.Helper()
	if len(accounts) == 0 {
		accounts = []fakeicloud.Account{{AppleID: person, Password: password, Phones: []string{"+1 555 0100"}}}
	}
	s, err := fakeicloud.Start(t.TempDir(), accounts...)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.SetCacheDir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	ci := fs.GetConfig(context.Background())
	old := *ci
	ci.LowLevelRetries = 2
	lead(s)
	t.Cleanup(func() {
		*ci = old
		fshttp.ResetTransport()
		if refused := s.Refused(); len(refused) > 0 {
			t.Errorf("rclone asked for %v, which is not iCloud", refused)
		}
		s.Close()
	})
	return s
}

// lead leads rclone to the fake.
func lead(s *fakeicloud.Server) {
	ci := fs.GetConfig(context.Background())
	ci.HTTPProxy, ci.CaCert = s.Proxy(), []string{s.CA()}
	fshttp.ResetTransport()
}

func options(pass string) configmap.Simple {
	return configmap.Simple{"type": "iclouddrive", "apple_id": person, "password": obscure.MustObscure(pass), "client_id": "d39ba9916b7251055b22c7f910e2ea796ee65e98b2ddecea8f5dde8d9d1a815d"}
}

// step is one of rclone's questions and answers.
func step(t *testing.T, m configmap.Mapper, state, answer string) (*fs.ConfigOut, error) {
	t.Helper()
	ri, err := fs.Find("iclouddrive")
	if err != nil {
		t.Fatal(err)
	}
	return ri.Config(t.Context(), "icloud", m, fs.ConfigIn{State: state, Result: answer})
}

// signIn signs in with the code shown on the device.
func signIn(t *testing.T, s *fakeicloud.Server, m configmap.Mapper) {
	t.Helper()
	out, err := step(t, m, "", "")
	if err != nil || out == nil || out.State != "2fa_do" {
		t.Fatalf("signing in gave %+v, %v; want a question for the code", out, err)
	}
	if out, err = step(t, m, out.State, s.Code(person)); err != nil || out != nil {
		t.Fatalf("the right code gave %+v, %v", out, err)
	}
}

func open(t *testing.T, m configmap.Mapper, root string) fs.Fs {
	t.Helper()
	f, err := openErr(t, m, root)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func openErr(t *testing.T, m configmap.Mapper, root string) (fs.Fs, error) {
	t.Helper()
	ri, err := fs.Find("iclouddrive")
	if err != nil {
		t.Fatal(err)
	}
	return ri.NewFs(t.Context(), "icloud", root, m)
}

func put(t *testing.T, f fs.Fs, name string, data []byte) fs.Object {
	t.Helper()
	o, err := f.Put(t.Context(), bytes.NewReader(data), info(name, data))
	if err != nil {
		t.Fatalf("Put(%s): %v", name, err)
	}
	return o
}

func info(name string, data []byte) fs.ObjectInfo {
	return object.NewStaticObjectInfo(name, time.Unix(1_700_000_000, 0), int64(len(data)), true, nil, nil)
}

func read(t *testing.T, o fs.Object, opts ...fs.OpenOption) []byte {
	t.Helper()
	r, err := o.Open(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func list(t *testing.T, f fs.Fs, dir string) (names []string) {
	t.Helper()
	entries, err := f.List(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Remote())
	}
	return names
}

func TestRcloneStores(t *testing.T) {
	s := start(t)
	m := options(password)
	signIn(t, s, m)
	f := open(t, m, "Backup/keepsake")
	data := bytes.Repeat([]byte("0123456789"), 100_000)
	put(t, f, "data/ab", data)
	put(t, f, "data/empty", nil)
	put(t, f, "with.extension", data[:10])
	if got := strings.Join(list(t, f, "data"), " "); got != "data/ab data/empty" {
		t.Errorf("listed %q", got)
	}
	if got := strings.Join(list(t, f, ""), " "); got != "data with.extension" {
		t.Errorf("listed %q", got)
	}
	again := open(t, m, "Backup/keepsake")
	o, err := again.NewObject(t.Context(), "data/ab")
	if err != nil || o.Size() != int64(len(data)) || o.ModTime(t.Context()).Unix() != 1_700_000_000 {
		t.Fatalf("NewObject = %v, %v", o, err)
	}
	if !bytes.Equal(read(t, o), data) || string(read(t, o, &fs.RangeOption{Start: 13, End: 16})) != "3456" {
		t.Error("read other bytes than were put")
	}
	if err := o.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := again.NewObject(t.Context(), "data/ab"); !errors.Is(err, fs.ErrorObjectNotFound) {
		t.Errorf("a removed object: %v", err)
	}
	if s.Trash(person)["Backup/keepsake/data/ab"] != int64(len(data)) || s.Used(person) != int64(len(data))+10 {
		t.Errorf("trash %v, used %d: want the removed file in it, and counted", s.Trash(person), s.Used(person))
	}
}

func TestRcloneNames(t *testing.T) {
	s := start(t)
	m := options(password)
	signIn(t, s, m)
	f := open(t, m, "R")
	put(t, f, "same", []byte("one"))
	put(t, f, "SAME", []byte("three")) // rclone takes it for the same and trashes the old one
	if files := s.Files(person); len(files) != 1 || len(s.Trash(person)) != 1 {
		t.Errorf("files %v, trash %v", files, s.Trash(person))
	}
	s.Freeze(person)
	put(t, f, "late", []byte("1"))
	put(t, f, "late", []byte("22"))
	if files := s.Files(person); files["R/late"] != 1 || files["R/late 2"] != 2 {
		t.Errorf("files %v: want the second under another name", files)
	}
	if got := list(t, f, ""); len(got) != 1 {
		t.Errorf("a frozen listing shows %v", got)
	}
	s.Thaw(person)
	if got := list(t, f, ""); len(got) != 3 {
		t.Errorf("the listing shows %v, want three files", got)
	}
}

func TestRcloneQuota(t *testing.T) {
	s := start(t)
	m := options(password)
	signIn(t, s, m)
	f := open(t, m, "R")
	put(t, f, "one", make([]byte, 900))
	s.SetQuota(person, 1000)
	_, err := f.Put(t.Context(), bytes.NewReader(make([]byte, 101)), info("two", make([]byte, 101)))
	if err == nil || !strings.Contains(err.Error(), "HTTP error 413") || !strings.Contains(err.Error(), "QUOTA_EXCEEDED") {
		t.Errorf("Put to a full account: %v", err)
	}
	put(t, f, "three", make([]byte, 100))
}

func TestRcloneThrottled(t *testing.T) {
	s := start(t)
	m := options(password)
	signIn(t, s, m)
	f := open(t, m, "R")
	put(t, f, "one", make([]byte, 900))
	s.Throttle("POST web", 1, 429, 1)
	put(t, f, "two", make([]byte, 900)) // rclone's own second try
	s.Throttle("", 10, 429, 7)
	_, err := f.List(t.Context(), "")
	if err == nil || !strings.Contains(err.Error(), "HTTP error 429") || !strings.Contains(err.Error(), "retryAfter") {
		t.Errorf("List while throttled: %v", err)
	}
}

// forgetCache makes this process one that never saw the account.
func forgetCache(t *testing.T) {
	t.Helper()
	if err := config.SetCacheDir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
}
