package replica

import "fmt"

// roomTicks is how often a member looks whether there is room again.
const roomTicks = 20

// cramped is for what there was no room.
type cramped struct {
	err  error  // nil: there was
	size int    // of what was to have it
	next uint64 // tick of the next look
}

// roomFor makes room for so many bytes of entries, besides those that raft was given
// already, for a vote, and for the empty entry of whoever is elected by it.
func (n *Node) roomFor(entries int) error {
	size := batchHead + entryHead + n.taken + entries
	if entries > 0 {
		return n.roomed(size, n.room(size))
	}
	return n.roomed(size, n.reserve(size))
}

// roomed keeps why there was no room. A vote that still finds a place at the end of a file
// does not say that there is room again for entries.
func (n *Node) roomed(size int, err error) error {
	if err != nil || size >= n.cramped.size {
		n.cramped = cramped{err: err, size: size, next: n.ticks + roomTicks}
	}
	return err
}

// unload writes what raft was given, where that is the first of a log file: if what comes next
// needs a larger one, that takes the place of the file, and may fail when the file is gone.
func (n *Node) unload() error {
	if n.log.fresh() && n.raft.HasReady() {
		return n.process()
	}
	return nil
}

// look finds out whether there is room again: what found none may never come again. Nothing is
// under way then for which room was made.
func (n *Node) look() {
	c := n.cramped
	if c.err == nil || n.ticks < c.next || n.log.size >= n.logLimit() {
		return
	}
	_ = n.roomed(c.size, n.reserve(c.size))
}

func (n *Node) logLimit() int64 { return logFactor * n.c.CheckpointBytes }

func (n *Node) room(size int) error {
	if n.log.size >= n.logLimit() {
		n.tried = 0 // nothing grows any more that consider could wait for
		return fmt.Errorf("%w: the log is %d bytes long and waits for a checkpoint", ErrFull, n.log.size)
	}
	return n.reserve(size)
}

func (n *Node) reserve(size int) error {
	if err := n.log.reserve(size); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return nil
}
