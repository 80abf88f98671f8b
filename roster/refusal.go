package roster

import "fmt"

// Code is why a change is refused, or a roster is none, in one word.
type Code string

// The codes, spec/replication.md §15.4.
const (
	NotAChange Code = "text"      // not a change in its one form
	Foreign    Code = "fleet"     // of another fleet
	Serial     Code = "serial"    // not the next
	Repeated   Code = "repeated"  // the change that was accepted last, again: all is well
	Stranger   Code = "stranger"  // a signature by a key that no operator has
	Forged     Code = "signature" // a signature that does not hold
	TooFew     Code = "quorum"    // too few operators signed
	Weaker     Code = "weaker"    // it would weaken what protects people's guesses, or lower a minimum
	Unchanged  Code = "unchanged" // it says what holds already
	Absent     Code = "absent"    // no such member or group
	Taken      Code = "taken"     // a number, name, address or key that is in use, or was
	Serving    Code = "placed"    // the member still serves another group
	Voters     Code = "voters"    // too few or too many voters would be left in a group
	Full       Code = "full"      // too many members
	OutOfRange Code = "range"     // a value out of its range, of a roster
)

// Refusal is a change that is not made. The state is as it was.
type Refusal struct {
	Code   Code
	Reason string // one sentence for people, without a full stop
	Hint   string // what to do; may be empty
}

// Error returns code and reason.
func (r *Refusal) Error() string { return fmt.Sprintf("roster: refused (%s): %s", r.Code, r.Reason) }

func refuse(code Code, hint, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...), hint}
}
