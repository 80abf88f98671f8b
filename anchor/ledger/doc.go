// Package ledger spreads the one counter of a machine's hardware over the groups
// that the machine is a member of. Hardware counts in milliseconds or tens of them,
// and some of it wears out; a machine can have hundreds of groups, each with an
// anchor of its own.
//
// A file holds the {state, epoch key} of every group, sealed under the epoch key of
// the device and named by its hash in the head of the device. A step writes the next
// one beside the last, syncs, and takes one step of the device:
//
//	slot of count n+1 written and synced     nobody was told; the device still names the other
//	device.Advance(n+1, hash of the slot)    the step, for all groups whose turns were waiting
//
// If a group turns its epoch, the device turns its own: Rotate with a new key. From
// then on every older slot is unreadable, wherever copies of it are, and with it
// every older epoch key of every group. So what a group erased is erased, although
// the hardware knows of one key only.
//
// At the start the slot that the device names is the state. The other one, whether of
// the step before or of one that was not counted, is not looked at. If the device names
// neither, the file or the device is of another time: [ErrRolledBack].
//
// spec/replication.md §3.3 has the bytes. What the whole is worth is what the device
// is worth.
package ledger
