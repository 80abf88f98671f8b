// Package peer carries messages and calls between the processes of a fleet.
//
// Every member has an Ed25519 identity key. Two members talk over TLS 1.3 in which
// both show theirs, and each compares what it is shown with the list of members as
// it is at that moment ([Config].Directory): there is no CA whose mistake would
// matter, a member that was removed is not heard any more at once, and one that was
// added is let in at once. What waited for a removed one leaves still, for Limits.Parting at most:
// it says that it was removed. Key exchange is X25519 with ML-KEM-768 and nothing else.
// The messages are sealed besides by whoever sends them (package replica), so that
// these links carry what they cannot read, and may lose and reorder it.
//
// # Lanes
//
// Each member dials every other member twice: once for its messages, once for its
// calls, and is dialed twice in turn. A lane is one TCP connection of its own, so
// that a large answer does not stand in front of a heartbeat, and it has one
// direction, so that nobody has to decide which of two simultaneous connections
// stays. Within a lane order is kept. Whoever dials begins with a hello frame, the
// other side answers with a beat, and only then the lane is up.
//
// # Frames
//
//	u32 length of what follows, 1 to limit
//	u8  kind
//	    0 hello    u8 lane (0 messages, 1 calls), u64 from, u64 to   first, from the dialer
//	    1 beat     u64 stamp    the dialer's clock; sent back unchanged, 0 before the first
//	    2 message  u32 group, the message
//	    3 request  u64 number, u32 milliseconds left, the request
//	    4 answer   u64 number, u8 code (0 answered, 1 failed), the answer
//
// Both sides send a beat every Limits.Beat, and a side that hears nothing at all for
// Limits.Silence cuts the connection: so a cut cable, a dead host and a stopped
// process are found alike, and one that is only slow is not, however long a frame
// takes. The protocol's version is in the name that TLS agrees on (ALPN).
//
// # What a hostile host can do
//
// It carries the bytes, so it can cut and delay them. It cannot connect: a key that
// is not in the directory is refused in the handshake, before a byte of ours is read.
// Handshakes have a deadline, and there are few at a time; when there are too many,
// the oldest of the address with the most is closed, so that one address that holds
// connections open does not keep members out.
package peer
