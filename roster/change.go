package roster

// Kind is what a change does.
type Kind uint8

// The kinds of changes. Add, Promote, Demote and Remove are about a group: the root
// group, number 0, which every machine of the fleet is a member of, or another.
const (
	Add           Kind = 1 + iota // adds a learner: to group 0 a new machine, to another one a machine of the fleet
	Promote                       // makes a learner a voter
	Demote                        // makes a voter a learner
	Remove                        // removes a member, from group 0 for good
	SetAddress                    // moves a member to another address
	SetPolicy                     // makes the policy stricter
	SetMinVersion                 // raises the least version of the program
	SetTolerate                   // raises the number of members that may have lost what they acknowledged
	SetOperators                  // replaces the operators' keys
	Void                          // changes nothing: what else was signed under this serial is void
)

// Change is one change of the roster. The fields that its kind does not name are
// zero. [Roster.Next] begins one.
type Change struct {
	Kind   Kind
	Fleet  [32]byte
	Serial uint64 // the roster's and 1
	// Because is a reason, for people: at most MaxReason bytes of printable ASCII,
	// no space at either end; empty for none.
	Because string

	// Group is what Add, Promote, Demote and Remove are about.
	Group uint32
	// Member is the whole new machine for Add to group 0, its Learner set; number
	// and address for SetAddress; the number alone for the others.
	Member Member

	Policy     Policy     // of SetPolicy, the whole
	MinVersion uint32     // of SetMinVersion
	Tolerate   uint8      // of SetTolerate
	Operators  []Operator // of SetOperators, by name, the whole list
	Quorum     uint8      // of SetOperators
}
