// Package roster is who belongs to a fleet, and who may change that. A [Roster] is
// part of the replicated state: every machine of the fleet, the groups it is in, the
// policy, and the keys of the operators. A [Change] is a short text that operators
// read and sign; the state machine itself checks a quorum of their signatures, so
// that no host, relay or vault administrator changes anything alone:
//
//	keepsake fleet change v1
//	fleet 9a3c…
//	serial 7
//	remove member 4
//	because: its disk was stolen in Frankfurt
//
// The text is what is signed and what travels, in one form only: [ParseChange] reads
// no other. All groups apply the same changes in the same order, that of their
// serials. What limits guesses only becomes stricter, and no change says otherwise:
// there is no emergency, no override and no unsigned change.
//
// spec/replication.md §15 is the exact format and all rules. The package is a
// function of its inputs: no I/O, clock, randomness or goroutines. Values are safe
// for concurrent reading.
package roster

import "slices"

// Limits, spec/replication.md §15. With those of names, addresses and reasons no line
// of a text has a hundred bytes: a terminal shows it whole.
const (
	MaxVoters    = 7         // of a group
	MaxMembers   = 64        // of the fleet: of the root group
	MaxGroups    = 256       // a power of two
	MaxOperators = 16        // keys
	MaxNumber    = 1<<32 - 1 // the largest number of a member
	MaxName      = 24        // bytes of a name
	MaxAddress   = 90        // bytes of host:port
	MaxReason    = 80        // bytes of what stands after "because: "
	SealingSize  = 1216      // bytes of an HPKE public key, ML-KEM-768 and X25519
	PointSize    = 33        // bytes of a point of P-256, SEC 1 compressed

	// DeviceSealingSize is the size in bytes of an HPKE public key of ML-KEM-768 and
	// P-256, whose P-256 half is in a machine's hardware.
	DeviceSealingSize = 1249
)

// Member is a machine of the fleet. Its number is the same in every group, and no
// other machine ever gets it.
type Member struct {
	Number     uint64 // from 1
	Name       string // of people's choice, unique
	DataCenter string
	Address    string   // host:port at which the others reach it, unique
	Identity   [32]byte // Ed25519 public key of its links, unique
	Sealing    []byte   // HPKE public key that the group secret is sealed to, SealingSize or DeviceSealingSize bytes
	Learner    bool     // it has the log and no vote
}

// Policy limits guesses (spec/vault-protocol.md §7.2). It has the fields of
// fleet.Policy and vault.Policy, so that each converts into the others.
type Policy struct {
	MaxAttempts uint8    // m, the largest attempt limit of a record, 1 to 10
	Waits       []uint64 // milliseconds after the n-th attempt without proof, n from 1 to m − 1; never falling
	CoolDown    uint64   // milliseconds until a change without authority takes effect
	Grace       uint64   // milliseconds for which a last attempt may be repeated and proved
	Insecure    bool     // a development anchor, or weaker limits than the default; as founded, for good
}

// Operator is one of those who sign changes.
type Operator struct {
	Name string
	Key  [32]byte // Ed25519 public key
}

// Placed is a member of one group.
type Placed struct {
	Number  uint64
	Learner bool
}

// Place is where a group is that no longer follows the root group.
type Place struct {
	Group   uint32   // from 1
	Members []Placed // by number
	Left    []uint64 // members of the fleet that this group had and never takes back, rising
}

// Roster is who belongs to the fleet. Its zero value is none: a founder fills one
// in and lets [Roster.Check] look at it.
type Roster struct {
	Fleet [32]byte // the fleet id, spec/vault-protocol.md §7
	// Hardening is H = h·G, the public key of the fleet's second suite
	// (spec/vault-protocol.md §3.7); zeros for a fleet without; as founded, for good.
	Hardening [PointSize]byte
	Groups    uint32 // how many, a power of two up to MaxGroups; as founded, for good
	Serial    uint64 // of the last change, from 0
	// Last is the SHA-256 of the last change's text; zeros before the first.
	Last       [32]byte
	Operators  []Operator // by name
	Quorum     uint8      // how many operators sign a change
	Tolerate   uint8      // how many voters of a group may have lost what they acknowledged
	MinVersion uint32     // of the program, for every member
	Policy     Policy
	Members    []Member // of the root group, by number
	Highest    uint64   // the highest number that a member ever had
	Placement  []Place  // by group; groups that are not listed have the root's members
}

// In returns the members of a group by number, with Learner as it is in that group;
// nil for a group that the fleet does not have. The keys share the roster's memory.
func (r *Roster) In(group uint32) []Member {
	if group >= r.Groups {
		return nil
	}
	p := r.place(group)
	if p == nil {
		return slices.Clone(r.Members)
	}
	members := make([]Member, 0, len(p.Members))
	for _, placed := range p.Members {
		if m, ok := r.Member(placed.Number); ok {
			m.Learner = placed.Learner
			members = append(members, m)
		}
	}
	return members
}

// Member returns the machine with a number, as it is in the root group, and whether
// there is one.
func (r *Roster) Member(number uint64) (Member, bool) {
	if m := r.member(number); m != nil {
		return *m, true
	}
	return Member{}, false
}

// Hardened reports whether the fleet has a key of the second suite.
func (r *Roster) Hardened() bool { return r.Hardening != [PointSize]byte{} }

// Next returns a change of the next serial, for the caller to fill in.
func (r *Roster) Next(kind Kind) *Change {
	return &Change{Kind: kind, Fleet: r.Fleet, Serial: r.Serial + 1}
}

// member finds a member; nil for none.
func (r *Roster) member(number uint64) *Member {
	for i := range r.Members {
		if r.Members[i].Number == number {
			return &r.Members[i]
		}
	}
	return nil
}

// place finds the place of a group; nil for one that follows the root.
func (r *Roster) place(group uint32) *Place {
	for i := range r.Placement {
		if r.Placement[i].Group == group {
			return &r.Placement[i]
		}
	}
	return nil
}

// Clone returns a roster that shares no memory with this one.
func (r *Roster) Clone() *Roster {
	c := r.shallow()
	for i := range c.Members {
		c.Members[i].Sealing = slices.Clone(c.Members[i].Sealing)
	}
	return c
}

// shallow is a Clone that shares the sealing keys, most of a roster's bytes.
func (r *Roster) shallow() *Roster {
	c := *r
	c.Operators, c.Policy.Waits = slices.Clone(r.Operators), slices.Clone(r.Policy.Waits)
	c.Members, c.Placement = slices.Clone(r.Members), slices.Clone(r.Placement)
	for i := range c.Placement {
		p := &c.Placement[i]
		p.Members, p.Left = slices.Clone(p.Members), slices.Clone(p.Left)
	}
	return &c
}
