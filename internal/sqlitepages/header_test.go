package sqlitepages_test

import (
	"bytes"
	"math/bits"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/internal/sqlitepages"
)

func goodDatabase(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chat.db")
	makeDatabase(t, path, 3, "page_size=512")
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

// All truncations of a header are refused, and every change of a byte that the
// format fixes; the other bytes may be anything.
func TestHeaderManglings(t *testing.T) {
	good := goodDatabase(t)[:sqlitepages.HeaderSize]
	for n := range good {
		if sqlitepages.IsDatabase(good[:n]) {
			t.Errorf("%d bytes accepted", n)
		}
	}
	for i := range good {
		for v := range 256 {
			b := bytes.Clone(good)
			b[i] = byte(v)
			if got, want := sqlitepages.IsDatabase(b), b[i] == good[i] || mayBe(i, v); got != want {
				t.Errorf("byte %d = %d: accepted %v, want %v", i, v, got, want)
			}
		}
	}
}

// mayBe says which values other than its own a byte of a header with pages of
// 512 bytes (0x02, 0x00) can have.
func mayBe(i, v int) bool {
	switch {
	case i < 16, 21 <= i && i <= 23:
		return false
	case i == 16: // 0x0100 is 256 and too small
		return v != 0 && v&(v-1) == 0 && v != 1
	case i == 17: // any other low byte is no power of two
		return false
	case i == 19:
		return v == 1 || v == 2
	case i == 20: // 480 bytes must be left
		return v <= 32
	}
	return true
}

// FuzzIsDatabase holds the sieve to what the format says of page sizes.
func FuzzIsDatabase(f *testing.F) {
	f.Add(goodDatabase(f))
	f.Add([]byte("SQLite format 3\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !sqlitepages.IsDatabase(b) {
			return
		}
		size := int(b[16])<<8 | int(b[17])
		if size != 1 && (bits.OnesCount(uint(size)) != 1 || size < 512 || size > 32768) {
			t.Errorf("page size %d accepted", size)
		}
	})
}

// A database with any byte of its header changed, or cut short, gives an error
// or its own bytes up to the page that the header names last; it is never
// written to.
func TestMangledDatabase(t *testing.T) {
	good := goodDatabase(t)
	path := filepath.Join(t.TempDir(), "chat.db")
	accepted := 0
	for i := range good {
		mangled := [][]byte{bytes.Clone(good), bytes.Clone(good), good[:i]}
		mangled[0][i] ^= 0xff
		mangled[1][i] ^= 0x01
		if i >= sqlitepages.HeaderSize+8 {
			mangled = mangled[2:] // of a table: pages are not looked into
			if i%61 != 0 {
				continue
			}
		}
		for _, b := range mangled {
			must(t, os.WriteFile(path, b, 0o600))
			c, err := quickOpen(t, path)
			if err != nil {
				continue
			}
			accepted++
			// SQLite reads a last page that is cut short as filled with zeros.
			if !bytes.HasPrefix(append(bytes.Clone(b), make([]byte, c.PageSize()-1)...), drain(t, c)) {
				t.Errorf("byte %d: capture is no part of the file", i)
			}
			must(t, c.Close())
			sameFiles(t, map[string][]byte{"chat.db": b}, kept(t, path))
		}
	}
	if accepted == 0 {
		t.Error("all were refused: nothing was tested")
	}
}
