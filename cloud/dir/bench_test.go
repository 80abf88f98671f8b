//go:build unix

package dir_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
)

const packSize = 16 << 20

// BenchmarkPut puts a pack, and BenchmarkDisk does what the disk has to do at
// the least for it: write and fsync one file.
func BenchmarkPut(b *testing.B) {
	s := benchStore(b)
	data := make([]byte, packSize)
	b.SetBytes(packSize)
	for i := 0; b.Loop(); i++ {
		if err := s.Put(b.Context(), fmt.Sprintf("data/%d", i), bytes.NewReader(data), packSize); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDisk(b *testing.B) {
	path, data := b.TempDir(), make([]byte, packSize)
	b.SetBytes(packSize)
	for i := 0; b.Loop(); i++ {
		f, err := os.Create(filepath.Join(path, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}

func BenchmarkGet(b *testing.B) {
	s, buf := benchStore(b), make([]byte, packSize)
	if err := s.Put(b.Context(), "data/0", bytes.NewReader(buf), packSize); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(packSize)
	for b.Loop() {
		r, err := s.Get(b.Context(), "data/0", 0, packSize)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(r, buf); err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkStat(b *testing.B) {
	s := benchStore(b)
	if err := s.Put(b.Context(), "data/0", bytes.NewReader(nil), 0); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Stat(b.Context(), "data/0"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B) cloud.Store {
	s, err := dir.Create(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return s
}
