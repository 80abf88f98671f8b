package outage_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// wide is the network between the sites: it carries TCP connections from one to
// another, as late as the way is long, or not at all.
type wide struct {
	mu     sync.Mutex
	cond   sync.Cond
	parted map[[2]int]bool // from, to: nothing passes in this direction
	ended  bool
}

func newWide(t *testing.T) *wide {
	w := &wide{parted: map[[2]int]bool{}}
	w.cond.L = &w.mu
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = true
		w.cond.Broadcast()
	})
	return w
}

// delay is how long a byte takes from one site to another: 15 to 60 ms, so that ways
// there and back are of 30 to 120 ms.
func delay(from, to int) time.Duration {
	if from == to {
		return 0
	}
	apart := from - to
	if apart < 0 {
		apart = -apart
	}
	return time.Duration(15*apart) * time.Millisecond // 15, 30, 45, 60
}

// part lets nothing pass between two groups of sites, in both directions, until heal.
func (w *wide) part(some, others []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range some {
		for _, b := range others {
			w.parted[[2]int{a, b}], w.parted[[2]int{b, a}] = true, true
		}
	}
}

// deafen lets nothing pass from some sites to another.
func (w *wide) deafen(some []int, to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range some {
		w.parted[[2]int{a, to}] = true
	}
}

func (w *wide) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.parted)
	w.cond.Broadcast()
}

// pass waits until the way is open.
func (w *wide) pass(from, to int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.parted[[2]int{from, to}] && !w.ended {
		w.cond.Wait()
	}
}

// listen carries what comes to an address outside to one inside a site.
func (w *wide) listen(t *testing.T, address string, to *site, inside string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c, siteOf(c.RemoteAddr()), to.n, inside)
		}
	}()
}

// siteOf is the number of the site that an address is in.
func siteOf(a net.Addr) int { return int(a.(*net.TCPAddr).IP.To4()[3]) }

func (w *wide) carry(in net.Conn, from, to int, address string) {
	defer in.Close()
	w.pass(from, to)
	time.Sleep(delay(from, to))
	out, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return
	}
	defer out.Close()
	ended := make(chan struct{}, 2)
	go func() { w.copy(in, out, from, to); ended <- struct{}{} }()
	go func() { w.copy(out, in, to, from); ended <- struct{}{} }()
	<-ended
}

// piece is what was read at once, and when it is to arrive.
type piece struct {
	bytes []byte
	due   time.Time
}

func (w *wide) copy(in io.Reader, out io.Writer, from, to int) {
	// So many pieces are under way at once: the window of a long way.
	way := make(chan piece, 256)
	go func() {
		defer close(way)
		for {
			b := make([]byte, 16<<10)
			n, err := in.Read(b)
			if n > 0 {
				way <- piece{b[:n], time.Now().Add(delay(from, to))}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.due))
		w.pass(from, to)
		if _, err := out.Write(p.bytes); err != nil {
			break
		}
	}
	go func() { // what is read no more must not hold the reader
		for range way {
		}
	}()
}
