package audit_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"keepsake.example/chatd/audit"
)

type event struct {
	N    int    `json:"n"`
	Text string `json:"text,omitempty"`
}

func open(t *testing.T, path string) *audit.Log {
	t.Helper()
	l, err := audit.Open(path, audit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func add(t *testing.T, l *audit.Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := l.Append(event{N: i}); err != nil {
			t.Fatal(err)
		}
	}
}

func shut(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole checks that the files in order are one chain of n lines.
func whole(t *testing.T, n uint64, files ...string) {
	t.Helper()
	var head audit.Head
	for _, f := range files {
		var err error
		if head, err = audit.Verify(bytes.NewReader(read(t, f)), &head); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	if head.Seq != n {
		t.Fatalf("%d lines, want %d", head.Seq, n)
	}
}

func TestFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	add(t, l, 1, 3)
	shut(t, l)
	first := `{"seq":1,"prev":"` + strings.Repeat("0", 64) + `","event":{"n":1}}`
	second := fmt.Sprintf(`{"seq":2,"prev":"%x","event":{"n":2}}`, sha256.Sum256([]byte(first)))
	if got := string(read(t, path)); got != first+"\n"+second+"\n" {
		t.Errorf("got %s", got)
	}
	whole(t, 2, path)
}

func TestChainGoesOnAfterAStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for i := range 3 {
		l := open(t, path)
		add(t, l, i*5, i*5+5)
		shut(t, l)
	}
	whole(t, 15, path)
}

func TestEntriesOfManyCallersAreEachThereOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() { add(t, l, i*10, i*10+10) })
	}
	all.Wait()
	shut(t, l)
	whole(t, 500, path)
	text := string(read(t, path))
	for i := range 500 {
		if strings.Count(text, fmt.Sprintf(`"event":{"n":%d}`, i)) != 1 {
			t.Fatalf("event %d is not there once", i)
		}
	}
}

// await lets others run until what is true.
func await(what func() bool) {
	for !what() {
		runtime.Gosched()
	}
}

// faulty fails as its test says, and counts syncs.
type faulty struct {
	audit.File
	write, sync, truncate error
	syncs                 atomic.Int32
	hold                  chan struct{}
}

func (f *faulty) Write(b []byte) (int, error) {
	if f.write != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, f.write
	}
	return f.File.Write(b)
}

func (f *faulty) Sync() error {
	f.syncs.Add(1)
	if f.hold != nil {
		<-f.hold
	}
	if f.sync != nil {
		return f.sync
	}
	return f.File.Sync()
}

func (f *faulty) Truncate(n int64) error {
	if f.truncate != nil {
		return f.truncate
	}
	return f.File.Truncate(n)
}

func break_(l *audit.Log) *faulty {
	f := &faulty{}
	audit.WrapFile(l, func(real audit.File) audit.File { f.File = real; return f })
	return f
}

var errDisk = errors.New("disk on fire")

func TestFailureIsToldAndTheChainStaysWhole(t *testing.T) {
	for name, set := range map[string]func(*faulty, error){
		"write": func(f *faulty, err error) { f.write = err },
		"sync":  func(f *faulty, err error) { f.sync = err },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			l := open(t, path)
			add(t, l, 0, 3)
			f := break_(l)
			set(f, errDisk)
			for range 2 {
				if err := l.Append(event{N: 99}); !errors.Is(err, errDisk) || !errors.Is(l.Err(), errDisk) {
					t.Fatalf("got %v, %v", err, l.Err())
				}
			}
			f.truncate = errDisk
			set(f, nil)
			// Nothing may follow a half-written line that cannot be taken back.
			if err := l.Append(event{N: 99}); !errors.Is(err, errDisk) {
				t.Fatalf("got %v", err)
			}
			f.truncate = nil
			add(t, l, 3, 6)
			if l.Err() != nil {
				t.Error(l.Err())
			}
			shut(t, l)
			whole(t, 6, path)
			if bytes.Contains(read(t, path), []byte(`"n":99`)) {
				t.Error("an event that was refused is there")
			}
		})
	}
}

func TestEntriesThatWaitTogetherAreSyncedTogether(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "log"))
	f := break_(l)
	f.hold = make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { add(t, l, 0, 1) })
	await(func() bool { return f.syncs.Load() == 1 })
	for i := range 99 {
		all.Go(func() { add(t, l, i+1, i+2) })
	}
	await(func() bool { return audit.Waiting(l) == 99 })
	close(f.hold)
	all.Wait()
	shut(t, l)
	if n := f.syncs.Load(); n != 2 {
		t.Errorf("%d syncs for 100 entries of which 99 waited", n)
	}
}

func TestCrashInTheMiddleOfALineIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	add(t, l, 0, 3)
	shut(t, l)
	good := read(t, path)
	lastLine := good[bytes.LastIndexByte(good[:len(good)-1], '\n')+1:]
	for cut := 1; cut < len(lastLine); cut++ {
		if err := os.WriteFile(path, good[:len(good)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, path)
		add(t, l, 2, 3)
		shut(t, l)
		if !bytes.Equal(read(t, path), good) {
			t.Fatalf("cut by %d: not the same again", cut)
		}
	}
}

func TestFullFilesAreAsideAndTheChainGoesThrough(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	l := open(t, path)
	big := event{Text: strings.Repeat("x", 4000)}
	for big.N = range 600 {
		if err := l.Append(big); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, l)
	aside, err := filepath.Glob(filepath.Join(dir, "log-*"))
	if err != nil || len(aside) != 2 {
		t.Fatalf("aside: %q, %v", aside, err)
	}
	whole(t, 600, append(aside, path)...)
	for _, f := range aside {
		if n := len(read(t, f)); n > 1<<20 {
			t.Errorf("%s has %d bytes", f, n)
		}
	}
	// A crash right after a file was put aside leaves none to write.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l = open(t, path)
	add(t, l, 0, 1)
	shut(t, l)
	head, err := audit.Verify(bytes.NewReader(read(t, aside[0])), nil)
	if err == nil {
		head, err = audit.Verify(bytes.NewReader(read(t, aside[1])), &head)
	}
	if err == nil {
		_, err = audit.Verify(bytes.NewReader(read(t, path)), &head)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestEveryChangeShows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	add(t, l, 0, 4)
	shut(t, l)
	good := read(t, path)
	end, err := audit.Verify(bytes.NewReader(good), &audit.Head{})
	if err != nil {
		t.Fatal(err)
	}
	differs := func(b []byte) bool {
		h, err := audit.Verify(bytes.NewReader(b), &audit.Head{})
		return err != nil || h != end
	}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		if !differs(changed) {
			t.Errorf("byte %d changed: not seen", i)
		}
		// The last line end is not part of the line.
		if i < len(good)-1 && !differs(good[:i]) {
			t.Errorf("cut to %d bytes: not seen", i)
		}
	}
	lines := bytes.SplitAfter(good, []byte("\n"))
	if !differs(bytes.Join([][]byte{lines[0], lines[2], lines[1], lines[3]}, nil)) || !differs(bytes.Join(lines[1:], nil)) {
		t.Error("moved or missing lines: not seen")
	}
}

func TestOneProcessHasTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := open(t, path)
	if _, err := audit.Open(path, audit.Options{}); err == nil {
		t.Error("a second one opens")
	}
	shut(t, l)
	shut(t, open(t, path))
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	l := open(t, filepath.Join(dir, "log"))
	if l.Append(event{Text: strings.Repeat("x", audit.MaxEvent)}) == nil {
		t.Error("an oversized event is accepted")
	}
	if l.Append(func() {}) == nil {
		t.Error("a function is accepted")
	}
	shut(t, l)
	if err := l.Append(event{}); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := l.Close(); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("closed twice: %v", err)
	}
	for name, text := range map[string]string{
		"another": "hello\n", "long": strings.Repeat("x", 20000), "zero": `{"seq":0,"prev":"","event":1}` + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Open(path, audit.Options{}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte(`{"seq":1,"prev":"` + strings.Repeat("0", 64) + `","event":{"n":1}}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := audit.Verify(bytes.NewReader(b), &audit.Head{})
		if err == nil && head.Seq != uint64(len(bytes.FieldsFunc(b, func(r rune) bool { return r == '\n' }))) {
			t.Fatalf("%d lines of %q", head.Seq, b)
		}
	})
}

// 64 callers at once, as a relay has them.
func BenchmarkAppend(b *testing.B) {
	l, err := audit.Open(filepath.Join(b.TempDir(), "log"), audit.Options{MaxSize: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := l.Append(event{N: 1, Text: strings.Repeat("x", 300)}); err != nil {
				b.Error(err)
			}
		}
	})
}
