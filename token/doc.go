// Package token makes and checks the access tokens that say whose account a
// request is about: JWTs (RFC 7519) in compact form, signed with an asymmetric
// algorithm, as spec/vault-protocol.md §8 has them.
//
// Both chatd and the vault check tokens, each those for its own audience: chatd
// sees the tokens made for it, and a vault that took them would let chatd
// spend attempts.
//
// A [Verifier] knows its issuers beforehand. What a token says of itself
// chooses between them and nothing more:
//
//	iss     names the issuer; its keys and its algorithms are the only ones tried
//	alg     must be on that issuer's list and fit the kind of the key
//	kid     names one of that issuer's keys; without one the issuer must have a single key that fits
//	aud     is one value, exactly the issuer's audience; a list of two would be good in two places
//	exp     is there, has not passed, and is at most an hour after iat
//	iat     is there and at most a minute ahead
//	nbf     if there, at most a minute ahead
//	cnf     if there, has jkt, the RFC 7638 thumbprint of an Ed25519 key: the token is bound
//
// Keys that a token brings along (jwk, jku, x5c, x5u) are never used. A header
// with crit or b64, or with a member twice, is refused. There is no other
// state: whether a token was seen before is not looked at, since requests are
// safe to repeat.
//
// [Example] signs a token and checks it.
package token

import "time"

const (
	// MaxSize is how many bytes a token may have (spec/vault-protocol.md §8).
	MaxSize = 4096
	// MaxLife is the longest time between iat and exp.
	MaxLife = time.Hour
	// Tolerance is how far the clocks of issuer and verifier may differ.
	Tolerance = time.Minute
	// MaxName is how many bytes an issuer, a subject or an audience may have.
	MaxName = 255
)

// The algorithms that an issuer's list may hold (RFC 7518 §3.1, RFC 8037).
// There is no HMAC: whoever checks could also sign.
const (
	EdDSA = "EdDSA" // with Ed25519
	ES256 = "ES256" // with P-256
	RS256 = "RS256" // with RSA of 2048 to 4096 bits
	PS256 = "PS256" // likewise
)
