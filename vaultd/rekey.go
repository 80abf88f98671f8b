package vaultd

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// The group secret changes when a member left that knows it, and when operators ask
// (spec/replication.md §18). Who makes the new one is a member, in its process; the state
// machine sees boxes only.

const (
	// askPause is between two tries of a member that slept, and of a leader whose new secret was refused.
	askPause = time.Second
	// aloneLooks is how many looks without a leader come before the first question: 2 s, some elections.
	aloneLooks = 8
	// deadLooks is how many come before a member goes by the word of one: 10 s.
	deadLooks = 40
	// secretHead is what stands before the box in the answer of askSecret: octet,
	// generation, serial, check.
	secretHead = 1 + 8 + 8 + 32
)

var (
	errTurning  = errors.New("vaultd: the secret was changed just now, and not every member has the new one: try again in half a minute")
	errStale    = errors.New("vaultd: the group changed while its new secret was made: try again")
	errKeyless  = errors.New("vaultd: this machine has no keys that a secret could be sealed to: it is a fleet of one, for development")
	errDisagree = errors.New("vaultd: no majority of the members says what the group's secret is now; if they have it for long, remove this machine and add it under a new number")
)

// openSecret is how the replicas open their boxes; nil without keys.
func (s *Server) openSecret() func(info, box []byte) (*[32]byte, error) {
	keys := s.config.Keys
	if keys == nil {
		return nil
	}
	return func(info, box []byte) (*[32]byte, error) {
		b, err := keys.open(info, box)
		if err != nil {
			return nil, err
		}
		defer clear(b)
		if len(b) != 32 {
			return nil, errSealing
		}
		secret := [32]byte(b)
		return &secret, nil
	}
}

// of calls f with the group's machine, if there is state.
func (g *group) of(f func(*machine.Machine)) {
	g.replica.Peek(func(m replica.Machine) { f(m.(*machine.Machine)) })
}

// replaced is when the newest channel key ended that there was when the secret changed
// last, ms; 0: it never did.
func (g *group) replaced() (newest uint64) {
	g.of(func(m *machine.Machine) { _, newest = m.RekeyedAt() })
	return newest
}

func (g *group) rekeyDue() (due bool) {
	g.of(func(m *machine.Machine) { due = m.RekeyDue() })
	return due
}

func (g *group) secretStatus() SecretStatus {
	st := g.replica.Status().Secret
	is := SecretStatus{Generation: st.Generation, Behind: st.Behind, Turning: st.Turning, Due: g.rekeyDue()}
	if why := g.stuck.Load(); why != nil && (is.Due || st.Strangers > 0) {
		is.Problem = *why
	}
	if st.Problem != nil {
		is.Problem = st.Problem.Error()
	}
	return is
}

// keepSecret sees to it that the group has a secret which nobody knows who left, and that
// this machine has it, until the group ends.
func (s *Server) keepSecret(g *group) {
	ctx, cancel := g.context()
	defer cancel()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for alone := (solitude{heard: g.replica.Status().Secret.Strangers}); ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		err := s.renewDue(ctx, g)
		if st := g.replica.Status(); alone.asks(st.Leader, st.Secret.Strangers) && err == nil && g.machine() != nil {
			err = s.catchSecret(ctx, g, alone.looks >= deadLooks)
		}
		if ctx.Err() != nil || g.tells(err) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(askPause):
		}
	}
}

// solitude is for how many looks a member has heard no leader, and which messages that
// it could not read it has asked about.
type solitude struct {
	looks int
	heard uint64
}

// asks says whether to ask the others for a secret. Every member that starts again gets messages for its run
// before, and has no leader for a moment: that alone is nothing to ask, or to warn, about.
func (a *solitude) asks(leader, strangers uint64) bool {
	if a.looks++; leader != 0 {
		*a = solitude{heard: strangers}
	}
	if a.looks < aloneLooks || strangers <= a.heard {
		return false
	}
	a.heard = strangers
	return true
}

// tells keeps for the status what hinders the group's secret, logs what is new, and says
// whether all is well.
func (g *group) tells(err error) bool {
	if err == nil {
		g.stuck.Store(nil)
		return true
	}
	text := err.Error()
	if was := g.stuck.Swap(&text); was == nil || *was != text { // and not the same every second
		g.s.log.Warn("keeping the group's secret", "group", g.number, "error", err)
	}
	return false
}

// renewDue makes a new secret when one is due. The leader of the group does it.
func (s *Server) renewDue(ctx context.Context, g *group) error {
	if !g.leads() || !g.rekeyDue() {
		return nil
	}
	if _, err := s.renew(ctx, g); err != nil && !errors.Is(err, errTurning) {
		return err
	}
	return nil
}

// renew gives a group a new secret, and returns its generation.
func (s *Server) renew(ctx context.Context, g *group) (generation uint64, err error) {
	if s.config.Keys == nil {
		return 0, errKeyless
	}
	if st := g.replica.Status().Secret; st.Behind || st.Turning {
		return 0, errTurning
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.Commit)
	defer cancel()
	k, err := g.newSecret(ctx)
	if err != nil {
		return 0, err
	}
	effect, err := g.replica.Propose(ctx, k.Encode())
	if err != nil {
		return 0, fmt.Errorf("giving group %d a new secret: %w", g.number, err)
	}
	done, ok := effect.(*machine.Rekeyed)
	if !ok || !done.OK {
		return 0, errStale
	}
	s.log.Info("the group has a new secret", "group", g.number, "generation", done.Generation)
	if g.number == machine.Root && g.leads() {
		// Channel keys that the one who left may have are followed by one that it has not.
		err = s.rotate(ctx, g)
	}
	return done.Generation, err
}

// newSecret draws a secret and seals it to each member of the group. Nobody has it
// afterwards but in the boxes.
func (g *group) newSecret(ctx context.Context) (k *machine.Rekey, err error) {
	var members []roster.Member
	g.of(func(m *machine.Machine) { k, members = m.NextRekey() })
	if k == nil {
		return nil, errNoState
	}
	lost := g.replica.Secret(ctx, func(b []byte) { k.Before, err = checkOf(b) })
	if err = errors.Join(lost, err); err != nil {
		return nil, err
	}
	var secret [32]byte
	defer clear(secret[:])
	rand.Read(secret[:])
	if k.Check, err = checkOf(secret[:]); err != nil {
		return nil, err
	}
	for _, m := range members {
		box, err := sealTo(m, k.Info(m.Number), secret[:])
		if err != nil {
			return nil, fmt.Errorf("sealing the secret of group %d to member %d: %w", g.number, m.Number, err)
		}
		k.Boxes = append(k.Boxes, machine.Box{Number: m.Number, Sealed: box})
	}
	return k, nil
}

func checkOf(secret []byte) (check [32]byte, err error) {
	claim, err := replica.Claim(secret)
	return replica.CheckOf(claim), err
}

// Rekey gives every group that this machine is a member of a new secret, and says which
// generation each has then. An error says which one has not.
func (s *Server) Rekey(ctx context.Context) (done []SecretStatus, err error) {
	for _, g := range s.groups.list() {
		generation, failed := s.renew(ctx, g)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("group %d: %w", g.number, failed))
		}
		done = append(done, SecretStatus{Generation: generation})
	}
	return done, err
}

func (s *Server) serveRekey(w http.ResponseWriter, r *http.Request) {
	done, err := s.Rekey(r.Context())
	if err != nil {
		s.log.Error("changing the groups' secrets", "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	for i, g := range s.groups.list() {
		if i < len(done) {
			fmt.Fprintf(w, "group %d: secret %d\n", g.number, done[i].Generation)
		}
	}
}

// serveSecret gives a member that slept its box of the group's present secret, if it
// shows that it had one of those before: its key file alone is not enough.
func (s *Server) serveSecret(from uint64, b []byte) ([]byte, error) {
	if len(b) != 4+32 {
		return nil, errAsk
	}
	g := s.groups.get(binary.BigEndian.Uint32(b))
	if g == nil {
		return nil, errAsk
	}
	var k *machine.Rekey
	g.of(func(m *machine.Machine) {
		if m.Superseded(replica.CheckOf([32]byte(b[4:]))) {
			k = m.LastRekey(from)
		}
	})
	if k == nil || len(k.Boxes) == 0 {
		return []byte{refusedWelcome}, nil
	}
	reply := binary.BigEndian.AppendUint64([]byte{givenWelcome}, k.Generation)
	reply = append(binary.BigEndian.AppendUint64(reply, k.Serial), k.Check[:]...)
	return append(reply, k.Boxes[0].Sealed...), nil
}

// told is what members say the group's secret is: the header of their answer.
type told [secretHead]byte

// catchSecret asks the others for the secret that was made while this machine slept, and
// takes it when enough say the same, or, where there has been no leader for long, one says so:
// those who could say it as well may be gone for good.
func (s *Server) catchSecret(ctx context.Context, g *group, long bool) error {
	boxes, err := s.askSecrets(ctx, g)
	if err != nil {
		return err
	}
	members := g.roster().In(g.number)
	from, ok := agreed(members, s.self, boxes)
	if !ok && long {
		from, ok = anyVoters(members, s.self, boxes)
	}
	if !ok {
		return errDisagree
	}
	return s.adopt(ctx, g, told(boxes[from]), boxes[from][secretHead:])
}

// agreed finds an answer that a majority of the voters gives, self counted: one of them
// can have been stolen since this machine last heard of the fleet, and would say anything.
// What learners say counts for nothing, and where self is the only voter there is nobody to ask.
func agreed(members []roster.Member, self uint64, answers map[uint64][]byte) (from uint64, ok bool) {
	voters, own, count, said := 0, 0, map[told]int{}, map[uint64]told{}
	for _, m := range members {
		switch b := answers[m.Number]; {
		case m.Learner:
		case m.Number == self:
			voters, own = voters+1, 1
		case b == nil:
			voters++
		default:
			voters++
			said[m.Number] = told(b)
			count[told(b)]++
		}
	}
	for number, what := range said {
		if count[what]+own > voters/2 {
			return number, true
		}
	}
	return 0, false
}

// anyVoters draws an answer of a voter. It may be a lie, of a voter that was stolen; then it gives the
// thief nothing that he has not: each voter that this machine knows has the secret that this machine
// has. And the next draw, as long as there is no leader, may be another's.
func anyVoters(members []roster.Member, self uint64, answers map[uint64][]byte) (from uint64, ok bool) {
	var said []uint64
	for _, m := range members {
		if !m.Learner && m.Number != self && answers[m.Number] != nil {
			said = append(said, m.Number)
		}
	}
	if len(said) == 0 {
		return 0, false
	}
	return said[mathrand.IntN(len(said))], true
}

// askSecrets returns what each member answered that gave this machine a box.
func (s *Server) askSecrets(ctx context.Context, g *group) (map[uint64][]byte, error) {
	links, r := s.links.Load(), g.roster()
	if links == nil || r == nil {
		return nil, errNoState
	}
	ctx, cancel := context.WithTimeout(ctx, 2*askPause)
	defer cancel()
	claim, err := g.replica.Claim(ctx)
	if err != nil {
		return nil, err
	}
	request := append(binary.BigEndian.AppendUint32([]byte{askSecret}, g.number), claim[:]...)
	var mu sync.Mutex
	var all sync.WaitGroup
	boxes := map[uint64][]byte{}
	for _, m := range r.In(g.number) {
		if m.Number == s.self {
			continue
		}
		all.Go(func() {
			reply, err := links.Call(ctx, m.Number, request)
			if err != nil || len(reply) <= secretHead || reply[0] != givenWelcome {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			boxes[m.Number] = reply
		})
	}
	all.Wait()
	return boxes, nil
}

// adopt opens a box and goes over to the secret in it, until the state says the same.
func (s *Server) adopt(ctx context.Context, g *group, head told, box []byte) error {
	k := machine.Rekey{
		Fleet: s.fleet, Group: g.number, Generation: binary.BigEndian.Uint64(head[1:]), Serial: binary.BigEndian.Uint64(head[9:]), Check: [32]byte(head[17:]),
	}
	secret, err := s.openSecret()(k.Info(s.self), box)
	if err != nil {
		return fmt.Errorf("opening the secret that was made while this machine slept: %w", err)
	}
	defer clear(secret[:])
	if check, err := checkOf(secret[:]); err != nil || check != k.Check {
		return errors.Join(errDisagree, err)
	}
	s.log.Info("took the secret that was made while this machine slept", "group", g.number, "generation", k.Generation)
	return g.replica.AdoptSecret(ctx, secret)
}
