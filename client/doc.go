// Package client is Keepsake on one device: it sets up the encrypted backup of a
// chat folder, runs it, gets it back, and keeps what a device has to
// remember between runs. It is thin: package backup does the work, package cloud
// reaches the storage, and this package ties both to a profile.
//
// # The profile
//
// A profile is a folder (mode 0700) of one device and one chat folder:
//
//	config.json  what is backed up to where, and where the key is kept
//	state.json   the newest state of the backup this device has seen
//	key          the key, when the system keyring does not keep it (mode 0600)
//	key.new      the next key, while a rotation is under way (mode 0600)
//	cache/       copies of small encrypted objects; may be deleted at any time
//	schedule.json
//	             when backups are wanted; absent without a schedule
//	lock         held by the command that changes something
//	watch.lock   held by the command that runs the schedule
//	state.lock   held for the moment state.json is changed
//	vault.json   which vault, what it keeps, what is under way there; no secret
//	vault.key    device seed, refresh token, verifier, when the keyring does not
//	             keep them (mode 0600)
//	attempt      the seed of an attempt that was not answered yet (mode 0600)
//	vault.lock   held by the command that speaks to the vault
//
// # Who is trusted with what
//
// Whoever can read key as this user, or asks this user's keyring, can read the
// backup; that is the same person who can read the chat folder itself.
// Whoever can write config.json can send the next backup elsewhere, though only
// encrypted under the same key, and can exclude files from it. Whoever can write
// or delete state.json can make the device accept an older state of the cloud
// again: this is why a lost state.json is reported and never passed over.
// Whoever can write cache gains nothing: every object in it is authenticated when
// it is read. Whoever can hold lock can keep backups from running.
//
// # Order of steps
//
// The key is in the keeping of the person, and in this device's, before a
// repository exists that needs it; a new key is, before the key ring is rewritten.
// A crash at any point leaves a backup that opens with a key somebody has,
// and the next command finishes what was begun.
package client
