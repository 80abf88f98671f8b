package peer_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"keepsake.example/peer"
)

// quick are limits with which tests need not wait for what takes its time in production.
func quick(c *peer.Config) {
	c.Limits.Beat, c.Limits.Silence = 20*time.Millisecond, 500*time.Millisecond
	c.Limits.PauseFrom, c.Limits.PauseTo = 5*time.Millisecond, 20*time.Millisecond
}

// Everybody reaches everybody; in order, with the right sender, group and bytes.
func TestFleetOfFive(t *testing.T) {
	const count = 200
	d := &directory{}
	var all []*member
	for n := range uint64(5) {
		l := listen(t)
		d.add(n+1, l.Addr().String())
		all = append(all, join(t, n+1, l, d))
	}
	for _, a := range all {
		a.Update()
		for _, b := range all {
			if a != b {
				a.awaitConnected(b.number)
				for i := range count {
					a.Send(b.number, uint32(i%3), fmt.Appendf(nil, "%d to %d: %d", a.number, b.number, i))
				}
			}
		}
	}
	for _, b := range all {
		next := map[uint64]int{}
		for range count * (len(all) - 1) {
			g := b.next()
			i := next[g.from]
			if want := fmt.Sprintf("%d to %d: %d", g.from, b.number, i); g.message != want || g.group != uint32(i%3) {
				t.Fatalf("received %+v, want %q", g, want)
			}
			next[g.from]++
		}
		s, _ := b.link(1 + b.number%5)
		if !s.Incoming || s.Dropped != 0 || s.Problem != "" {
			t.Errorf("status: %+v", s)
		}
	}
	await(t, "a measured way", func() bool { s, _ := all[0].link(2); return s.RTT > 0 })
}

func TestSizes(t *testing.T) {
	a, b, _ := pair(t)
	for _, n := range []int{0, 1, 100, 70_000, peer.MaxMessage} {
		message := bytes.Repeat([]byte{byte(n)}, n)
		a.Send(2, 7, message)
		if g := b.next(); g.message != string(message) || g.group != 7 || g.from != 1 {
			t.Errorf("a message of %d bytes came as %d from %d in group %d", n, len(g.message), g.from, g.group)
		}
	}
	a.Send(2, 0, make([]byte, peer.MaxMessage+1))
	a.Send(2, 0, []byte("after"))
	if g := b.next(); g.message != "after" {
		t.Errorf("received %d bytes", len(g.message))
	}
	if s, _ := a.link(2); s.Dropped != 1 {
		t.Errorf("dropped %d", s.Dropped)
	}
	a.Send(3, 0, []byte("nobody"))
	a.Send(1, 0, []byte("oneself"))
}

// What a member is sent while it is not there waits, up to the limit; the oldest go.
func TestQueueDropsTheOldest(t *testing.T) {
	d := &directory{}
	la, lb := listen(t), listen(t)
	d.add(1, la.Addr().String())
	way := newProxy(t, lb.Addr().String())
	way.blackhole(true)
	d.add(2, way.address)
	limits := func(c *peer.Config) {
		quick(c)
		c.Limits.Queue, c.Limits.Silence = 1<<20, time.Hour // nothing is too old
		c.Limits.Handshake = time.Hour
	}
	a := join(t, 1, la, d, limits)
	const size, count = 1 << 10, 3000
	for i := range count {
		a.Send(2, uint32(i), make([]byte, size))
		if s, _ := a.link(2); s.Queued > 1<<20 {
			t.Fatalf("%d bytes wait", s.Queued)
		}
	}
	s, _ := a.link(2)
	kept := s.Queued / (size + 64)
	if s.Dropped != uint64(count-kept) || kept < 900 {
		t.Errorf("dropped %d of %d, %d wait", s.Dropped, count, kept)
	}
	b := join(t, 2, lb, d, limits)
	way.blackhole(false)
	for i := count - kept; i < count; i++ {
		if g := b.next(); g.group != uint32(i) {
			t.Fatalf("message %d came where %d should", g.group, i)
		}
	}
}

// Messages that waited longer than Silence for a connection are not sent any more.
func TestStaleMessages(t *testing.T) {
	d := &directory{}
	la, lb := listen(t), listen(t)
	d.add(1, la.Addr().String())
	way := newProxy(t, lb.Addr().String())
	way.blackhole(true)
	d.add(2, way.address)
	short := func(c *peer.Config) {
		quick(c)
		c.Limits.Silence = 100 * time.Millisecond
		c.Limits.Handshake = time.Hour
	}
	a := join(t, 1, la, d, short)
	a.Send(2, 0, []byte("old"))
	time.Sleep(150 * time.Millisecond)
	b := join(t, 2, lb, d)
	way.blackhole(false)
	await(t, "the old message to be dropped", func() bool { s, _ := a.link(2); return s.Dropped == 1 })
	// On a busy machine the connection may end within so short a Silence, and a new message grow old.
	await(t, "a new message", func() bool {
		a.Send(2, 0, []byte("new"))
		select {
		case g := <-b.received:
			if g.message != "new" {
				t.Errorf("received %q", g.message)
			}
			return true
		default:
			return false
		}
	})
}

// A member that receives nothing keeps nobody from the others, and takes no more
// memory than its queue.
func TestStuckMemberBlocksNobody(t *testing.T) {
	d := &directory{}
	ls := []*member{}
	stuck := make(chan struct{})
	for n := uint64(1); n <= 3; n++ {
		l := listen(t)
		d.add(n, l.Addr().String())
		ls = append(ls, join(t, n, l, d, quick, func(c *peer.Config) {
			c.Limits.Queue, c.Limits.Silence = 1<<20, 10*time.Second // a busy machine is not silent for so long
			if receive := c.Receive; n == 2 {
				c.Receive = func(from uint64, group uint32, message []byte) { <-stuck; receive(from, group, message) }
			}
		}))
	}
	defer close(stuck)
	a, c := ls[0], ls[2]
	a.awaitConnected(2)
	a.awaitConnected(3)
	await(t, "a full queue", func() bool { // what the kernel takes comes first
		a.Send(2, 0, make([]byte, 256<<10))
		s, _ := a.link(2)
		return s.Dropped > 0
	})
	for i := range 100 {
		a.Send(2, 0, make([]byte, 256<<10))
		a.Send(3, uint32(i), []byte("on"))
		if g := c.next(); g.group != uint32(i) {
			t.Fatalf("received %+v", g)
		}
	}
	if s, _ := a.link(2); s.Queued > 1<<20 || !s.Connected {
		t.Errorf("the stuck member: %+v", s) // it is slow, but it lives
	}
}

// Nothing is received or served after Close, which may come at any moment.
func TestCloseUnderLoad(t *testing.T) {
	for range 5 {
		a, b, _ := pair(t, quick)
		a.awaitConnected(2)
		stop := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					a.Send(2, 0, make([]byte, i%5000))
					b.Send(1, 0, make([]byte, i%5000))
				}
			}
		}()
		calling := make(chan struct{})
		go func() {
			defer close(calling)
			for {
				if _, err := a.Call(t.Context(), 2, []byte("x")); err == peer.ErrClosed {
					return
				}
			}
		}()
		b.next()
		b.Close()
		n := len(b.received)
		a.Close()
		<-calling
		if len(b.received) != n {
			t.Error("messages were received after Close")
		}
		close(stop)
		<-ended
		if err := a.Close(); err != nil {
			t.Errorf("closing twice: %v", err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := peer.Config{
		Self: 1, Key: keyOf(1), Listener: listen(t), Directory: (&directory{}).now,
		Receive: func(uint64, uint32, []byte) {},
	}
	for name, spoil := range map[string]func(*peer.Config){
		"no number":    func(c *peer.Config) { c.Self = 0 },
		"no key":       func(c *peer.Config) { c.Key = nil },
		"no listener":  func(c *peer.Config) { c.Listener = nil },
		"no directory": func(c *peer.Config) { c.Directory = nil },
		"no receiver":  func(c *peer.Config) { c.Receive = nil },
	} {
		c := good
		spoil(&c)
		if l, err := peer.New(c); err == nil {
			l.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}
