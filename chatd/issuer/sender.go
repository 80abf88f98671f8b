package issuer

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// A Sender takes a code to the person who owns the handle.
type Sender interface {
	// Send is called from several goroutines; its ctx ends after 30 s. Its error
	// must hold neither handle nor code: it is logged.
	Send(ctx context.Context, m Message) error
}

// A Message has a code for somebody. It prints as a fixed word; senders read
// its fields.
type Message struct {
	unprinted
	Handle  string
	Code    string // 8 digits
	Expires time.Time
	nobody  bool // not to be sent
}

const (
	senders     = 4                // at once
	sendTimeout = 30 * time.Second // for one message: slow mail servers take ten
)

// post sends messages after the answer to the client has left, so that the
// answer says nothing of whether and how.
type post struct {
	sender Sender
	sent   func(error)
	places chan struct{} // one taken for each message that waits or is being sent
	queue  chan Message
	ctx    context.Context
	stop   context.CancelFunc
	all    sync.WaitGroup
}

func newPost(s Sender, size int, sent func(error)) *post {
	p := &post{sender: s, sent: sent, places: make(chan struct{}, size), queue: make(chan Message, size)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	for range senders {
		p.all.Go(p.work)
	}
	return p
}

// reserve takes a place in the queue, which send or release gives back.
func (p *post) reserve() bool {
	select {
	case p.places <- struct{}{}:
		return true
	default:
		return false
	}
}

func (p *post) release() { <-p.places }

// send never waits: whoever sends has a place.
func (p *post) send(m Message) { p.queue <- m }

func (p *post) work() {
	for m := range p.queue {
		if !m.nobody {
			ctx, cancel := context.WithTimeout(p.ctx, sendTimeout)
			p.sent(p.sender.Send(ctx, m))
			cancel()
		}
		p.release()
	}
}

// close ends the sending: at once when ctx ends, else when the queue is empty.
// Nobody may send any more.
func (p *post) close(ctx context.Context) error {
	close(p.queue)
	defer context.AfterFunc(ctx, p.stop)()
	p.all.Wait()
	p.stop()
	return ctx.Err()
}

// InsecureTerminal prints codes: whoever reads the output can log in as
// anybody. For development.
type InsecureTerminal struct {
	mu sync.Mutex
	W  io.Writer
}

// Send prints the code.
func (t *InsecureTerminal) Send(_ context.Context, m Message) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := fmt.Fprintf(t.W, "insecure-terminal: the code for %s is %s until %s\n", m.Handle, m.Code, m.Expires.Format(time.TimeOnly))
	return err
}
