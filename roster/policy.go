package roster

import "slices"

// setPolicy takes a policy that is nowhere weaker than the present one.
func (r *Roster) setPolicy(to Policy) error {
	if what := r.Policy.weakened(&to); what != "" {
		return refuse(Weaker, "found a new fleet: nothing makes the limits of this one weaker", "%s", what)
	}
	if r.Policy.Equal(&to) {
		return unchanged()
	}
	r.Policy = to
	return nil
}

// weakened says where another policy is weaker than this one, "" for nowhere. A
// smaller limit has fewer waits: what it drops are waits between attempts that no
// new record has, and the vault keeps them for the old ones.
//
// The insecure flag stands as founded. Taken off, it would deny that the fleet's
// keys once lay in the open; put on, it would let a machine whose anchor protects
// nothing into a fleet whose people were never asked.
func (o *Policy) weakened(to *Policy) string {
	switch {
	case to.MaxAttempts > o.MaxAttempts:
		return "it allows more attempts"
	case to.CoolDown < o.CoolDown:
		return "its cool-down is shorter"
	case to.Grace > o.Grace:
		return "its grace is longer"
	case to.Insecure != o.Insecure:
		return "whether a fleet is insecure is said when it is founded"
	}
	for i, w := range to.Waits {
		if w < o.Waits[i] { // there are as many: the limit is not larger
			return "a wait is shorter"
		}
	}
	return ""
}

// Equal reports whether two policies say the same.
func (o *Policy) Equal(to *Policy) bool {
	return o.MaxAttempts == to.MaxAttempts && o.CoolDown == to.CoolDown && o.Grace == to.Grace &&
		o.Insecure == to.Insecure && slices.Equal(o.Waits, to.Waits)
}
