package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/backup"
	"keepsake.example/cloud"
)

// Transfers are what slowStore wrote of packs: what was begun, and what the store has acknowledged.
type transfers struct {
	begun, ended map[string]int64
}

func readTransfers(t *testing.T, path string) transfers {
	t.Helper()
	x := transfers{make(map[string]int64), make(map[string]int64)}
	for line := range strings.Lines(string(mustRead(t, path))) {
		var what, name string
		var size int64
		if _, err := fmt.Sscanf(line, "%s %s %d", &what, &name, &size); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if !strings.HasPrefix(name, "data/") && !strings.HasPrefix(name, "meta/") {
			continue
		}
		if what == "begin" {
			x.begun[name] = size
		} else {
			x.ended[name] = size
		}
	}
	return x
}

func sum(m map[string]int64) (total int64) {
	for _, n := range m {
		total += n
	}
	return total
}

// A backup over four slow connections is killed again and again. Each run takes up what the ones before it have stored: what is sent a second time is
// at most what was on the way at each kill, one pack for each connection.
func TestKilledOverANetwork(t *testing.T) {
	t.Parallel()
	const connections, packBytes = 4, smallPack * 9 / 8
	p, rnd := newPhone(t), seeded(t)
	for i := range 40 {
		p.write(fmt.Sprintf("Media/%02d.jpg", i), random(rnd, 700_000))
	}
	p.sql("Databases/msgstore.db", makeMessages)
	j := p.job("backup")
	j.Slow, j.Traits = 50*time.Millisecond, cloud.Traits{Parallel: 4 * connections} // more than the memory allows
	var begun, acknowledged int64
	kills, done := 0, false
	for !done {
		j.Log = filepath.Join(t.TempDir(), "log")
		must(t, os.WriteFile(j.Log, nil, 0o600))
		wait := 40*time.Millisecond + someTime(rnd, 300*time.Millisecond)
		if kills == 8 {
			wait = time.Minute
		}
		o := j.start(t, 0).killAfter(wait)
		x := readTransfers(t, j.Log)
		begun, acknowledged = begun+sum(x.begun), acknowledged+sum(x.ended)
		if way := len(x.begun) - len(x.ended); way > connections {
			t.Errorf("%d packs were on their way over %d connections", way, connections)
		}
		if o == nil {
			kills++
			continue
		}
		if o.Error != "" || o.Backup.BytesUploaded != sum(x.ended) || o.Backup.BytesSent != sum(x.begun) {
			t.Errorf("%s: %+v, of %d bytes begun and %d stored", o.Error, o.Backup, sum(x.begun), sum(x.ended))
		}
		p.mark, done = o.Mark, true
	}
	q := newPhone(t)
	q.chats = p.chats
	once := q.job("backup").finish(t).Backup.BytesUploaded
	t.Logf("%d kills: %d bytes begun and %d stored for %d", kills, begun, acknowledged, once)
	if again := begun - once; kills == 0 || again > int64(kills+1)*connections*packBytes {
		t.Errorf("%d kills, and %d bytes were sent again", kills, again)
	}
	// A kill closes the packs that were being filled, which costs padding and a table, and no contents.
	if acknowledged > once+int64(kills+1)*packBytes {
		t.Errorf("%d bytes are stored for %d", acknowledged, once)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
}

// A lossy store loses the answer to a share of its Puts; below the engine, as a library of a provider does, it tries again, and says what that says.
type lossy struct {
	cloud.Store
	mu   sync.Mutex
	puts int
	lie  []byte // instead of the object, by who had the name first
	hit  map[string]int
}

func (s *lossy) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	s.mu.Lock()
	s.puts++
	folder, _, _ := strings.Cut(name, "/")
	s.hit[folder]++
	s.mu.Unlock()
	var err error
	if s.lie != nil {
		err = s.Store.Put(ctx, name, bytes.NewReader(s.lie), int64(len(s.lie)))
	} else {
		err = s.Store.Put(ctx, name, body, size)
	}
	if err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.Store.Put(ctx, name, body, size) // it is there
}

// An object that is there already is the one we sent before, if it is; another's is an error, whatever the name.
func TestAnswersLostBelow(t *testing.T) {
	p := newPhone(t)
	p.history()
	s := &lossy{Store: p.store, hit: make(map[string]int)}
	p.store = s
	res := p.backup(backup.BackupOptions{})
	p.nextDay(1)
	p.backup(backup.BackupOptions{})
	for _, folder := range []string{"lock", "data", "meta", "index", "snap", "head"} {
		if s.hit[folder] == 0 {
			t.Errorf("nothing was put in %s", folder)
		}
	}
	if res.BytesSent < res.BytesUploaded {
		t.Errorf("%d bytes sent, %d stored", res.BytesSent, res.BytesUploaded)
	}
	same(t, tree(t, p.chats), tree(t, p.restore("latest")))
	p.sound()
	for _, lie := range [][]byte{[]byte("short"), random(rand.New(rand.NewPCG(3, 3)), 2<<20)} {
		s.lie = lie
		r := p.open()
		if _, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats}); !errors.Is(err, cloud.ErrExist) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("another object under the name: %v", err)
		}
	}
}

// A hesitant store reads every body whole, and then wants it from the start again, or waits before it says that it has it.
type hesitant struct {
	cloud.Store
	seen func(string)
}

func (s *hesitant) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	if !strings.HasPrefix(name, "data/") {
		return s.Store.Put(ctx, name, body, size)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	s.seen("read")
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	s.seen("again")
	err := s.Store.Put(ctx, name, body, size)
	s.seen("stored")
	return err
}

// Progress tells what the store has acknowledged apart from what is on the way to it.
func TestProgressOfUploads(t *testing.T) {
	p := newPhone(t)
	p.write("f", random(rand.New(rand.NewPCG(4, 4)), 3<<20))
	var mu sync.Mutex
	var last backup.Progress
	states := make(map[string]backup.Progress)
	ticked := make(chan struct{}, 1)
	o := p.options()
	o.Progress = func(now backup.Progress) {
		mu.Lock()
		defer mu.Unlock()
		last = now
		select {
		case ticked <- struct{}{}:
		default:
		}
	}
	seen := func(what string) {
		for range 2 { // the tick under way may have begun before
			<-ticked
			mu.Lock()
			states[what] = last
			mu.Unlock()
		}
	}
	r, err := backup.Open(t.Context(), &hesitant{p.store, seen}, p.key, o)
	must(t, err)
	defer r.Close()
	res, err := r.Backup(t.Context(), backup.BackupOptions{Source: p.chats})
	must(t, err)
	for what, sending := range map[string]bool{"read": true, "again": false, "stored": true} {
		got := states[what]
		if got.BytesUploaded > 1<<20 || (got.BytesSending > 3<<20) != sending { // the small pack of lists may be stored
			t.Errorf("%s: %+v", what, got)
		}
	}
	if last.BytesSending != 0 || last.BytesUploaded != res.BytesUploaded || res.BytesUploaded < 3<<20 || res.BytesSent < 6<<20 {
		t.Errorf("at the end %+v, %+v", last, res)
	}
}
