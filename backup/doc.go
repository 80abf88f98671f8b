// Package backup writes, reads, verifies and prunes repositories of encrypted chat histories, in the format of
// spec/backup-format.md.
//
// A repository is a set of immutable encrypted objects in a [keepsake.example/cloud.Store] that is not trusted with
// anything: packs of chunks, manifests that name the chunks of every file, and a chain of heads that says what the
// repository holds. Writing a head is the commit; a run that is killed before it has changed nothing, and the next run
// uses what it left.
//
// The whole package holds one file's chunk, a few packs and the tables it needs in memory, whatever the size of the
// history: bounded by about 150 MiB, and 17 more where four packs are sent at a time.
//
// The store says what it is like ([keepsake.example/cloud.Traits]): how many requests at a time are worth while, and how far its listings lag behind.
//
// A [Repo] is used by one goroutine at a time. One process at a time may write for one device; the caller sees to
// that (package client locks the profile).
package backup
