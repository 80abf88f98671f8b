//go:build planted

package planted

// Set by the simulator's tests, one at a time, from one goroutine.
var (
	SkipAnchor        bool // a batch does not advance the anchor, and a start does not look at it
	SendBeforeSync    bool // messages and answers leave before the batch is durable and anchored
	ApplyBeforeCommit bool // an entry is applied as soon as it is in the own log
	VoteTwice         bool // a vote is not kept over a restart
	OldAppend         bool // a leader of an earlier term is followed
	OldAck            bool // what was acknowledged in an earlier term counts in this one
	OldVote           bool // a vote for an earlier term counts in this one
	OwnClock          bool // the leader's clock counts, not the quorum's
	LeaseRead         bool // reads trust the leader's clock, not a quorum (raft's ReadOnlyLeaseBased)
	OpenWindow        bool // a sealed message is accepted more than once
	KeepSecret        bool // the group secret before the present one is never dropped
	BoxForLeavers     bool // a new group secret is sealed to members that were removed, too
)
