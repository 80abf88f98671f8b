package cells_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"keepsake.example/vault/cells"
)

// text is a string of n bytes under the name number i: names are spread evenly.
func text(i, n int) []byte {
	h, other := sha256.Sum256([]byte{byte(i), byte(i >> 8)}), sha256.Sum256([]byte{byte(i), byte(n), byte(n >> 8)})
	return append(h[:16:16], bytes.Repeat(other[:], n/32+1)[:max(n, 16)-16]...)
}

func name(i int) cells.Name { return cells.Name(text(i, 16)) }

func file(t interface{ Fatalf(string, ...any) }, p *cells.Picture) []byte {
	var b bytes.Buffer
	if n, err := p.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v of %d bytes", n, err, b.Len())
	}
	return b.Bytes()
}

func accept([]byte) error { return nil }

// sizes are at the seams of cells.
var sizes = []int{16, 17, 337, 338, 339, 676, 677, 1000, 5000, cells.MaxLength}

// TestModel compares a Store with a map, through pictures and files.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s, want := new(cells.Store), map[cells.Name][]byte{}
		type shown struct {
			p    *cells.Picture
			file []byte
		}
		var pictures []shown
		draw := func() int { return rapid.IntRange(0, 20).Draw(r, "name") }
		r.Repeat(map[string]func(*rapid.T){
			"put": func(*rapid.T) {
				b := text(draw(), rapid.SampledFrom(sizes).Draw(r, "size"))
				want[cells.Name(b)] = b
				if err := s.Put(b); err != nil {
					r.Fatalf("Put: %v", err)
				}
			},
			"delete": func(*rapid.T) { n := name(draw()); delete(want, n); s.Delete(n) },
			"picture": func(*rapid.T) {
				p := s.Picture([]byte("head"))
				pictures = append(pictures, shown{p, file(r, p)})
			},
			"release": func(*rapid.T) {
				if len(pictures) > 0 {
					i := rapid.IntRange(0, len(pictures)-1).Draw(r, "picture")
					if !bytes.Equal(file(r, pictures[i].p), pictures[i].file) {
						r.Fatalf("a picture changed")
					}
					pictures[i].p.Release()
					pictures = slices.Delete(pictures, i, i+1)
					s.Sweep()
				}
			},
			"reload": func(*rapid.T) {
				p := s.Picture([]byte("head"))
				b := file(r, p)
				again, err := cells.Load(bytes.NewReader(b), accept, accept)
				if err != nil {
					r.Fatalf("Load: %v", err)
				}
				if !bytes.Equal(file(r, again.Picture([]byte("head"))), b) {
					r.Fatalf("another file after Load")
				}
				p.Release()
			},
			"": func(*rapid.T) {
				if s.Len() != len(want) {
					r.Fatalf("%d strings, want %d", s.Len(), len(want))
				}
				for i := range 21 {
					if got := s.Get(nil, name(i)); !bytes.Equal(got, want[name(i)]) {
						r.Fatalf("string %d: %d bytes, want %d", i, len(got), len(want[name(i)]))
					}
				}
			},
		})
	})
}

// The file follows from the strings, not from how they came about.
func TestFileIsCanonical(t *testing.T) {
	one, two := new(cells.Store), new(cells.Store)
	for i := range 200 {
		one.Put(text(i, 300))
	}
	for _, i := range rand.New(rand.NewSource(1)).Perm(200) {
		two.Put(text(i, 5000))
		two.Put(text(i+1000, 20))
		two.Put(text(i, 300))
	}
	for i := range 200 {
		two.Delete(name(i + 1000))
	}
	if !bytes.Equal(file(t, one.Picture([]byte("h"))), file(t, two.Picture([]byte("h")))) {
		t.Error("the same strings in two files")
	}
}

// What was replaced or deleted is nowhere in the store; what a picture shows stays
// until its release, and is nowhere after the next Sweep.
func TestErased(t *testing.T) {
	secret := []byte("a secret that must be overwritten")
	with := func(i, n int) []byte { return append(text(i, n), secret...) }
	for _, n := range []int{16, 300, 330, 900} {
		for what, erase := range map[string]func(*cells.Store){
			"replaced by a shorter one": func(s *cells.Store) { s.Put(text(1, 16)) },
			"replaced by one as long":   func(s *cells.Store) { s.Put(text(1, n+len(secret))) },
			"replaced by a longer one":  func(s *cells.Store) { s.Put(text(1, 2000)) },
			"deleted":                   func(s *cells.Store) { s.Delete(name(1)) },
		} {
			s := new(cells.Store)
			s.Put(text(0, 400))
			s.Put(with(1, n))
			if !s.Holds(secret[16:]) && !s.Holds(secret[:16]) {
				t.Fatal("the test does not find a secret that is there")
			}
			first, second := s.Picture([]byte("h")), s.Picture([]byte("h"))
			pages := s.Pages()
			erase(s)
			if s.Holds(secret[16:]) || s.Holds(secret[:16]) {
				t.Errorf("%d bytes, %s: still there", n, what)
			}
			for _, p := range []*cells.Picture{first, second} {
				s.Sweep()
				if !bytes.Contains(file(t, p), secret) {
					t.Errorf("%d bytes, %s: a picture does not show it", n, what)
				}
				p.Release()
			}
			s.Sweep()
			if cells.AnyHolds(pages, secret[:16]) || cells.AnyHolds(pages, secret[16:]) {
				t.Errorf("%d bytes, %s: not cleared after the release", n, what)
			}
		}
	}
}

// A picture is written while the store goes on: the race detector looks on.
func TestPictureWhileTheStoreGoesOn(t *testing.T) {
	s, want := new(cells.Store), new(cells.Store)
	for i := range 3000 {
		s.Put(text(i, 300))
		want.Put(text(i, 300))
	}
	p, done := s.Picture([]byte("head")), make(chan []byte)
	go func() {
		var b bytes.Buffer
		p.WriteTo(&b)
		p.Release()
		done <- b.Bytes()
	}()
	for i := range 3000 {
		s.Put(text(i, 500))
		s.Delete(name(i / 2))
		s.Put(text(i+5000, 20))
		s.Sweep()
	}
	if got := <-done; !bytes.Equal(got, file(t, want.Picture([]byte("head")))) {
		t.Errorf("the picture shows other strings than there were")
	}
	if _, err := p.WriteTo(io.Discard); err == nil {
		t.Error("a released picture is written")
	}
	p.Release()
}

// small is a file with three strings.
func small(t *testing.T) []byte {
	s := new(cells.Store)
	for i, n := range []int{16, 17, 40} {
		s.Put(text(i, n))
	}
	return file(t, s.Picture([]byte("head")))
}

// Every truncation, every added byte and every changed byte is refused.
func TestMangledFile(t *testing.T) {
	b := small(t)
	refused := func(what string, m []byte) {
		t.Helper()
		if s, err := cells.Load(bytes.NewReader(m), accept, accept); !errors.Is(err, cells.ErrFormat) || s != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range b {
		refused(fmt.Sprintf("%d of %d bytes", n, len(b)), b[:n])
		for _, x := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
			m := bytes.Clone(b)
			m[n] ^= x
			refused(fmt.Sprintf("byte %d changed by %x", n, x), m)
		}
	}
	refused("a byte more", append(bytes.Clone(b), 0))
}

// The reader's failures, and its refusals, are told from a bad file; how it cuts
// the file up makes no difference.
func TestLoadFailures(t *testing.T) {
	b, broken := small(t), errors.New("broken")
	for n := range b {
		_, err := cells.Load(io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)), accept, accept)
		if !errors.Is(err, broken) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	refuse := func([]byte) error { return broken }
	for _, f := range [][2]func([]byte) error{{refuse, accept}, {accept, refuse}} {
		if _, err := cells.Load(bytes.NewReader(b), f[0], f[1]); err != broken {
			t.Errorf("refused by the caller: %v", err)
		}
	}
	for _, r := range []io.Reader{iotest.OneByteReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b)), iotest.HalfReader(bytes.NewReader(b))} {
		var lengths []int
		s, err := cells.Load(r, accept, func(b []byte) error { lengths = append(lengths, len(b)); return nil })
		slices.Sort(lengths)
		if err != nil || s.Len() != 3 || !slices.Equal(lengths, []int{16, 17, 40}) {
			t.Errorf("%v, lengths %v", err, lengths)
		}
	}
}

type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

// The writer's failure is WriteTo's.
func TestWriteFailures(t *testing.T) {
	s := new(cells.Store)
	for i := range 500 {
		s.Put(text(i, 300))
	}
	p := s.Picture([]byte("head"))
	for after := 0; after < 150_000; after += 30_000 {
		if n, err := p.WriteTo(&failing{after: after}); err != io.ErrShortWrite || n > int64(after) {
			t.Errorf("after %d bytes: %d, %v", after, n, err)
		}
	}
}

// FuzzLoad: a file that is loaded is written the same.
func FuzzLoad(f *testing.F) {
	s := new(cells.Store)
	s.Put(text(1, 20))
	s.Put(text(2, 400))
	b := file(f, s.Picture([]byte("head")))
	f.Add(b[:len(b)-4])
	f.Add([]byte{0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		b = cells.WithSum(b)
		var head []byte
		s, err := cells.Load(bytes.NewReader(b), func(h []byte) error { head = bytes.Clone(h); return nil }, accept)
		if err == nil && !bytes.Equal(file(t, s.Picture(head)), b) {
			t.Errorf("%x is written in another way", b)
		}
	})
}

// An Agenda gives names in the order of their times, equal entries once.
func TestAgenda(t *testing.T) {
	var a cells.Agenda
	times := map[cells.Name]uint64{}
	for _, i := range rand.New(rand.NewSource(1)).Perm(100) {
		times[name(i)] = uint64(i / 3)
		for range 1 + i%3 {
			a.Add(uint64(i/3), name(i))
		}
	}
	for now := uint64(0); len(times) > 0; now++ {
		for a.Due(now) {
			n := a.Take()
			if times[n] != now {
				t.Fatalf("taken at %d, due at %d", now, times[n])
			}
			if a.Due(now) { // its equals may come after others of the same time
				continue
			}
		}
		maps.DeleteFunc(times, func(_ cells.Name, at uint64) bool { return at == now })
	}
	if a.Len() != 0 || a.Due(1<<63) {
		t.Errorf("%d entries are left", a.Len())
	}
}
