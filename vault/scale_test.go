package vault_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

var scale = flag.String("accounts", "50000", "numbers of registered accounts for TestScale, joined with commas")

// maxBytes is how much memory a registered account may take.
const maxBytes = 400

// TestScale measures memory and loading: go test ./vault -run Scale -v -accounts 1000000,10000000
func TestScale(t *testing.T) {
	for _, n := range strings.Split(*scale, ",") {
		t.Run(n, func(t *testing.T) { measure(t, must(strconv.Atoi(n))) })
	}
}

func measure(t *testing.T, n int) {
	before := memory()
	s := must(vault.Load(manyAccounts(t, n)))
	used := float64(memory()-before) / float64(n)
	began := time.Now()
	c := s.Checkpoint()
	picture := time.Since(began)
	file := filepath.Join(t.TempDir(), "checkpoint")
	began = time.Now()
	size := save(t, file, c)
	writing := time.Since(began)
	c.Release()
	counted := s.Counts()
	s, c = nil, nil
	memory()

	began = time.Now()
	s = load(t, file)
	loading := time.Since(began)
	t.Logf("%d accounts: %.0f bytes of heap each (the store says %.0f); picture in %v; %d MB written in %.1f s, loaded in %.1f s",
		n, used, float64(counted.Bytes)/float64(n), picture.Round(time.Microsecond), size>>20, writing.Seconds(), loading.Seconds())
	if used > maxBytes || s.Counts().Records != n {
		t.Errorf("%.0f bytes for each of %d records, at most %d", used, s.Counts().Records, maxBytes)
	}
}

// memory is the live heap in bytes.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func save(t *testing.T, file string, c *vault.Checkpoint) int64 {
	f := must(os.Create(file))
	n := must(c.WriteTo(f))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return n
}

func load(t *testing.T, file string) *vault.State {
	f := must(os.Open(file))
	defer f.Close()
	return must(vault.Load(f))
}

// manyAccounts is the checkpoint of a fleet with n accounts that are like one
// that registered, each under a rid of its own.
func manyAccounts(t *testing.T, n int) io.Reader {
	w := newWorld(t, policy())
	w.person("alice").register("password", 10)
	w.pass(2 * hour) // nothing is due any more
	w.tick()
	b := w.checkpoint()
	head := 2 + int(binary.BigEndian.Uint16(b))
	account := bytes.Clone(b[head : len(b)-2-crc32.Size])
	r, to := io.Pipe()
	go func() {
		h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
		out := bufio.NewWriterSize(io.MultiWriter(to, h), 1<<20)
		out.Write(b[:head])
		for i := range n {
			// Spread evenly and rising, as hashes in their order are.
			binary.BigEndian.PutUint64(account[2:], uint64(i)*(1<<63/uint64(n)*2))
			out.Write(account)
		}
		out.Write([]byte{0, 0})
		finish(out, to, h)
	}()
	return r
}

func finish(out *bufio.Writer, to *io.PipeWriter, h interface{ Sum([]byte) []byte }) {
	out.Flush()
	to.Write(h.Sum(nil))
	to.Close()
}

// BenchmarkStatus is what a request costs beside its cryptography.
func BenchmarkStatus(b *testing.B) {
	w := newWorld(b, policy())
	p := w.person("alice")
	p.register("password", 10)
	w.pass(2 * hour)
	w.tick()
	c := p.command(&vaultapi.StatusBody{})
	for b.Loop() {
		if _, decided := w.state.Check(c); !decided {
			b.Fatal("not decided")
		}
	}
}

// BenchmarkAttempt is a new attempt, decided and applied.
func BenchmarkAttempt(b *testing.B) {
	p := policy()
	p.Waits = make([]uint64, 9)
	w := newWorld(b, p)
	alice := w.person("alice")
	s := alice.register("password", 10)
	for i := 0; b.Loop(); i++ {
		g := newGuess(i)
		c := alice.command(g.body())
		w.state.Check(c)
		must(w.state.Apply(c))
		b.StopTimer()
		must(w.state.Apply(alice.command(alice.proof(g, s, nil))))
		b.StartTimer()
	}
}
