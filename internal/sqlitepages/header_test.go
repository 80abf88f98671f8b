package sqlitepages_test

import (
	"bytes"
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

// Whatever the file, opening it gives an error or exactly its pages.
func FuzzOpen(f *testing.F) {
	good := goodDatabase(f)
	f.Add(good, []byte{}, []byte{})
	f.Add(good[:700], []byte{}, []byte{0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7})
	wal := bytes.Clone(good)
	wal[18], wal[19] = 2, 2
	f.Add(wal, []byte{0x37, 0x7f, 0x06, 0x82}, []byte{})
	f.Fuzz(func(t *testing.T, db, log, journal []byte) {
		path := filepath.Join(t.TempDir(), "chat.db")
		must(t, os.WriteFile(path, db, 0o600))
		for suffix, b := range map[string][]byte{"-wal": log, "-journal": journal} {
			if len(b) > 0 {
				must(t, os.WriteFile(path+suffix, b, 0o600))
			}
		}
		c, err := quickOpen(t, path)
		if err != nil {
			return
		}
		defer c.Close()
		if c.PageCount() < 1 || c.PageCount() > 1<<16 {
			return
		}
		drain(t, c)
		sameFiles(t, map[string][]byte{"chat.db": db}, map[string][]byte{"chat.db": kept2(t, path)})
	})
}

func kept2(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}
