package process_test

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/dir"
)

const packSize = 16 << 20

// stores are a folder as it is, and through a child.
var stores = map[string]func(b *testing.B) cloud.Store{
	"folder": func(b *testing.B) cloud.Store {
		s, err := dir.Create(filepath.Join(b.TempDir(), "cloud"))
		if err != nil {
			b.Fatal(err)
		}
		return s
	},
	"process": func(b *testing.B) cloud.Store { return open(b, "dir", filepath.Join(b.TempDir(), "cloud")) },
	// nowhere throws away what is put, and gives zeros: what the pipe alone costs.
	"nowhere": func(b *testing.B) cloud.Store { return open(b, "nowhere", "") },
}

// BenchmarkPut and BenchmarkGet move a pack: the folder against the same through a child.
func BenchmarkPut(b *testing.B) {
	data := noise(packSize)
	for name, store := range stores {
		b.Run(name, func(b *testing.B) {
			s := store(b)
			b.SetBytes(packSize)
			for i := 0; b.Loop(); i++ {
				name := fmt.Sprintf("data/%d", i%4)
				if err := s.Put(b.Context(), name, bytes.NewReader(data), packSize); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Delete(b.Context(), name); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for name, store := range stores {
		b.Run(name, func(b *testing.B) {
			s, buf := store(b), noise(packSize)
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
		})
	}
}
