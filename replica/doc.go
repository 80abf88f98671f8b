// Package replica keeps a state machine durable on a disk that nobody trusts: what
// was acknowledged survives crashes, and a disk that was put back to an earlier
// state, cut or edited is refused. It drives a [Machine] with raft
// (go.etcd.io/raft/v3), which here has one voter.
//
// Every durable step seals one batch of raft's log under the key of the epoch,
// chains it to all batches before by SHA-256, syncs it, and advances the [anchor]:
// a counter that the operator cannot put back. Only then is anything
// applied, and anybody answered. Many proposals share one batch.
//
// A checkpoint is the machine's whole state, sealed under the next epoch's key.
// When the anchor takes that key in place of the old one, all that the old one
// sealed is unreadable, in every copy of the disk; then it is deleted.
//
// The file formats, the rules of the start and what an anchor must do are in
// spec/replication.md.
//
// # What it protects, and what not
//
// The disk shows sizes and times of batches, and nothing else. An anchor that can
// itself be put back, as the software one can, protects from no rollback: then this
// package finds damage, and no more.
//
// # Order of the durable steps
//
//	a batch:      write, fdatasync, anchor.Advance, apply, answer
//	a checkpoint: write, fsync, rename, fsync of the folder, anchor.Rotate, unlink
//	a log file:   write zeros, fsync, rename, fsync of the folder; then batches overwrite them
package replica
