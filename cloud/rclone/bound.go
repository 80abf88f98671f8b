package rclone

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/rclone/rclone/fs"
)

// Bounds of what a server may make this process hold in memory. rclone and the SDKs have
// none: they collect the pages of a listing, and the whole of an answer that is XML or JSON.
var (
	// maxEntries and maxNames are what one listing may have: entries, of ours or not, and
	// bytes of their names. Sixteen terabytes are a million packs.
	maxEntries = 1 << 20
	maxNames   = 128 << 20
	// freePages is how many requests a listing may take without an entry for each: a server
	// may send short pages, and empty ones, but not for ever.
	freePages = 1000
	// maxHeap is how much may be in use while an answer is awaited, in bytes. A million
	// entries take about half of it.
	maxHeap uint64 = 640 << 20
)

// glance is how often the memory is looked at: an answer brings some tens of megabytes
// in that time.
const glance = 100 * time.Millisecond

// endless is the error of an answer that is beyond the bounds. It is none of the kinds that
// pass: the next answer would be no better.
func endless(format string, args ...any) error {
	return &failure{text: fmt.Sprintf(format, args...) + "; is the server broken, or is this the wrong place?"}
}

// held gives a context that ends, with endless as its cause, when this process holds more
// memory than it may. It lives on after stop: what is downloaded is read later.
func held(ctx context.Context) (bounded context.Context, stop func()) {
	bounded, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(glance)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if n := heap(); n > maxHeap {
					cancel(endless("the server's answer has no end: %d MB of memory are full", n>>20))
					return
				}
			case <-ended:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return bounded, func() { close(ended) }
}

func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// because gives the reason why a context was ended by its bounds, in place of err.
func because(ctx context.Context, err error) error {
	if f, ok := errors.AsType[*failure](context.Cause(ctx)); ok && err != nil {
		return f
	}
	return err
}

// A collector is one listing as it comes.
type collector struct {
	all      fs.DirEntries
	names    int
	requests atomic.Int64
	entries  atomic.Int64
}

// collect gives a listing, made by list, that calls add for each page of entries; or not at
// all, and gives them all at the end.
func collect(ctx context.Context, list func(ctx context.Context, add fs.ListRCallback) (fs.DirEntries, error)) (fs.DirEntries, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &collector{}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if n := c.requests.Add(1); n > int64(freePages)+c.entries.Load() {
			cancel(endless("the listing has no end: %d requests gave %d entries", n, c.entries.Load()))
		}
	}})
	rest, err := list(traced, func(part fs.DirEntries) error {
		if err := c.add(part); err != nil {
			return err
		}
		return ctx.Err()
	})
	if err == nil {
		err = c.add(rest)
	}
	if err != nil {
		return nil, because(ctx, err)
	}
	return c.all, nil
}

func (c *collector) add(part fs.DirEntries) error {
	for _, e := range part {
		c.names += len(e.Remote())
	}
	c.entries.Add(int64(len(part)))
	if len(c.all)+len(part) > maxEntries || c.names > maxNames {
		return endless("the listing is too long: more than %d entries, or %d MB of names", maxEntries, maxNames>>20)
	}
	c.all = append(c.all, part...)
	return nil
}
