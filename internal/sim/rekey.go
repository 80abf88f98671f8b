package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"keepsake.example/internal/planted"
	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// leavers is the invariant that nobody uses a secret which somebody had who is no member
// any more.
const leavers = "who left has no secret"

// secrets is what vaultd does besides so that the group's secret changes, in every third
// run: the leader makes a new one when somebody left, and whoever slept asks.
type secrets struct {
	*run
	on      bool
	overlap int                   // ticks
	had     map[uint64][][32]byte // by machine: the secrets that it ever had
	heard   map[uint64]uint64     // by machine: strangers when it asked last
	alone   map[uint64]int        // by machine: for how many looks it has heard no leader
}

func newSecrets(r *run, seed uint64) *secrets {
	s := &secrets{run: r, on: seed%3 == 0, had: map[uint64][][32]byte{}, heard: map[uint64]uint64{}, alone: map[uint64]int{}}
	if s.on {
		s.overlap = int(r.between(10, 200))
		s.keep()
	}
	return s
}

// pad is what a box is sealed with: the sealing keys of the fleet are the members' own,
// and nobody breaks them here.
func pad(number uint64, info []byte) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("sealing key"), info...), number))
}

func boxed(number uint64, info []byte, secret [32]byte) []byte {
	p := pad(number, info)
	for i := range p {
		p[i] ^= secret[i]
	}
	return p[:]
}

var errDevice = errors.New("sim: the device does not answer")

// open is replica.Config.OpenSecret of a machine: its device fails now and then.
func (s *secrets) open(h *host, info, box []byte) (*[32]byte, error) {
	if !s.settling && s.chance(0.1) {
		return nil, errDevice
	}
	secret := [32]byte(boxed(h.number, info, [32]byte(box)))
	s.gained(h, secret)
	return &secret, nil
}

func (s *secrets) gained(h *host, secret [32]byte) {
	if !slices.Contains(s.had[h.number], secret) {
		s.had[h.number] = append(s.had[h.number], secret)
	}
}

// overlap is the group's; 0: the replica's own.
func (r *run) overlap() int {
	if r.secrets == nil {
		return 0
	}
	return r.secrets.overlap
}

// keep is what every vaultd does four times a second.
func (s *secrets) keep() {
	s.after(250*millisecond, s.keep)
	for _, h := range s.hosts {
		if !h.up || h.frozen {
			continue
		}
		h.node.Secret(func(b []byte) { s.gained(h, [32]byte(b)) })
		st := h.node.Status()
		if s.alone[h.number]++; st.Leader != 0 {
			s.alone[h.number] = 0
		}
		switch m := h.machine(); {
		case m == nil && st.Secret.Strangers > 8 && s.settling:
			h.lose() // a newcomer that slept: its number is used up
		case m == nil:
		case st.Role == "leader" && (m.RekeyDue() || s.chance(0.05) && !s.settling):
			s.renew(h, m)
		case st.Leader == 0 && st.Secret.Strangers > s.heard[h.number]:
			s.heard[h.number] = st.Secret.Strangers
			s.after(s.between(millisecond, 200*millisecond), func() { s.ask(h) })
		}
	}
}

// renew gives the group a new secret.
func (s *secrets) renew(h *host, m *wrapper) {
	if st := h.node.Status().Secret; st.Behind || st.Turning && !planted.KeepSecret {
		return
	}
	k, members := m.NextRekey()
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(s.random.IntN(256))
	}
	k.Check = checkOf(secret[:])
	h.node.Secret(func(b []byte) { k.Before = checkOf(b) })
	for _, to := range s.addressees(members) {
		k.Boxes = append(k.Boxes, machine.Box{Number: to, Sealed: boxed(to, k.Info(to), secret)})
	}
	s.note("rekey", h.number, k.Generation)
	h.node.Propose(k.Encode(), func(any, error) {})
	h.touch()
}

// addressees are the members, and with the bug planted everybody who ever was one.
func (s *secrets) addressees(members []roster.Member) (numbers []uint64) {
	for _, to := range members {
		numbers = append(numbers, to.Number)
	}
	if planted.BoxForLeavers {
		for n := uint64(1); n <= s.fleet.roster.Highest; n++ {
			if !slices.Contains(numbers, n) {
				numbers = append(numbers, n)
			}
		}
		slices.Sort(numbers)
	}
	return numbers
}

func checkOf(secret []byte) [32]byte {
	claim, err := replica.Claim(secret)
	if err != nil {
		panic("sim: internal error: " + err.Error())
	}
	return replica.CheckOf(claim)
}

// ask has a member that slept ask those that it reaches, as vaultd does.
func (s *secrets) ask(h *host) {
	if !h.up || h.frozen || h.machine() == nil {
		return
	}
	claim, err := h.node.Claim()
	if err != nil {
		return
	}
	count, known := map[[32]byte]int{}, map[[32]byte]*machine.Rekey{}
	voters := 0
	for _, x := range h.machine().Roster().Members {
		if x.Learner {
			continue
		}
		voters++
		k := s.answer(h, s.host(x.Number), replica.CheckOf(claim))
		if k != nil {
			count[k.Check]++
			known[k.Check] = k
		}
	}
	var believed []*machine.Rekey
	for _, check := range sortedChecks(known) {
		_, self := h.machine().Roster().Member(h.number)
		if count[check]+int(boolean(self)) > voters/2 {
			believed = []*machine.Rekey{known[check]}
			break
		}
		if s.alone[h.number] >= 40 { // in the end one is
			believed = append(believed, known[check])
		}
	}
	if len(believed) > 0 {
		s.adopt(h, pick(s.world, believed))
	}
}

func (s *secrets) adopt(h *host, k *machine.Rekey) {
	if secret, err := s.open(h, k.Info(h.number), k.Boxes[0].Sealed); err == nil && checkOf(secret[:]) == k.Check {
		s.note("adopt", h.number, k.Generation)
		_ = h.node.AdoptSecret(secret)
		h.touch()
	}
}

func sortedChecks(known map[[32]byte]*machine.Rekey) (checks [][32]byte) {
	for check := range known {
		checks = append(checks, check)
	}
	slices.SortFunc(checks, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	return checks
}

// answer is what a member that is reached says to one that slept.
func (s *secrets) answer(to, from *host, check [32]byte) *machine.Rekey {
	if from == nil || from == to || !from.up || from.frozen || s.net.cut[link{to.number, from.number}] || s.net.cut[link{from.number, to.number}] {
		return nil
	}
	if m := from.machine(); m != nil && m.Superseded(check) {
		if k := m.LastRekey(to.number); k != nil && len(k.Boxes) > 0 {
			return k
		}
	}
	return nil
}

// level says whether no secret is due, and everybody has the last one.
func (s *secrets) level() bool {
	if s == nil || !s.on {
		return true
	}
	for _, m := range s.fleet.roster.Members {
		h := s.host(m.Number)
		if h.machine().RekeyDue() || h.node.Status().Secret.Behind {
			return false
		}
	}
	return true
}

// judge looks at what the members take in the end: nothing that somebody has who left.
func (s *secrets) judge() {
	if !s.on {
		return
	}
	s.run.run(s.now + int64(s.overlap+20)*50*millisecond)
	for _, m := range s.fleet.roster.Members {
		h := s.host(m.Number)
		if s.failed != nil || !h.up {
			continue
		}
		s.overheard(h)
		for _, other := range s.fleet.roster.Members {
			h.node.SecretsOf(other.Number, func(b []byte) bool {
				s.known(m.Number, [32]byte(b))
				return false
			})
		}
	}
}

// overheard gives those who left their boxes: the entry travelled under the secret
// before, which they have.
func (s *secrets) overheard(h *host) {
	for _, thief := range s.hosts {
		if k := h.machine().LastRekey(thief.number); k != nil && len(k.Boxes) > 0 && !s.fleet.belongs(thief) {
			s.gained(thief, [32]byte(boxed(thief.number, k.Info(thief.number), [32]byte(k.Boxes[0].Sealed))))
		}
	}
}

// known fails if somebody has a secret who is no member.
func (s *secrets) known(by uint64, secret [32]byte) {
	for _, h := range s.hosts {
		if !s.fleet.belongs(h) && slices.Contains(s.had[h.number], secret) {
			s.fail(leavers, "member %d takes what is under a secret that %d has, which left", by, h.number)
		}
	}
}
