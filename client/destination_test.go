package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/client"
	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
	"keepsake.example/key"
)

// far is a cloud over a network, over which tests watch.
type far struct {
	cloud.Store
	traits cloud.Traits
	slow   chan struct{} // not nil: listings wait for it
	asked  func(what string)
	closed func()
}

func (f far) Traits() cloud.Traits { return f.traits }
func (f far) Close() error         { f.closed(); return nil }
func (f far) List(ctx context.Context, prefix string, fn func(cloud.Info) error) error {
	if f.slow != nil {
		<-f.slow
	}
	f.tell("list " + prefix)
	return f.Store.List(ctx, prefix, fn)
}

func (f far) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	f.tell("put " + name)
	return f.Store.Put(ctx, name, body, size)
}

func (f far) tell(what string) {
	if f.asked != nil {
		f.asked(what)
	}
}

// farWorld has its clouds in folders, by name, and counts those that are open.
type farWorld struct {
	*world
	mu    sync.Mutex
	names []string
	open  int
	far   far
	warn  func(string)
}

func (w *farWorld) client(waiting func(string)) *client.Client {
	return client.New(client.Settings{
		Profile: w.profile, Keyring: w, Waiting: waiting, Warn: w.warn,
		OpenCloud: func(_ context.Context, destination string, create bool) (cloud.Store, error) {
			open := dir.Open
			if create {
				open = dir.Create
			}
			s, err := open(filepath.Join(filepath.Dir(w.cloud), "far-"+strings.NewReplacer(":", "-", "/", "-").Replace(destination)))
			if err != nil {
				return nil, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.names = append(w.names, destination)
			w.open++
			f := w.far
			f.Store, f.closed = s, func() { w.mu.Lock(); w.open--; w.mu.Unlock() }
			return f, nil
		},
	})
}

func (w *farWorld) enable(t *testing.T, c *client.Client, k *keeper, destination string) {
	t.Helper()
	if _, err := c.Enable(t.Context(), client.EnableOptions{Source: w.chats, Cloud: destination, Deliver: k.deliver}); err != nil {
		t.Fatal(err)
	}
}

// The profile keeps a destination in its one form, every operation reaches it by
// that, and ends the store that it opened.
func TestNetworkDestination(t *testing.T) {
	w := &farWorld{world: newWorld(t)}
	c, k := w.client(nil), new(keeper)
	w.enable(t, c, k, "GDrive:/Folder//Sub")
	if _, err := c.Backup(t.Context(), client.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	place := &client.Place{Cloud: "gdrive:Folder/Sub/", Key: k.last()}
	if _, err := c.Restore(t.Context(), client.RestoreOptions{At: place, Target: out}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Copy(t.Context(), client.CopyOptions{To: "s3://bucket"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Copy(t.Context(), client.CopyOptions{To: "gdrive:Folder"}); !errors.Is(err, client.ErrOverlap) {
		t.Errorf("Copy to where the backup lies = %v, want ErrOverlap", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range w.names {
		if name != "gdrive:Folder/Sub" && name != "s3://bucket" {
			t.Errorf("opened %q", name)
		}
	}
	if w.open != 0 {
		t.Errorf("%d stores were left open", w.open)
	}
	if _, err := c.Move(t.Context(), "s3+https://key:secret@host/bucket"); !errors.As(err, new(*cloud.DestinationError)) {
		t.Errorf("Move to a destination with a secret = %v", err)
	}
}

// Who restores the newest snapshot while another device ends a backup is told, and nobody else is.
func TestBackupDuringARestore(t *testing.T) {
	var warned []string
	w := &farWorld{world: newWorld(t), warn: func(text string) { warned = append(warned, text) }}
	w.far.traits.Lag = time.Millisecond
	c, k := w.client(nil), new(keeper)
	w.enable(t, c, k, "gdrive:x")
	none := backup.Snapshot{}
	backUp := func(backup.Snapshot) error {
		if err := os.WriteFile(filepath.Join(w.chats, rand.Text()), nil, 0o600); err != nil {
			return err
		}
		_, err := c.Backup(t.Context(), client.BackupOptions{})
		return err
	}
	restore := func(o client.RestoreOptions) {
		t.Helper()
		o.At, o.Target = &client.Place{Cloud: "gdrive:x", Key: k.last()}, filepath.Join(t.TempDir(), "out")
		if _, err := c.Restore(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := backUp(none); err != nil {
		t.Fatal(err)
	}
	restore(client.RestoreOptions{})
	restore(client.RestoreOptions{Time: time.Now(), Chosen: backUp})
	if warned != nil {
		t.Errorf("warned of nothing: %q", warned)
	}
	restore(client.RestoreOptions{Chosen: backUp})
	if len(warned) != 1 || !strings.Contains(warned[0], "restore once more") {
		t.Errorf("warned: %q", warned)
	}
}

// Whoever waits for a cloud that shows late what others wrote is told so.
func TestLateListingsAreTold(t *testing.T) {
	w := &farWorld{world: newWorld(t)}
	w.far.traits.Lag = 1500 * time.Millisecond
	w.far.slow = make(chan struct{})
	told := make(chan string, 10)
	c := w.client(func(text string) { told <- text })
	c.TestingTimes(time.Millisecond, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = c.Enable(t.Context(), client.EnableOptions{Source: w.chats, Cloud: "gdrive:x", Deliver: new(keeper).deliver})
	}()
	if text := <-told; !strings.Contains(text, "may show only 1.5s later") {
		t.Errorf("told %q", text)
	}
	close(w.far.slow)
	<-done
}

// In a folder that was there the lag is waited out once, before the person writes digits down.
func TestLagIsWaitedOutOnce(t *testing.T) {
	w := &farWorld{world: newWorld(t)}
	w.far.traits.Lag = 400 * time.Millisecond
	var mu sync.Mutex
	looks := 0
	before := -1 // looks for a ring before one is put, since the wait was over
	w.far.asked = func(what string) {
		mu.Lock()
		defer mu.Unlock()
		if what == "list ring/" {
			looks++
		}
		if strings.HasPrefix(what, "put ring/") && before < 0 {
			before = looks
		}
	}
	c, k := w.client(nil), new(keeper)
	_, err := c.Enable(t.Context(), client.EnableOptions{Source: w.chats, Cloud: "gdrive:x", Deliver: func(key *key.Key) error {
		mu.Lock()
		defer mu.Unlock()
		if looks < 2 { // on a machine so busy that the first takes as long as the lag; else more
			t.Errorf("only %d looks before the digits are shown", looks)
		}
		looks = 0
		return k.deliver(key)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if before != 1 {
		t.Errorf("%d looks after the digits were shown, want one", before)
	}
}
