package peer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"keepsake.example/peer"
)

// BenchmarkSend is messages through one link, as fast as they arrive.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{256, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			var arrived atomic.Int64
			more := make(chan struct{}, 1)
			from, _, _ := pair(b, func(c *peer.Config) {
				c.Receive = func(uint64, uint32, []byte) {
					arrived.Add(1)
					select {
					case more <- struct{}{}:
					default:
					}
				}
			})
			from.awaitConnected(2)
			message := make([]byte, size)
			window := int64(4<<20) / int64(size+64)
			b.SetBytes(int64(size))
			sent := int64(0)
			wait := func(for_ int64) {
				for arrived.Load() < for_ {
					<-more
				}
			}
			for b.Loop() {
				wait(sent - window)
				from.Send(2, 0, message)
				sent++
			}
			wait(sent)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			if s, _ := from.link(2); s.Dropped > 0 {
				b.Fatalf("%d were dropped", s.Dropped)
			}
		})
	}
}

// BenchmarkRoundTrip is a message there and one back, and a call.
func BenchmarkRoundTrip(b *testing.B) {
	message := make([]byte, 256)
	b.Run("messages", func(b *testing.B) {
		back := make(chan struct{})
		var links [3]atomic.Pointer[member]
		x, y, _ := pair(b, func(c *peer.Config) {
			if c.Self == 1 {
				c.Receive = func(uint64, uint32, []byte) { back <- struct{}{} }
			} else {
				c.Receive = func(_ uint64, _ uint32, m []byte) { links[2].Load().Send(1, 0, m) }
			}
		})
		links[2].Store(y)
		x.awaitConnected(2)
		y.awaitConnected(1)
		for b.Loop() {
			x.Send(2, 0, message)
			<-back
		}
	})
	b.Run("call", func(b *testing.B) {
		x, _, _ := pair(b, func(c *peer.Config) {
			c.Serve = func(_ context.Context, _ uint64, request []byte) ([]byte, error) { return request, nil }
		})
		x.awaitConnected(2)
		for b.Loop() {
			if _, err := x.Call(b.Context(), 2, message); err != nil {
				b.Fatal(err)
			}
		}
	})
}
