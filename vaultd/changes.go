package vaultd

import (
	"encoding/hex"
	"fmt"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vaultd/machine"
)

// SignedChange is a change that was accepted, and who signed it. The text and each
// signature can be checked with [roster.Signed]; the names are this member's word.
type SignedChange struct {
	Text       string            `json:"text"`
	Signatures []ChangeSignature `json:"signatures"`
}

// ChangeSignature is one operator's signature of a change.
type ChangeSignature struct {
	Operator  string `json:"operator"`  // whose key it is by the roster, or was by a change that is kept; "" where neither says so
	Key       string `json:"key"`       // Ed25519, hex
	Signature string `json:"signature"` // hex
}

// Changes returns the changes that were accepted, as this member has them, oldest
// first; the newest 256. Older ones are nowhere: who needs them keeps what this returns.
func (s *Server) Changes() []SignedChange {
	all := []SignedChange{}
	changes := s.changes()
	names := operatorNames(s.known.Load(), changes)
	for _, c := range changes {
		one := SignedChange{Text: c.Text, Signatures: []ChangeSignature{}}
		for _, g := range c.Signatures {
			one.Signatures = append(one.Signatures, ChangeSignature{names[g.Key], hex.EncodeToString(g.Key[:]), hex.EncodeToString(g.Signature[:])})
		}
		all = append(all, one)
	}
	return all
}

// changes are those that this member's root keeps, oldest first.
func (s *Server) changes() (all []*roster.Signed) {
	s.root().replica.Peek(func(m replica.Machine) {
		for _, signed := range m.(*machine.Machine).ChangesAfter(0) {
			if c, err := roster.DecodeSigned(signed); err == nil {
				all = append(all, c)
			}
		}
	})
	return all
}

// operatorNames are the names of operators by their keys: of those there are, and of
// those that a change appointed.
func operatorNames(r *roster.Roster, changes []*roster.Signed) map[[32]byte]string {
	names := map[[32]byte]string{}
	for _, signed := range changes {
		if c, err := roster.ParseChange(signed.Text); err == nil {
			for _, o := range c.Operators {
				names[o.Key] = o.Name
			}
		}
	}
	for _, o := range r.Operators {
		names[o.Key] = o.Name
	}
	return names
}

// changesFrom are the changes that a group lacks, of those that the root keeps. One that
// slept through more of them than are kept cannot be brought up.
func changesFrom(root *machine.Machine, group uint32, has uint64) ([][]byte, error) {
	missing := root.ChangesAfter(has)
	oldest := root.Serial() - uint64(len(missing)) + 1
	if len(missing) > 0 && oldest != has+1 {
		return nil, fmt.Errorf("vaultd: group %d has the changes up to %d, and of the later ones only %d to %d are kept: it cannot follow the fleet any more, "+
			"and its members, operators and policy stay as they were", group, has, oldest, root.Serial())
	}
	return missing, nil
}
