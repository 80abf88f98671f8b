// Package outage holds the tests of a fleet that loses machines: five vaultd and two
// chatd, each a process of its own as it is shipped, in five data centers, each of
// which is a network namespace with a cable of its own to the outside. There is no
// code here but tests.
//
// Between the data centers is a relay of TCP connections, since the kernel that this
// was written on cannot delay packets itself: it adds 15 to 60 ms to each direction and
// can part any two sites. A cable is cut with `ip link set … down`.
//
// Meanwhile people recover their keys, and others guess, each over whichever chatd
// answers. What they asked, when, and what they were told is kept, and at the end held
// against a plain model of an account: every history must be one that a single vault
// without faults could have given (linearizability, github.com/anishathalye/porcupine).
// An answer that never came may stand for a request that was done, or not. Members that
// are cut off, or sleep, are asked themselves besides, past chatd, which would spare them:
// they may say nothing, and must not tell what is over.
// TestGroupsMove does the same to a fleet of four groups while they move to other machines.
//
// The programs are not linked; what a client knows (packages oprf, sealed, vaultapi,
// fleet, token) is, because the tests speak for the client.
package outage
