package replica

import "sync/atomic"

// maxParts bounds the parts that go on beside a node: a checkpoint, a picture for
// others, a picture of another.
const maxParts = 8

// A task is one part of the work that goes on beside the node. It is taken back only
// while it has not begun: a simulator never runs it then, and nobody waits for it.
type task struct {
	taken atomic.Bool // begun, or taken back
	ended chan struct{}
	undo  func() // nil, or what is done when it is taken back
}

// background lets part run beside the node. What it returns is given to then, inside a
// later Step.
func (n *Node) background(part func() error, then func(error) error) {
	t := &task{ended: make(chan struct{})}
	n.tasks = append(n.tasks, t)
	parts := n.parts
	n.c.Background(func() {
		if t.taken.Swap(true) {
			return
		}
		defer close(t.ended)
		err := n.guard(part)
		parts <- func() error { return then(err) }
	})
}

// join goes on with what background parts have finished.
func (n *Node) join() error {
	for {
		select {
		case then := <-n.parts:
			n.through = append(n.through, then)
			continue
		default:
		}
		if len(n.through) == 0 {
			return nil
		}
		then := n.through[0]
		n.through = n.through[1:]
		if err := n.joined(then); err != nil {
			return err
		}
	}
}

func (n *Node) joined(then func() error) error {
	kept := n.tasks[:0]
	for _, t := range n.tasks {
		select {
		case <-t.ended:
		default:
			kept = append(kept, t)
		}
	}
	n.tasks = kept
	return then()
}

// spool lets a picture for others be written beside the node. What came of it the
// transfers find out themselves. Taken back, it still runs, and finds that nobody wants it.
func (n *Node) spool(part func()) {
	n.background(func() error { part(); return nil }, func(error) error { return nil })
	n.tasks[len(n.tasks)-1].undo = part
}

// quit takes back what has not begun, and waits for what has.
func (n *Node) quit() {
	for _, t := range n.tasks {
		if t.taken.Swap(true) {
			<-t.ended
		} else if t.undo != nil {
			t.undo()
		}
	}
	n.tasks = nil
}
