package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// catching is how a member that is behind the log gets a picture of the machine
// (spec/replication.md §14): it holds raft's MsgSnap back until the picture is here,
// and then begins its next epoch with it.
type catching struct {
	fetch   *fetch
	held    *raftpb.Message // the newest MsgSnap
	arrival *arrival        // being written as this member's next checkpoint, or written
}

// passed says whether this member's log has all that a picture holds: then raft can
// have the MsgSnap at once, and will only say how far this member is.
func (n *Node) passed(m *raftpb.Message) bool {
	meta := m.GetSnapshot().GetMetadata()
	term, err := n.store.Term(meta.GetIndex())
	return meta.GetIndex() <= n.store.hard.commit || err == nil && term == meta.GetTerm()
}

// hold keeps a MsgSnap and begins to fetch what it offers.
func (n *Node) hold(m *raftpb.Message) {
	t, err := ticketOf(m.GetSnapshot())
	if err != nil || !contains(m.GetSnapshot().GetMetadata().GetConfState(), n.base.member) {
		n.dropped++
		return
	}
	n.elapsed = 0
	switch {
	case n.installing():
		return
	case n.fetch != nil && n.fetch.goOn(m.GetFrom(), t):
		n.held = m
		return
	case n.fetch != nil && n.fetch.complete():
		return
	}
	n.giveUp()
	if n.fetch, err = newFetch(n.disk, n.c.Rand, m.GetFrom(), t); err != nil {
		n.lastErr = fmt.Errorf("fetching a picture from member %d: %w", m.GetFrom(), err)
		return
	}
	n.held = m
}

func contains(c *raftpb.ConfState, member uint64) bool {
	return slices.Contains(c.GetVoters(), member) || slices.Contains(c.GetLearners(), member)
}

// installing says that a picture is here and becomes the next checkpoint.
func (n *Node) installing() bool { return n.making != nil && n.making.picture == Checkpoint(n.arrival) }

// giveUp ends a fetch, but not what is being installed.
func (n *Node) giveUp() {
	if n.fetch != nil && n.arrival == nil {
		n.fetch.close() // a file without a name: nothing is lost
	}
	n.fetch, n.held, n.arrival = nil, nil, nil
}

func (n *Node) takeRequest(from uint64, q *chunkRequest) error {
	c, err := n.transfers.request(from, q)
	if err != nil {
		n.lastErr = fmt.Errorf("reading a picture for member %d: %w", from, err)
	}
	if c == nil {
		return nil
	}
	_, err = n.send(from, &peerMessage{chunk: c})
	return err
}

func (n *Node) takeChunk(from uint64, c *chunk) error {
	if n.fetch == nil || n.arrival != nil {
		return nil
	}
	ask, err := n.fetch.receive(from, c)
	if err != nil {
		n.lastErr = fmt.Errorf("keeping a picture of member %d: %w", from, err)
		n.giveUp()
		return nil
	}
	return n.request(ask)
}

func (n *Node) request(ask []chunkRequest) error {
	for i := range ask {
		if _, err := n.send(n.fetch.from, &peerMessage{request: &ask[i]}); err != nil {
			return err
		}
	}
	return nil
}

// keep is for how many ticks a part of a picture is kept of which no more is fetched, on either side. A disk
// without room is not kept full by it.
func (n *Node) keep() int {
	if n.cramped.err != nil {
		return patience
	}
	return comesBack
}

// fetching goes on with a fetch at a tick, unless the log brought meanwhile what it would.
func (n *Node) fetching() error {
	if n.fetch == nil {
		return nil
	}
	if n.arrival == nil && n.passed(n.held) {
		n.giveUp()
		return nil
	}
	ask, gone := n.fetch.tick(n.keep())
	if err := n.request(ask); err != nil {
		return err
	}
	if gone {
		n.giveUp()
	}
	return nil
}

// install begins to write a picture that is here as this member's next checkpoint.
func (n *Node) install() {
	if n.fetch == nil || !n.fetch.complete() || n.arrival != nil || n.making != nil {
		return
	}
	meta := n.held.GetSnapshot().GetMetadata()
	b := base{
		member: n.base.member, index: meta.GetIndex(), term: meta.GetTerm(),
		secret: copyKey(n.secret), voters: meta.GetConfState().GetVoters(),
	}
	m, err := n.newMaking(b)
	if err != nil {
		n.lastErr = fmt.Errorf("beginning the checkpoint of another's picture: %w", err)
		n.giveUp()
		return
	}
	n.arrival = n.fetch.arrive(n.c.NewMachine())
	m.picture, n.making = n.arrival, m
	n.background(m.writePicture, n.installed)
}

// installed makes the picture this member's state. The order is that of turning the
// epoch: the checkpoint is durable, then the anchor takes its key, then all that came before
// is gone. The answer to the leader leaves after that: it must be true.
func (n *Node) installed(err error) error {
	m, held, arrival := n.making, n.held, n.arrival
	if err == nil {
		voters, _ := split(arrival.machine.Members())
		if !slices.Equal(voters, m.base.voters) {
			err = fmt.Errorf("replica: the picture has voters %d, and came as one of %d", voters, m.base.voters)
		}
	}
	if err == nil && n.passed(held) {
		err = errors.New("replica: the log has come further than the picture")
	}
	hard := n.store.hard
	hard.commit = m.base.index
	var after chain
	if err == nil {
		after, err = m.finish(n.log.chain, batch{hard: hard})
	}
	n.fetch, n.held, n.arrival = nil, nil, nil
	if err != nil {
		err = fmt.Errorf("installing another member's picture: %w", err)
		n.conclude(err)
		if errors.Is(err, ErrNewer) {
			return err // the next picture will be one, too
		}
		return nil
	}
	if err := n.rotate(m, after); err != nil {
		return err
	}
	// Raft hears of it while the store is still the old one: in the new one it would
	// take the picture's place for one that it had reached itself.
	if err := n.jump(held); err != nil {
		return err
	}
	n.replace(m.base, hard, arrival.machine)
	return n.process()
}

// replace puts the new state in the place of the old.
func (n *Node) replace(b base, hard hardState, machine Machine) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old := n.store
	n.machine, n.vacant = machine, false
	n.applied = b.index
	wipeEntries(old.entries)
	before := slices.Concat(old.voters, old.learners)
	*old = store{hard: hard, index: b.index, term: b.term, offer: old.offer}
	old.voters, old.learners = split(machine.Members())
	n.comeAndGone(before)
	n.regroup = true
	for _, sequence := range sortedKeys(n.waiting) {
		n.forget(n.waiting[sequence], ErrUnknown) // applied or not, within the picture
	}
}

// comeAndGone does for the members that changed within a picture what each change would have done.
func (n *Node) comeAndGone(before []uint64) {
	for _, was := range before {
		if !n.store.member(was) {
			n.sessions.drop(was)
			n.unheard(was)
		}
	}
	for _, is := range slices.Concat(n.store.voters, n.store.learners) {
		n.sessions.admit(is)
	}
}

// jump tells raft, in the name of who leads now. Where that is nobody, raft must not take who sent
// the picture for the leader of a term in which it may not lead.
func (n *Node) jump(held *raftpb.Message) error {
	from := cmp.Or(n.lead, held.GetFrom())
	err := n.raft.Step(&raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), From: new(from), To: new(n.base.member), Term: new(n.term), Snapshot: held.GetSnapshot(),
	})
	if err == nil && n.lead == 0 {
		err = n.raft.ForgetLeader()
	}
	if err != nil {
		return fmt.Errorf("replica: internal error: %w", err)
	}
	return nil
}

// offerPicture takes a picture for a member that is behind the log, if raft asked for one.
func (n *Node) offerPicture() {
	if !n.leads || !n.transfers.wants() || n.store.empty() {
		return
	}
	term, err := n.store.Term(n.applied)
	if err == nil {
		err = n.transfers.begin(n.applied, term, n.store.voters, n.store.learners, n.picture())
	}
	if err != nil {
		n.lastErr = fmt.Errorf("taking a picture for another member: %w", err)
	}
}

// rotate ends an epoch: the anchor takes the key of the checkpoint that is durable now.
func (n *Node) rotate(m *making, after chain) error {
	m.named = "" // whatever is heard of the anchor, it may have taken the key: the file stays
	if err := n.c.Anchor.Rotate(context.Background(), after.state(), m.epoch.key); err != nil {
		return fmt.Errorf("rotating the anchor to checkpoint %d: %w", after.number, err)
	}
	n.log.turn(m.epoch, after)
	m.turned = true
	n.base, n.tried = m.base, 0
	disk := n.disk
	n.background(func() error { return removeBefore(disk, after.number) }, n.goOn)
	return nil
}
