package vaultapi

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// Account is who an issuer of access tokens says the client is.
type Account [32]byte

// NewAccount returns the account of a token's issuer and subject, of 1 to MaxName
// bytes each (spec/vault-protocol.md §8).
func NewAccount(issuer, subject string) (Account, error) {
	b := append([]byte("keepsake account"), Version)
	for _, name := range []string{issuer, subject} {
		if len(name) < 1 || len(name) > MaxName {
			return Account{}, fmt.Errorf("vaultapi: issuer or subject of %d bytes, must be 1 to %d", len(name), MaxName)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(name))), name...)
	}
	return sha256.Sum256(b), nil
}

// ConfirmMessage is what a key of the live record signs to let a proposal take its
// place at once: proposal is the [ProposeBody.Digest] of the whole of it.
func ConfirmMessage(fleet [32]byte, account Account, live ID, proposal [32]byte) []byte {
	return signed(Confirm, fleet, account, live, proposal[:])
}

// ProveMessage is what the unlock key signs: this attempt, with this question, and
// the device key that it enrols (zeros: none). The question is an Attempt's B, or
// [HardenedAttemptBody.Question].
func ProveMessage(fleet [32]byte, account Account, live, attempt ID, question, device [32]byte) []byte {
	return signed(Prove, fleet, account, live, attempt[:], question[:], device[:])
}

// DeleteMessage is what a key of the live record signs to destroy it.
func DeleteMessage(fleet [32]byte, account Account, live ID) []byte {
	return signed(Delete, fleet, account, live)
}

// CancelMessage is what a key of the live record signs to drop a pending change.
func CancelMessage(fleet [32]byte, account Account, live, pending ID) []byte {
	return signed(Cancel, fleet, account, live, pending[:])
}

// signed is spec/vault-protocol.md §10.1: every part is of fixed length for its
// type, so that no signature means two things.
func signed(t Type, fleet [32]byte, account Account, live ID, rest ...[]byte) []byte {
	b := slices.Concat([]byte("keepsake vault signature"), []byte{Version, byte(t)}, fleet[:], account[:], live[:])
	return append(b, slices.Concat(rest...)...)
}
