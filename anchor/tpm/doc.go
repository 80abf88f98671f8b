// Package tpm is an anchor in a machine's TPM 2.0. The chip counts, and what was counted
// cannot be put back; it holds the keys, and only while its count is right. doc/hsm-tpm.md
// says what it can enforce and what not, and how to set up a machine.
//
// # In the chip
//
// Three NV indices, in the owner's range, with a password that is in the folder: a
// counter of steps, a counter of rotations, and a chain that each step extends. And a
// storage key, from whose password and private half all others hang. The present state
// is the one slot of the folder's file "state" whose numbers are the counters' and whose
// hash the chain ends with:
//
//	chain' = SHA-256(chain ‖ SHA-256("keepsake tpm step\x01" ‖ slot))
//
// The chain alone would do, were it not for the owner of the chip, who may delete an
// index and make it anew, empty, and extend it again by the same values up to where he
// wants it. A counter that is made anew starts higher than any was before on this chip
// (TPM 2.0 part 3, 31.8). And counters alone would not do: of two states that were
// prepared for one count, either could be shown.
//
// # In the folder
//
// A file "machine", written once by [Prepare]; "state", with two slots at 0 and 4096
// (slot.go); "fleet-key"; and "lock". Numbers are big-endian.
//
//	machine    "ksp-tpmd" ‖ 1 ‖ password 32 ‖ u16 storage key's public area ‖ u64 steps ‖ u64 rotations ‖ chain 32
//	           ‖ orderly 0/1 ‖ u32 PCR mask ‖ object ‖ SHA-256
//	slot       "ksp-tpm" ‖ 1 ‖ kind ‖ u64 counter ‖ head 32 ‖ chain before 32 ‖ u64 steps ‖ u64 rotations ‖ object ‖ SHA-256
//	box        "ksp-tpms" ‖ 1 ‖ object ‖ AES-256-GCM(secret), label as associated data
//	fleet-key  "ksp-tpmf" ‖ 1 ‖ object
//	request    "ksp-tpmr" ‖ 1 ‖ u16 storage key's public area
//	wrapped    "ksp-tpmw" ‖ 1 ‖ u16 public area ‖ u16 duplicate ‖ u16 seed
//	object     u16 public area (TPMT_PUBLIC) ‖ u16 private (TPM2B_PRIVATE)
//
// The hashes are against torn writes and bad disks. Against people it is the chip that
// helps: whoever changes an object has one that it does not load, and whoever changes a
// slot has one that it never counted.
package tpm
