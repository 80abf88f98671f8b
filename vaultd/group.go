package vaultd

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"keepsake.example/anchor"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
	"keepsake.example/vaultd/machine"
)

// committer is what answering needs of a replica.
type committer interface {
	Propose(ctx context.Context, entry []byte) (effect any, err error)
	Read(ctx context.Context, f func(replica.Machine)) error
	Peek(f func(replica.Machine)) error
}

// group is this machine's member of one group. It is a door.Group.
type group struct {
	s       *Server
	number  uint32
	replica *replica.Replica
	commits committer
	time    func() uint64 // the replica's, as the next
	current func() bool
	room    func() error  // why its log has none, nil while it has
	anchor  anchor.Anchor // closed with the group; nil for the root's, which is the caller's
	changed chan struct{} // the machine said so
	waiting atomic.Bool   // to be looked at again, after a while
	stop    chan struct{}
	ended   sync.WaitGroup
	closing sync.Once // who closes the server may meet who lets the group go
	closed  error
	// checkpointed is when the keeper, whose field it is, last made a checkpoint.
	checkpointed time.Duration
	cramped      bool                   // the keeper's too: that there is no room in the log was told
	stuck        atomic.Pointer[string] // why the group's secret could not be kept as it should be, last
	rotating     sync.Mutex
	taking       sync.Mutex
}

// folder is where a group's replica has its files: the root's at the top.
func folder(dir string, number uint32) string {
	if number == machine.Root {
		return dir
	}
	return filepath.Join(dir, fmt.Sprintf("group-%03d", number))
}

// config is of a group's replica.
func (s *Server) replicaConfig(number uint32, a anchor.Anchor, changed chan struct{}) replica.Config {
	return replica.Config{
		Dir: folder(s.config.Dir, number), Anchor: a, Clock: s.time.now,
		Version:    s.config.version,
		MaxEntry:   machine.MaxRekey,
		OpenSecret: s.openSecret(), Overlap: s.config.overlap,
		NewMachine: func() replica.Machine { return machine.NewAs(s.config.version, number, func() { notify(changed) }) },
		Send: func(to uint64, message []byte) {
			if l := s.links.Load(); l != nil {
				l.Send(to, number, message)
			}
		},
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// host opens this machine's member of a group. The anchor is closed with it if it is not the root's.
func (s *Server) host(ctx context.Context, number uint32, a anchor.Anchor) (*group, error) {
	g := &group{s: s, number: number, changed: make(chan struct{}, 1), stop: make(chan struct{})}
	if number != machine.Root {
		g.anchor = a
	}
	r, err := replica.Open(ctx, s.replicaConfig(number, a, g.changed))
	if err != nil {
		return nil, fmt.Errorf("opening the replica of group %d: %w", number, err)
	}
	g.replica, g.commits, g.time, g.current, g.checkpointed = r, r, r.Time, r.Current, s.clock.Elapsed()
	g.room = func() error { return r.Status().RoomError }
	if s.config.room != nil {
		g.room = func() error { return s.config.room(number) }
	}
	s.groups.put(g)
	return g, nil
}

// close ends the group's work and its replica. It may be called twice.
func (g *group) close() error {
	g.closing.Do(func() {
		close(g.stop)
		g.ended.Wait()
		g.closed = g.replica.Close()
		if g.anchor == nil {
			return
		}
		if err := g.anchor.Close(); err != nil {
			g.closed = errors.Join(g.closed, err)
		}
	})
	return g.closed
}

// Time is the quorum's.
func (g *group) Time() uint64 { return g.time() }

// Current says whether that is a leader's who was heard.
func (g *group) Current() bool { return g.current() }

// Peek calls f with the records as they are here.
func (g *group) Peek(f func(*vault.State)) error {
	return g.commits.Peek(func(m replica.Machine) { f(m.(*machine.Machine).State()) })
}

// Read calls f with the records as they are in the group.
func (g *group) Read(ctx context.Context, f func(*vault.State)) error {
	return g.commits.Read(ctx, func(m replica.Machine) { f(m.(*machine.Machine).State()) })
}

// Propose commits a command.
func (g *group) Propose(ctx context.Context, entry []byte) (any, error) {
	began := g.s.clock.Elapsed()
	effect, err := g.commits.Propose(ctx, entry)
	if err == nil {
		g.s.metrics.commit.Observe((g.s.clock.Elapsed() - began).Seconds())
	}
	return effect, err
}

// leads says whether this machine leads the group.
func (g *group) leads() bool { return g.replica.Status().Role == "leader" }

// led says whether somebody does, as far as is known here.
func (g *group) led() bool {
	s := g.replica.Status()
	return s.Leader != 0 && s.Halted == nil
}

// machine is the one that is there now, to be compared; nil without state.
func (g *group) machine() (now replica.Machine) {
	g.replica.Peek(func(m replica.Machine) { now = m })
	return now
}

// roster returns who belongs to the fleet, as this group has it; nil without state.
func (g *group) roster() (r *roster.Roster) {
	g.replica.Peek(func(m replica.Machine) { r = m.(*machine.Machine).Roster() })
	return r
}

// view is the fleet as this replica has it now, nil without state. The caller wipes it.
func (g *group) view() (view *vault.FleetView) {
	g.replica.Peek(func(m replica.Machine) { view = m.(*machine.Machine).State().Fleet() })
	return view
}

// identity calls f with the fleet's identity key.
func (g *group) identity(f func(ed25519.PrivateKey)) error {
	view := g.view()
	if view == nil {
		return errNoState
	}
	defer view.Wipe()
	key := ed25519.NewKeyFromSeed(view.IdentitySeed[:])
	defer clear(key)
	f(key)
	return nil
}

var errNoState = errors.New("vaultd: this replica has no state yet")

// groups are those that this machine is a member of.
type groups struct {
	mu  sync.RWMutex
	all map[uint32]*group
}

func (h *groups) put(g *group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[uint32]*group{}
	}
	h.all[g.number] = g
}

func (h *groups) get(number uint32) *group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.all[number]
}

func (h *groups) drop(number uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, number)
}

// list returns the groups by number.
func (h *groups) list() []*group {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var list []*group
	for number := range uint32(roster.MaxGroups) {
		if g := h.all[number]; g != nil {
			list = append(list, g)
		}
	}
	return list
}
