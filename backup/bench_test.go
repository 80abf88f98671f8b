package backup_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"keepsake.example/backup"
)

const benchMedia = 64 << 20

// benchPhone has a history of 64 MiB of media and a database.
func benchPhone(b *testing.B) (p *phone, bytes int64) {
	b.Helper()
	p = newPhone(b)
	rnd := rand.New(rand.NewChaCha8([32]byte{9}))
	p.sql("Databases/msgstore.db", makeMessages)
	for i := range 64 {
		p.write(fmt.Sprintf("Media/Images/%03d.jpg", i), random(rnd, benchMedia/64))
	}
	info, err := os.Stat(filepath.Join(p.chats, "Databases/msgstore.db"))
	must(b, err)
	return p, benchMedia + info.Size()
}

func BenchmarkFirstBackup(b *testing.B) {
	p, bytes := benchPhone(b)
	b.SetBytes(bytes)
	for b.Loop() {
		b.StopTimer()
		fresh := newPhone(b)
		fresh.chats = p.chats
		b.StartTimer()
		fresh.backup(backup.BackupOptions{})
	}
}

func BenchmarkNextDay(b *testing.B) {
	p, _ := benchPhone(b)
	p.backup(backup.BackupOptions{})
	day := 0
	for b.Loop() {
		b.StopTimer()
		day++
		p.nextDay(day)
		b.StartTimer()
		p.backup(backup.BackupOptions{})
	}
}

func BenchmarkVerify(b *testing.B) {
	p, bytes := benchPhone(b)
	p.backup(backup.BackupOptions{})
	b.SetBytes(bytes)
	for b.Loop() {
		p.verify(1)
	}
}

func BenchmarkRestore(b *testing.B) {
	p, bytes := benchPhone(b)
	p.backup(backup.BackupOptions{})
	b.SetBytes(bytes)
	for b.Loop() {
		p.restore("latest")
	}
}

func BenchmarkDigest(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			digest := backup.ChunkDigest()
			data := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				digest(data)
			}
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	p := newPhone(b)
	p.sql("msgstore.db", makeMessages)
	pages := mustRead(b, filepath.Join(p.chats, "msgstore.db"))[:512<<10]
	for name, f := range backup.Compressors() {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(pages)))
			stored := 0
			for b.Loop() {
				stored = f(pages)
			}
			b.ReportMetric(float64(len(pages))/float64(stored), "times-smaller")
		})
	}
}
