// Package software is an anchor in a folder. It is for development and tests:
// whoever can write to the folder puts it back to any earlier state, and
// whoever can read it has the epoch key. It protects nothing. It keeps what [anchor.Anchor] promises
// through crashes and power cuts, and no more.
//
// # What is on the disk
//
// A file "anchor" with two slots, at bytes 0 and 4096 (spec/replication.md §3.1),
// and a file "lock". A step overwrites the older slot and syncs, so that the
// other is whole whenever a write is torn; the valid slot with the higher counter
// is the state. Rotate then overwrites the other slot too, in which the old
// key is: an SSD keeps it somewhere all the same.
package software
