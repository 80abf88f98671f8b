// Package password is the person's side of the password path: it turns a
// password and what a vault answers into the backup key K, and K and a password
// into what a vault keeps. spec/vault-protocol.md §9 is the exact derivation.
//
//	password → OpaqueString → OPRF (package oprf) → Argon2id → HKDF → pad, mac key, unlock key
//	envelope = header ‖ K XOR pad ‖ HMAC(mac key, header ‖ account ‖ record id ‖ K XOR pad)
//
// Where the fleet has a key in its hardware there is a second function (package
// oprf/p256), and both outputs are mixed before Argon2id: suite 2, §9.5. [Harden] asks
// for it once more when a password is set.
//
// [Prepare] makes a [Password] of what was typed, [Judge] says whether it is good
// enough to be set. [Register] makes the record that a vault keeps, without
// asking anybody: the client draws the vault's key itself. [Ask] makes the one
// question of a recovery, always the same from the same [Seed], and
// [Question.Open] has K from the answer. [Example] runs all of it.
//
// # Wrong password, lying vault
//
// Open ends in [ErrWrongPassword] only when everything that can be checked
// without the password holds. Whatever an honest vault never sends is
// [ErrDishonest]: the caller stops, tells the person, and does not try again. The
// tag of an envelope commits to its key, so that an envelope opens under one
// password and no other, and whoever forges one learns from the answer about one
// guess, not about a set of them.
//
// # Secrets
//
// [Password], [Seed], [UnlockKey] and [Verifier] print as a fixed word and are
// wiped by their Wipe methods; Argon2id's memory and the copies that the Unicode
// and strength libraries make are left to the garbage collector. Nothing here reads
// a clock, a file or a global source of randomness. Values are safe for concurrent
// use, but for Wipe.
package password

import (
	"errors"
	"fmt"
)

// Limits of a password in bytes, spec/vault-protocol.md §9.1.
const (
	MaxTyped    = 4096 // as typed: bounds the work of preparing it
	MaxPrepared = 1024 // as UTF-8 after OpaqueString
)

var (
	// ErrUnusable is a text that cannot be a password: empty, too long, not
	// UTF-8, or with characters that no keyboard repeats reliably.
	ErrUnusable = errors.New("password: cannot be used as a password")
	// ErrWrongPassword means that the vault answered as it should, and its
	// envelope does not open with this password.
	ErrWrongPassword = errors.New("password: wrong password")
	// ErrDishonest means that the vault sent what an honest vault never sends.
	// Whoever sees it must stop and not try again.
	ErrDishonest = errors.New("password: the vault is not honest")
	// ErrUnsupported is an envelope that a newer version of this program made:
	// another version or KDF, or more than one vault.
	ErrUnsupported = errors.New("password: made by a newer version of keepsake")
	// ErrFleetKey is a record that was made with another key in the fleet's hardware
	// than the fleet's bundle names, or a bundle that names none any more. It says
	// nothing of the password.
	ErrFleetKey = errors.New("password: the fleet's hardware key is not the one that the key was put behind")
	// ErrEnvelope is an envelope that nobody's encoder made.
	ErrEnvelope = errors.New("password: not an envelope")
	// ErrParams are Argon2id parameters under the floor or over the ceiling.
	ErrParams = errors.New("password: KDF parameters out of bounds")
	// ErrVerifier is a verifier that [Verifier.Encode] did not write.
	ErrVerifier = errors.New("password: not a verifier")
)

func dishonest(why string) error { return fmt.Errorf("password: %s: %w", why, ErrDishonest) }
