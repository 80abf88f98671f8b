// Package ceremony is the record of how a fleet was founded: what was done, step
// after step, in front of its operators, and their signatures under it. doc/ceremony.md
// is for the people; the exact form is here.
//
//	keepsake ceremony transcript v1
//	kind founding                        or: rehearsal
//	began 2026-11-22T22:10:00Z
//
//	1 who is here                        number and title
//	operator alice 5c0e…                 facts: a name, a space, a value
//	quorum 2
//	digest 9f31…                         64 hexadecimal digits
//
//	2 …
//
// Lines end in one line feed, an empty line stands before each step, and nothing
// else is in the file but, after one more empty line, the signatures:
//
//	signed KEY SIGNATURE                 hexadecimal, in the order of the keys
//
// A step's digest is the SHA-256 of a label, of the digest before it (for the first:
// of the three lines above), and of the step's own lines but this one. So whoever
// has heard the last digest read aloud, and compares it, has compared everything. A signature
// is Ed25519 (RFC 8032), over a label and the whole text above the signatures.
//
// No secret is ever in a transcript. It proves what operators say they saw, and
// nothing about a machine that lied to them all: doc/ceremony.md says what they can
// look at themselves.
//
// Values are safe for concurrent reading.
package ceremony
