package faulty_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"keepsake.example/cloud/faulty"
)

// echo is a server that gives back what it is sent.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func tcp(t *testing.T, w faulty.Way) *faulty.Proxy {
	t.Helper()
	p, err := faulty.TCP(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	p.SetWay(w)
	return p
}

func dial(t *testing.T, p *faulty.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// there sends data and reads what comes back.
func there(c net.Conn, data []byte) ([]byte, error) {
	var all sync.WaitGroup
	all.Go(func() {
		c.Write(data)
		c.(*net.TCPConn).CloseWrite()
	})
	defer all.Wait()
	return io.ReadAll(c)
}

func TestTCP(t *testing.T) {
	p := tcp(t, faulty.Way{})
	data := content(1 << 20)
	for range 2 {
		if got, err := there(dial(t, p), data); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	if c := p.Counts(); c.Connections != 2 || c.Up != 2<<20 || c.Down != 2<<20 || c.Total() != 0 {
		t.Errorf("counted %+v", c)
	}
}

// Nothing comes earlier than the way allows; how much later is the machine's business.
func TestLatencyAndRate(t *testing.T) {
	const latency = 10 * time.Millisecond
	data := content(100_000)
	for _, c := range []struct {
		w     faulty.Way
		least time.Duration
	}{
		{faulty.Way{Latency: latency}, 4 * latency}, // to connect, and there and back
		{faulty.Way{Rate: 2_000_000}, 50 * time.Millisecond},
		{faulty.Way{Latency: latency, Rate: 2_000_000}, 50*time.Millisecond + 4*latency},
	} {
		start := time.Now()
		got, err := there(dial(t, tcp(t, c.w)), data)
		if took := time.Since(start); err != nil || !bytes.Equal(got, data) || took < c.least {
			t.Errorf("%+v: %d bytes, %v, after %v; want at least %v", c.w, len(got), err, took, c.least)
		}
	}
}

// Two connections share one link.
func TestRateIsShared(t *testing.T) {
	p := tcp(t, faulty.Way{Rate: 2_000_000})
	var all sync.WaitGroup
	start := time.Now()
	for range 2 {
		c := dial(t, p)
		all.Go(func() { there(c, content(50_000)) })
	}
	all.Wait()
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("100,000 bytes took %v, want at least 50 ms", took)
	}
}

func TestCut(t *testing.T) {
	data := content(100_000)
	for _, at := range []int64{1, 1000, 32 << 10, 50_000, 99_999} {
		for name, cut := range map[string]func(int) (int64, int64){
			"up":   func(int) (int64, int64) { return at, 0 },
			"down": func(int) (int64, int64) { return 0, at },
		} {
			p := tcp(t, faulty.Way{Cut: cut})
			if got, err := there(dial(t, p), data); err == nil && len(got) == len(data) {
				t.Errorf("cut %s after %d bytes: all came", name, at)
			}
			passed := map[string]int64{"up": p.Counts().Up, "down": p.Counts().Down}[name]
			if passed != at {
				t.Errorf("cut %s after %d bytes: %d passed", name, at, passed)
			}
		}
	}
}

// A connection that falls silent is neither closed nor reset, and every byte before comes.
func TestSilentCut(t *testing.T) {
	p := tcp(t, faulty.Way{Silent: true, Cut: func(n int) (int64, int64) {
		if n == 1 {
			return 0, 1000
		}
		return 0, 0
	}})
	c := dial(t, p)
	if _, err := c.Write(content(5000)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading on = %v, want nothing to come", err)
	}
	if _, err := c.Write(content(5000)); err != nil {
		t.Errorf("writing on = %v, want nobody to notice", err)
	}
	if got, err := there(dial(t, p), content(5000)); err != nil || len(got) != 5000 {
		t.Errorf("the next connection gave %d bytes, %v", len(got), err)
	}
}

func TestReset(t *testing.T) {
	p := tcp(t, faulty.Way{})
	c := dial(t, p)
	c.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.Reset()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes after the reset", n)
	}
}
