package replica

import (
	"errors"
	"fmt"

	"keepsake.example/anchor"
	"keepsake.example/internal/planted"
)

// Rekeyed is a Machine whose group replaces its secret (spec/replication.md §18). The
// secret itself is never in the state: what is there is sealed to each member.
type Rekeyed interface {
	// Rekeying returns which secret the group agreed on last, and the box of a member.
	// It is asked at every step, and must be quick.
	Rekeying(member uint64) Rekeying
	// Superseded says whether a check is of a secret before the present one.
	Superseded(check [32]byte) bool
}

// Rekeying is a secret that a group agreed on.
type Rekeying struct {
	Generation uint64   // 0: the one that the group was made with, and nothing else is known
	Check      [32]byte // CheckOf the secret's Claim
	Info, Box  []byte   // for Config.OpenSecret; no Box: none for this member
}

const (
	spoolTicks = 12000 // for which the leader has the secret before at most, while a member fetches a picture, or is away
	retryTicks = 200   // until a box that did not open is tried again
	doubtTicks = 100   // for which hearsay is kept at least: hellos, and an election on a slow network
)

var (
	errNoBox = errors.New("replica: the group has another secret, and there is none for this member: remove it, and add the machine under a new number")
	errCheck = errors.New("replica: the secret in the box is not the one that the group agreed on")
	// ErrSecret is a member that has not the group's present secret, or not yet.
	ErrSecret = errors.New("replica: this member does not have the group's present secret yet")
)

// rekeying is how a node goes over to another secret.
type rekeying struct {
	turned    uint64 // tick at which the node went over
	shared    uint64 // tick at which it was told of the secret, or last had a leader that was met under it
	opening   bool
	retry     uint64 // tick before which no box is opened
	problem   error  // of the last box
	purge     uint64 // tick at which the secret before is to be taken off the disk, where that failed; 0: none is there
	strangers uint64 // messages that may be under secrets that this member does not have
}

// rekey goes over to the secret that the state has agreed on, and drops the one before
// when it serves nobody any more.
func (n *Node) rekey() error {
	n.purged()
	m, ok := n.machine.(Rekeyed)
	if !ok || n.store.empty() || n.opening {
		return nil
	}
	r, s := m.Rekeying(n.self), n.sessions
	if err := n.doubt(); err != nil {
		return err
	}
	switch {
	case r.Generation == 0:
	case r.Check == s.check:
		n.problem, s.confirmed = nil, true
	case m.Superseded(s.check) && n.ticks >= n.retry:
		n.unbox(r)
	}
	return n.retire()
}

// doubt gives up a secret that others told of and that the leader does not have: it was a lie.
// Kept, it would keep this member from the secrets that its log brings, and the one before it good here. So it does
// where no leader is heard for as long: whoever was met under that secret may have lost it, and is not heard under the one
// before. If it is the group's all the same, this member will hear what it cannot read, and ask again. However short the
// overlap is, there is time for an election: else its votes would come to nothing, each time anew.
// As long as a leader has the secret that time does not begin: what says that it is the right one may come in a picture,
// and that takes as long as it takes.
func (n *Node) doubt() error {
	s := n.sessions
	if s.confirmed {
		return nil
	}
	if lead := n.raft.BasicStatus().Lead; lead != 0 && n.shares(lead) {
		n.shared = n.ticks
	}
	if n.ticks-n.shared < uint64(max(n.c.Overlap, doubtTicks)) {
		return nil
	}
	if err := s.lapse(); err != nil {
		return err
	}
	n.onlyPresent()
	return nil
}

// shares says whether the leader was met under the present secret; where this member leads, whether a
// majority was, without which it would not.
func (n *Node) shares(lead uint64) bool {
	if lead == n.self {
		return n.sessions.met(n.store.voters) > len(n.store.voters)/2
	}
	return n.sessions.now.knows(lead)
}

// onlyPresent makes a checkpoint that has the present secret only.
func (n *Node) onlyPresent() {
	n.secret.Wipe()
	n.secret = copyKey(n.sessions.now.secret)
	n.purge = n.ticks
	n.purged()
}

// purged makes that checkpoint, and again where it failed: nothing else might for hours.
func (n *Node) purged() {
	if n.purge == 0 || n.ticks < n.purge {
		return
	}
	n.purge = 0
	n.Checkpoint(func(err error) {
		if err != nil {
			n.purge = n.ticks + retryTicks
		}
	})
}

// unbox opens the box beside the node: the key can be in hardware.
func (n *Node) unbox(r Rekeying) {
	n.opening = true
	var secret *[anchor.KeySize]byte
	n.background(func() (err error) {
		if n.c.OpenSecret == nil || len(r.Box) == 0 {
			return errNoBox
		}
		secret, err = n.c.OpenSecret(r.Info, r.Box)
		return err
	}, func(err error) error { return n.unboxed(r, secret, err) })
}

// unboxed goes on with a box that was opened. One that does not open halts nobody.
func (n *Node) unboxed(r Rekeying, secret *[anchor.KeySize]byte, err error) error {
	n.opening, n.retry = false, n.ticks+retryTicks
	if secret == nil {
		n.problem = fmt.Errorf("opening the box of secret %d: %w", r.Generation, errors.Join(err, errCheck))
		return nil
	}
	defer clear(secret[:])
	next, err := n.sessionsUnder(secret)
	if err != nil {
		return err
	}
	switch check, err := checkOfKey(next.secret); {
	case err != nil:
		return err
	case check != r.Check:
		next.wipe()
		n.problem = errCheck
		return nil
	}
	n.retry, n.turned = n.ticks, n.ticks
	return n.sessions.turn(next, true)
}

func (n *Node) sessionsUnder(secret *[anchor.KeySize]byte) (*sessions, error) {
	return newSessions(n.c.Rand, n.self, anchor.KeyFromBytes(*secret))
}

// retire drops the secret before, and makes a checkpoint that has only the new one.
func (n *Node) retire() error {
	s := n.sessions
	if s.before == nil || !s.confirmed || !n.over() || planted.KeepSecret {
		return nil
	}
	s.end()
	n.onlyPresent()
	return nil
}

// over says whether the secret before serves nobody any more, or has served long enough.
func (n *Node) over() bool {
	s, voters := n.sessions, len(n.store.voters)
	of := s.met(n.store.voters)
	if of == voters && s.met(n.store.learners) == len(n.store.learners) {
		return true
	}
	since := n.ticks - n.turned
	if len(n.transfers.readers) > 0 && since < spoolTicks {
		return false
	}
	return since >= uint64(n.c.Overlap) && of > voters/2
}

// SecretStatus is how a member stands with the group's secret.
type SecretStatus struct {
	Generation uint64 // of the group's secret, as this member's state has it; 0: the first
	// Behind: this member does not have it, or not yet. Turning: it takes messages under the
	// one before, too.
	Behind, Turning bool
	Problem         error  // why its box did not open; nil when it did
	Strangers       uint64 // messages that may be under secrets that this member does not have
}

func (n *Node) secretStatus() SecretStatus {
	s := SecretStatus{Behind: n.behind(), Turning: n.sessions.before != nil, Problem: n.problem, Strangers: n.strangers}
	if m, ok := n.machine.(Rekeyed); ok && !n.store.empty() {
		s.Generation = m.Rekeying(n.self).Generation
	}
	return s
}

// behind says whether the group agreed on a secret that this member does not have.
func (n *Node) behind() bool {
	m, ok := n.machine.(Rekeyed)
	if !ok || n.store.empty() {
		return false
	}
	r := m.Rekeying(n.self)
	return r.Generation > 0 && r.Check != n.sessions.check
}

// AdoptSecret takes a secret that others say is the group's present one: this member slept
// while it was changed, and hears nobody. It is kept in memory only, beside the one
// before, until the state says the same; when a leader is heard who does not have it, it is given
// up. A member without state takes none (ErrEmpty).
func (n *Node) AdoptSecret(secret *[32]byte) error {
	switch {
	case n.closed || n.halted != nil:
		return ErrClosed
	case n.store.empty():
		return ErrEmpty
	}
	next, err := n.sessionsUnder(secret)
	if err != nil {
		return err
	}
	if check, err := checkOfKey(next.secret); err != nil || check == n.sessions.check {
		next.wipe()
		return err
	}
	n.turned, n.shared = n.ticks, n.ticks
	return n.sessions.turn(next, false)
}

// Secret calls f with the group's secret, which f must neither change nor keep: a
// newcomer is given it.
func (n *Node) Secret(f func(secret []byte)) { useKey(n.sessions.now.secret, f) }

// SecretFor calls f with the newest of the group's secrets that another member is known
// to have.
func (n *Node) SecretFor(member uint64, f func(secret []byte)) {
	all := n.sessions.of(member)
	useKey(all[len(all)-1], f)
}

// SecretsOf calls f with each secret that another member may use, the newest first, until f
// says that it is the right one.
func (n *Node) SecretsOf(member uint64, f func(secret []byte) (right bool)) {
	for _, k := range n.sessions.of(member) {
		right := false
		useKey(k, func(secret []byte) { right = f(secret) })
		if right {
			return
		}
	}
}

func useKey(k *anchor.Key, f func(secret []byte)) {
	k.Use(func(secret *[anchor.KeySize]byte) { f(secret[:]) })
}
