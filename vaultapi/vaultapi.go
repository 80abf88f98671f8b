// Package vaultapi is the messages between client and vault, as they lie inside
// the sealed channel: one request, one answer, each in exactly one form of
// bytes. spec/vault-protocol.md §10 is the exact format. In bytes:
//
//	request  1 version | 1 type | 2 + n token | 1 bound | 96 key and signature, if bound | body
//	answer   1 version | 1 code | 1 left | 1 limit | 8 time | 8 next | body
//
// The decoders refuse what the encoders would not have written: other lengths,
// values out of their range, bytes left over. Whatever they accept is encoded to
// the same bytes again. They verify no signature: a request that decodes is
// nobody's word yet. [Request.CheckBinding] and the four messages that clients
// sign ([ConfirmMessage], [ProveMessage], [DeleteMessage], [CancelMessage]) are
// here; whose keys must have signed is for the vault to know.
//
// [Example] asks and answers one Attempt.
//
// # Sizes and times
//
// A request has at most [MaxRequest] bytes, an answer at most [MaxAnswer]; both
// fit the channel. Times are milliseconds since 1970-01-01 UTC, at most
// [MaxTime], so that no difference of two of them overflows a time.Duration.
//
// Nothing here keeps state: functions are safe for concurrent use, and what a
// decoder returns shares no memory with its input.
package vaultapi

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Version is the version of the messages, the first byte of each.
const Version = 1

// Limits, spec/vault-protocol.md §8 and §10. Sizes are bytes.
const (
	MaxToken    = 4096      // an access token, at least 1
	MaxEnvelope = 1536      // the envelope C, at least 1
	MaxAttempts = 10        // the attempt limit of any record of any fleet
	MaxHistory  = 20        // attempts in one history
	MaxName     = 255       // an issuer or a subject, at least 1
	MaxTime     = 1<<43 - 1 // milliseconds: the year 2248, under 2^63 nanoseconds

	PointSize = 33 // a point of P-256, SEC 1 compressed

	// MaxRequest is a bound Propose with the longest token and envelope, MaxAnswer
	// the answer to a HardenedAttempt with the longest envelope.
	MaxRequest = 2 + 2 + MaxToken + 1 + 96 + 16 + 1 + 3*32 + 2 + MaxEnvelope // 5848
	MaxAnswer  = 20 + 16 + 16 + 32 + 64 + 2 + MaxEnvelope + PointSize        // 1719
)

var (
	// ErrFormat is a message that is not in the one form of §10: another length, a
	// value out of its range, bytes left over.
	ErrFormat = errors.New("vaultapi: not a message in its one form")
	// ErrUnsupported is a message of another version, or a request of an unknown
	// type. Nothing behind those bytes was looked at.
	ErrUnsupported = errors.New("vaultapi: unknown version or type")
	// ErrBinding is a request without a device's signature, or with one that is not
	// over this request to this fleet.
	ErrBinding = errors.New("vaultapi: request not signed by its device")
)

// ID is a record id or an attempt id: 16 random bytes that the client draws.
type ID [16]byte

// String returns 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Type is what a request asks for.
type Type uint8

// The request types, spec/vault-protocol.md §10.1.
const (
	Propose Type = 1 + iota
	Confirm
	Attempt
	Prove
	Delete
	Status
	Cancel
	Harden          // suite 2: a vault without it answers Unsupported
	HardenedAttempt // the same
)

// LastType is the last known type: types are Propose to LastType.
const LastType = HardenedAttempt

var typeNames = [...]string{
	Propose: "propose", Confirm: "confirm", Attempt: "attempt", Prove: "prove", Delete: "delete", Status: "status", Cancel: "cancel",
	Harden: "harden", HardenedAttempt: "hardened-attempt",
}

func (t Type) known() bool { return Propose <= t && t <= LastType }

// String returns the type's name in lower case.
func (t Type) String() string {
	if !t.known() {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return typeNames[t]
}

// Code is how a request ended.
type Code uint8

// The closed list of outcomes, spec/vault-protocol.md §10.2.
const (
	OK           Code = iota // done
	Wait                     // not yet; nothing was counted
	Destroyed                // the record was destroyed after the limit
	None                     // there is no record
	Conflict                 // the id was used with another content, or the record is another one by now
	Unauthorised             // token, binding or signature refused
	Unsupported              // version, type or value not known here
	Busy                     // not decided now; repeat the same bytes
)

var codeNames = [...]string{"ok", "wait", "destroyed", "none", "conflict", "unauthorised", "unsupported", "busy"}

// String returns the code's name in lower case.
func (c Code) String() string {
	if c > Busy {
		return fmt.Sprintf("code %d", uint8(c))
	}
	return codeNames[c]
}

// Kind is whose signature an [Authority] carries.
type Kind uint8

// The kinds of authority, spec/vault-protocol.md §10.1.
const (
	ByNobody Kind = iota // none: what it asks for waits for the cool-down
	ByUnlock             // the unlock key of the live record, which follows from the password
	ByDevice             // the device key of the live record
)

// PendingKind is what change of an account is pending.
type PendingKind uint8

// The kinds of pending changes, spec/vault-protocol.md §10.2.
const (
	NoPending PendingKind = iota
	PendingReplacement
	PendingDeletion
)

var pendingNames = [...]string{"none", "replacement", "deletion"}

// String returns the kind's name in lower case.
func (k PendingKind) String() string {
	if k > PendingDeletion {
		return fmt.Sprintf("pending kind %d", uint8(k))
	}
	return pendingNames[k]
}
