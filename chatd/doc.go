// Package chatd is the server in front of the vault: it holds the clients'
// connections, checks whose they are, and relays sealed blocks that it cannot
// read. It has two roles, which can run in one process or in two:
//
//   - The relay takes 8192 octets from a client whose token names an account,
//     passes them to a vaultd, writes an audit line, and passes back 4096
//     octets. It holds no key that makes tokens: a relay in hostile hands
//     cannot invent an account, and the token inside the sealed block, which
//     the vault checks, is not the one the relay sees.
//   - The issuer (package issuer) makes accounts for operators who have no
//     issuer of their own.
//
// Everything is HTTP/2 over TLS 1.3; doc/chatd-openapi.yaml describes it. A
// relay keeps nothing that another instance would need, so that any number run
// side by side; limits hold for each.
//
// # What a relayed request goes through, in this order
//
//	the limit of its address         429
//	the access token                 401
//	the limit of its account         429
//	8192 octets within a deadline    400, 413, 415
//	a place among those relayed      503, Retry-After
//	the nearest vaultd, the next     502, 503: the client repeats the same bytes
//	the audit log, synced            503: no line, no answer
//	4096 octets                      200
//
// Trying again is safe because the same bytes mean the same attempt
// (spec/vault-protocol.md §11.2), at the same replica or another. Which one is
// asked, and which are passed over, package nearest decides; probes in the
// background tell it how they stand.
//
// Logs, metrics and the audit log hold keyed hashes of accounts and
// addresses, never names, tokens or codes.
package chatd
