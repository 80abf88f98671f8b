//go:build !planted

package planted

// None of the bugs is there.
const (
	SkipAnchor        = false // a batch does not advance the anchor, and a start does not look at it
	SendBeforeSync    = false // messages and answers leave before the batch is durable and anchored
	ApplyBeforeCommit = false // an entry is applied as soon as it is in the own log
	VoteTwice         = false // a vote is not kept over a restart
	OldAppend         = false // a leader of an earlier term is followed
	OldAck            = false // what was acknowledged in an earlier term counts in this one
	OldVote           = false // a vote for an earlier term counts in this one
	OwnClock          = false // the leader's clock counts, not the quorum's
	LeaseRead         = false // reads trust the leader's clock, not a quorum (raft's ReadOnlyLeaseBased)
	OpenWindow        = false // a sealed message is accepted more than once
	KeepSecret        = false // the group secret before the present one is never dropped
	BoxForLeavers     = false // a new group secret is sealed to members that were removed, too
)
