// Package issuer makes accounts for operators who have no issuer of their
// own: a person proves a handle (an e-mail address, or what a webhook
// understands) with a one-time code, a device its key, and then the device gets
// tokens of ten minutes that are bound to the key, with a refresh token that
// changes at every use. spec/vault-protocol.md §8.1 is the protocol.
//
// What stands against guessing and asking around:
//
//   - A code has 8 digits and is good for one login, one success, five tries and
//     ten minutes. A try is counted on the disk before the code is looked at.
//     Five logins an hour for a handle make 600 tries a day, one account in
//     450 years.
//   - Every handle gets the same answer after the same work, known or not, and the
//     message leaves later.
//   - Logins are limited by handle, by address and in all.
//   - Codes, tokens and proofs are compared in constant time.
//
// A code leads to one line of refresh tokens. The device may repeat the request
// with it, which gives the same again until the refresh token is used: a lost
// answer costs no second mail. A refresh token is good once. The device may repeat a request whose answer
// was lost, until the successor is used and for ten minutes; any other use of an
// old one ends the line: two devices hold what only one should.
//
// The store is one SQLite file. Handles are in it as keyed hashes only:
// whoever finds the file alone learns no addresses, and with the secret beside
// it can test guesses of them. The signing key is not in it.
//
// The issuer is the root of every account it makes: run it apart from the relay,
// which needs nothing of it but the public key.
package issuer

import (
	"errors"
	"fmt"
	"time"
)

// ErrFormat tells that a handle, key or id is not one.
var ErrFormat = errors.New("issuer: not a handle, key or id")

// ErrRefused tells that a code, a refresh token or a proof is not accepted:
// never why, and never whether the handle is known.
var ErrRefused = errors.New("issuer: refused")

// ErrBusy tells that nothing was done: too many messages wait to be sent.
var ErrBusy = errors.New("issuer: busy")

// A LimitError tells that it was tried too often.
type LimitError struct{ Wait time.Duration }

// Error tells how long to wait.
func (e *LimitError) Error() string { return fmt.Sprintf("issuer: too often; wait %v", e.Wait) }
