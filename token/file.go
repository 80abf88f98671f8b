package token

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// lookEvery is how often a file is looked at: a rotated key is known that soon.
const lookEvery = time.Second

// fileSource reads a file again when it has changed. What the file says is
// trusted: whoever can write it can name the key of every account.
type fileSource struct {
	current
	path   string
	now    func() time.Time
	mu     sync.Mutex
	looked time.Time
	seen   os.FileInfo
}

// File gives the keys of the JWK Set in the file at path. It is read now,
// and again when a token comes in and the file has changed; a change that
// cannot be read keeps the keys before it and is told by Err. now is the
// clock; nil means time.Now.
func File(path string, now func() time.Time) (KeySource, error) {
	if now == nil {
		now = time.Now
	}
	f := &fileSource{path: path, now: now}
	if f.look(); f.current.Err() != nil {
		return nil, f.current.Err()
	}
	return f, nil
}

func (f *fileSource) find(kid, algorithm string) (key, bool) {
	f.look()
	return f.current.find(kid, algorithm)
}

func (f *fileSource) Err() error {
	f.look()
	return f.current.Err()
}

// look reads the file if it has changed since the last look.
func (f *fileSource) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); f.seen != nil && now.Sub(f.looked).Abs() < lookEvery {
		return
	} else {
		f.looked = now
	}
	info, err := os.Stat(f.path)
	if err == nil && f.seen != nil && unchanged(f.seen, info) && f.current.Err() == nil {
		return
	}
	set, err := readKeyFile(f.path)
	if err != nil {
		f.fail(fmt.Errorf("reading keys: %w", err))
		return
	}
	f.seen = info
	f.replace(set)
}

func unchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

func readKeyFile(path string) (keySet, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	return parseKeySet(text)
}
