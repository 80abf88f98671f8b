// Package vaultd is the door of the vault: what stands between a request that
// chatd brings and the state machine that counts guesses.
//
// A request is 8192 sealed bytes, an answer 4096, whatever is asked and however
// it ends. In between, in this order:
//
//	open       with the channel key that the request names, else an HTTP error
//	decode     else unsupported
//	verify     the token, for this vault's audience and at the vault's time; the
//	           binding to the device's key; else unauthorised
//	check      against the state as it is here; what would change nothing (a refusal,
//	           a repetition) again under a linearizable read, and then it is not
//	           committed (but for Prove, which always is)
//	propose    the command, with the quorum's time and fresh random bytes; wait until
//	           it is durable and anchored on a majority, and applied here
//	evaluate   Z = k·B and its proof, only now: an attempt is spent before its
//	           evaluation exists (spec/vault-protocol.md §11.3, rule 3)
//	seal       the answer, and wait for the next multiple of the quantum (§12)
//
// Check to evaluate are package door. If the process or its data center dies anywhere,
// the same bytes, delivered to any member, are answered, and nothing is counted twice.
// Whatever cannot be decided in time is busy; where no leader is known it is
// ErrNoQuorum (doc/decisions/0033).
//
// # A fleet
//
// Each machine of a fleet runs one vaultd, which has a replica of the root group and
// of every other group that is placed on it (package machine says what is in one).
// Machines reach each other by package peer, and know each other by the roster, which
// only changes that operators signed change. Any machine answers any request: it
// proposes to the leader of the account's group, or, if the group is not here, has a
// machine decide that has it. Time is the quorum's.
//
// # Parts
//
// [Found] makes a fleet of one machine, [Join] a member of another's, [New] opens it
// and returns the [Server]; Server.Answer does the above, Server.Handler serves it
// over HTTP to chatd, Server.Admin is for the operator, Server.Serve runs both,
// Server.Close hands leadership over and drains. The leader's keeper makes a new
// channel key every week and lets expired ones be erased; all take them over when
// they are applied.
//
// # Who learns what
//
// chatd sees sizes and times that do not depend on the outcome. The operator,
// who also runs chatd, sees metrics and logs in which no outcome of a request, no
// account and no token appears: read every second, a counter of wrong passwords
// would be as good as a list (doc/decisions/0023).
package vaultd
