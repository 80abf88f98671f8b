//go:build planted

package sim

import "keepsake.example/internal/planted"

func init() {
	bugs = append(bugs,
		bug{name: "a batch does not advance the anchor", hooks: hooks{lenient: true}, planted: &planted.SkipAnchor, within: 1000},
		bug{name: "messages leave before the batch is written", planted: &planted.SendBeforeSync, within: 1000},
		bug{name: "an entry is applied before it is committed", planted: &planted.ApplyBeforeCommit, within: 100},
		bug{name: "a vote is forgotten at a restart", hooks: hooks{ambush: (*faults).lurkForVoter}, planted: &planted.VoteTwice, within: 300},
		bug{name: "an append of an old term is taken", planted: &planted.OldAppend, within: 1000},
		bug{name: "an acknowledgement of an old term counts", hooks: hooks{ambush: (*faults).lurkForAcks}, planted: &planted.OldAck, within: 1000},
		bug{name: "a vote of an old term counts", hooks: hooks{ambush: (*faults).lurkForVotes}, planted: &planted.OldVote, within: 300},
		bug{name: "the leader's clock counts, not the quorum's", planted: &planted.OwnClock, within: 200},
		bug{name: "reads trust a lease", hooks: hooks{stalls: true}, planted: &planted.LeaseRead, within: 1000},
		bug{name: "a sealed message is taken twice", planted: &planted.OpenWindow, within: 50},
		bug{name: "the group secret before is never dropped", planted: &planted.KeepSecret, within: 100},
		bug{name: "a new group secret is sealed to who left, too", planted: &planted.BoxForLeavers, within: 100},
	)
}
