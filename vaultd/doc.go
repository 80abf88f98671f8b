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
//	check      under a linearizable read: a refusal or a repetition changes
//	           nothing and is not committed (but for Prove, which always is)
//	propose    the command, with the time and fresh random bytes; wait until it
//	           is durable, anchored and applied
//	evaluate   Z = k·B and its proof, only now: an attempt is spent before its
//	           evaluation exists (spec/vault-protocol.md §11.3, rule 3)
//	seal       the answer, and wait for the next multiple of the quantum (§12)
//
// If the process dies anywhere, the same bytes delivered again are answered, and
// nothing is counted twice. Whatever cannot be decided in time is busy.
//
// # Parts
//
// [Found] makes a fleet of one replica, [New] opens it and returns the [Server];
// Server.Answer does the above, Server.Handler serves it over HTTP to chatd,
// Server.Admin is for the operator, Server.Serve runs both, Server.Close drains.
// A keeper makes a new channel key every week and lets expired ones be erased.
//
// # Who learns what
//
// chatd sees sizes and times that do not depend on the outcome. The operator,
// who also runs chatd, sees metrics and logs in which no outcome of a request, no
// account and no token appears: read every second, a counter of wrong passwords
// would be as good as a list (doc/decisions/0023).
package vaultd
