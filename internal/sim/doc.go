// Package sim runs a whole fleet of the vault in one thread: replicas with the real
// log, anchor checks, consensus, catch-up and door, relays with the real choice of whom to ask (chatd/nearest), and clients, on disks,
// links and clocks that are simulated and hostile. Everything that happens follows
// from one number, the seed: the same seed gives the same run, byte for byte.
//
// # What goes wrong
//
// Messages are lost, doubled, late and out of order; links are cut, one way or both;
// a hostile host keeps every sealed message and sends it again, edited, or to somebody else.
// Power goes before any durable step, and what was not synced is lost or torn. Disks
// are put back to an earlier state, and where the roster tolerates it their anchors too. Clocks of a
// minority jump. Processes stop and wake up later, relays are started again. Meanwhile operators add, promote,
// demote and remove members, move the leader, and somebody tries it without
// signatures. Clients guess, race, repeat, replay and register again.
//
// # What must hold
//
// history.go watches the one history that all replicas apply, and every evaluation
// that leaves; model.go says in plain sets and counters what each request may do; at the
// end of a run linear.go asks whether what the clients of each account saw could have come from
// one vault that does one request at a time (porcupine). Any breach is a
// [Failure], with the seed that shows it.
//
// [Run] is one run.
package sim
