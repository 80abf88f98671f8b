// Package pkcs11 is an [anchor.Device] on a PKCS#11 token: a hardware security
// module, or SoftHSM, which plays one in files.
//
// A token runs none of our code. It keeps keys that cannot be read out of it, and it
// stores what we give it. That is enough to hold the key under which all state is
// sealed, and to destroy it; it is not enough to count: whoever has the user PIN, as the
// machine itself has, may replace what the token stores. doc/hsm-pkcs11.md says
// without varnish what that is worth, by vendor.
//
// # What is on the token
//
// All objects have the application "keepsake" where they can, and these labels:
//
//	keepsake seal       AES-256, not extractable: what Seal and Open use; made by Prepare
//	keepsake epoch      AES-256, not extractable: seals the state; Rotate makes a new one and destroys the old
//	keepsake state      data object: the state, below
//	keepsake machine    P-256 pair, not extractable: the Exchanger
//	keepsake fleet      P-256 pair; the private half can be wrapped by trusted keys only
//	keepsake transport  RSA-3072 pair: to it a fleet key is wrapped; destroyed when it has arrived
//
// The state is 132 bytes, integers big-endian:
//
//	0   8  "ksp-p11" and version 1
//	8   8  term: how often the token was opened
//	16  8  counter
//	24 32  head
//	56 16  CKA_ID of the epoch key that seals it
//	72 12  nonce
//	84 48  AES-256-GCM of the epoch key of package anchor, aad = bytes 0 to 71
//
// A data object cannot be changed on every token, so each step makes a new one and
// then destroys the old. The state is the one with the highest term, and of these
// with the highest counter. Opening writes the state again with the next term, and
// each step ends with a look at what is there: a process that finds a higher term has
// been replaced, and reports [anchor.ErrInUse] before anything it did was
// acknowledged. So two machines with one token notice each other, although PKCS#11
// has no lock. On one machine the PIN file is locked besides.
//
// # Without cgo
//
// PKCS#11 modules are C libraries. Without cgo everything compiles, and every function that
// needs a module returns [ErrNoCgo].
package pkcs11
