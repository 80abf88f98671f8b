package replica_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keepsake.example/anchor/software"
	"keepsake.example/replica"
)

// count is a machine that keeps nothing, so that the benchmark measures the replica.
type count struct {
	toy
	n int
}

func (c *count) Apply([]byte, bool) (any, error) { c.n++; return nil, nil }

// BenchmarkPropose: entries of 400 bytes from 64 proposers at a time, with the
// software anchor on the same disk. It reports the latencies of single proposals.
func BenchmarkPropose(b *testing.B) {
	p := newPlace(b)
	a := must(software.Open(p.anchor))
	defer a.Close()
	c := replica.Config{Dir: p.disk, Anchor: a, NewMachine: func() replica.Machine { return &count{} }}
	check(b, replica.Create(b.Context(), c, 1, nil))
	r := must(replica.Open(b.Context(), c))
	defer r.Close()
	const proposers = 64
	var next atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range proposers {
		wg.Go(func() {
			var mine []time.Duration
			entry := make([]byte, 400)
			for next.Add(1) <= int64(b.N) {
				start := time.Now()
				if _, err := r.Propose(b.Context(), entry); err != nil {
					b.Error(err)
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(len(all))/float64(r.Status().Batch), "entries/batch")
	for name, at := range map[string]int{"p50-ms": len(all) / 2, "p99-ms": len(all) * 99 / 100} {
		b.ReportMetric(all[at].Seconds()*1000, name)
	}
}

// BenchmarkRead: with nothing else going on.
func BenchmarkRead(b *testing.B) {
	created(b).run(b, func(r *replica.Replica) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				check(b, r.Read(b.Context(), func(replica.Machine) {}))
			}
		})
	})
}
