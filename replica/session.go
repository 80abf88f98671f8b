package replica

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"keepsake.example/anchor"
	"keepsake.example/internal/memo"
	"keepsake.example/internal/planted"
)

// spec/replication.md §11. The links between members are TLS; what they carry is
// sealed once more here, under a secret that only members have, so that a host that has
// broken the link, or is its end, neither reads a message nor makes one, nor delivers one twice.
const (
	wireVersion = 1
	wireHello   = 1
	wireSealed  = 2

	bootSize   = 16
	wireHead   = 2 + 8 + 8 + bootSize // of both kinds
	helloHead  = wireHead + 2*bootSize
	helloSize  = helloHead + sha256.Size
	sealedHead = wireHead + bootSize + 8
	sealedOver = sealedHead + tagSize

	maxPeers  = 2 * maxMembers // besides those that were removed: operators sign for each of these
	maxHellos = 2              // to one member between two ticks: a question, and an answer to its own
)

const (
	labelHello   = "keepsake replica hello\x01"
	labelSession = "keepsake replica session\x01"
)

// A bootID names one run of one member, or one question of a hello: random. Zero is none.
type bootID [bootSize]byte

// sessions seals messages to the other members of the group and opens theirs. It
// has no clock: tick says that time passed. Not for concurrent use.
type sessions struct {
	self    uint64
	random  io.Reader
	boot    bootID
	secret  *anchor.Key // the group's
	hello   []byte      // key of the MAC over hellos
	peers   map[uint64]*peerSession
	greeted map[uint64]int // hellos since the last tick
}

// peerSession is what is known of one other member.
type peerSession struct {
	boot    bootID      // that it is in; zero: not known
	in, out cipher.AEAD // under the keys of that boot and ours
	seen    window
	count   uint64 // counter of the last message to it, over all of its boots
	nonce   [12]byte
	asked   bootID // question that it has not answered
	removed bool
}

// newSessions begins a boot. It takes the secret over: wipe ends it.
func newSessions(random io.Reader, self uint64, secret *anchor.Key) (*sessions, error) {
	s := &sessions{self: self, random: random, secret: secret, peers: make(map[uint64]*peerSession), greeted: make(map[uint64]int)}
	if err := readSalt(random, s.boot[:]); err != nil {
		return nil, err
	}
	var err error
	s.hello, err = s.derive(nil, labelHello, sha256.Size)
	return s, err
}

func (s *sessions) derive(salt []byte, info string, size int) (out []byte, err error) {
	s.secret.Use(func(secret *[anchor.KeySize]byte) {
		out, err = memo.HKDF(secret[:], salt, info, size)
	})
	return out, err
}

// header begins every message, in clear and authenticated.
type header struct {
	kind     byte
	from, to uint64
	boot     bootID // the sender's
}

func (h header) append(b []byte) []byte {
	b = append(b, wireVersion, h.kind)
	b = be.AppendUint64(b, h.from)
	b = be.AppendUint64(b, h.to)
	return append(b, h.boot[:]...)
}

// Why a message was dropped. It may have been hostile, or late.
var (
	errForm    = errors.New("not of a member")
	errForeign = errors.New("not for this run of this member")
	errForged  = errors.New("does not open under the group's secret")
	errReplay  = errors.New("came before, or far too late")
	errCrowd   = errors.New("of too many members, or of one that was removed")
)

func readHeader(b []byte) (h header, err error) {
	if len(b) > maxMessage || len(b) < wireHead || b[0] != wireVersion {
		return h, errForm
	}
	h = header{kind: b[1], from: be.Uint64(b[2:]), to: be.Uint64(b[10:]), boot: bootID(b[18:wireHead])}
	switch {
	case h.from == 0 || h.boot == bootID{}:
		return h, errForm
	case h.kind == wireHello && len(b) == helloSize, h.kind == wireSealed && len(b) >= sealedOver:
		return h, nil
	}
	return h, errForm
}

// cipherOf makes the key of one direction between two boots. Both boots are in
// it: a message of an earlier run of either member is of another key.
func (s *sessions) cipherOf(from, to uint64, fromBoot, toBoot bootID) (cipher.AEAD, error) {
	info := be.AppendUint64(be.AppendUint64([]byte(labelSession), from), to)
	key, err := s.derive(append(fromBoot[:], toBoot[:]...), string(info), 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func counterNonce(count uint64) []byte { return be.AppendUint64(make([]byte, 4, 12), count) }

// counted is counterNonce in memory that the next one overwrites.
func (p *peerSession) counted(count uint64) []byte {
	be.PutUint64(p.nonce[4:], count)
	return p.nonce[:]
}

// seal returns what to put on the wire so that member to gets m: m sealed; or, as
// long as the run of the other one is not known, a hello that asks for it, and m is lost
// as on any network; or nil, when that was asked since the last tick.
func (s *sessions) seal(to uint64, m *peerMessage) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	p, err := s.peer(to)
	if err != nil {
		return nil, err
	}
	if p.out == nil {
		return s.ask(to, p, bootID{})
	}
	p.count++
	out := make([]byte, 0, sealedOver+m.size())
	out = header{wireSealed, s.self, to, s.boot}.append(out)
	out = append(out, p.boot[:]...)
	out = be.AppendUint64(out, p.count)
	out = m.append(out)
	return p.out.Seal(out[:sealedHead], p.counted(p.count), out[sealedHead:], out[:sealedHead]), nil
}

// meet returns a hello for a member whose run is not known, before there is
// anything to tell it: what is sealed for a stranger is lost, and that may be a vote. Nil: it is
// known, or was asked since the last tick.
func (s *sessions) meet(to uint64) ([]byte, error) {
	p, err := s.peer(to)
	if err != nil || p.out != nil {
		return nil, err
	}
	return s.ask(to, p, bootID{})
}

// peer finds what is known of a member, and makes room for one who is new. Only who is
// authentic, or whom we want to reach, gets room.
func (s *sessions) peer(member uint64) (*peerSession, error) {
	p := s.peers[member]
	switch {
	case member == s.self || member == 0:
		return nil, errForeign
	case p == nil && s.crowded(), p != nil && p.removed:
		return nil, errCrowd
	case p == nil:
		p = &peerSession{}
		s.peers[member] = p
	}
	return p, nil
}

func (s *sessions) crowded() bool {
	there := 0
	for _, p := range s.peers {
		if !p.removed {
			there++
		}
	}
	return there >= maxPeers
}

// ask makes a hello that asks which run a member is in. The question stays the
// same until it is answered: an answer may be long on its way.
func (s *sessions) ask(member uint64, p *peerSession, answer bootID) ([]byte, error) {
	if (p.asked == bootID{}) {
		if err := readSalt(s.random, p.asked[:]); err != nil {
			return nil, err
		}
	}
	return s.greet(member, p.asked, answer), nil
}

// greet makes a hello, few between two ticks whatever arrives: two members, or a
// host that plays one, do not keep each other busy.
func (s *sessions) greet(to uint64, question, answer bootID) []byte {
	if s.greeted[to] >= maxHellos || s.greeted[to] == 0 && len(s.greeted) >= maxPeers {
		return nil
	}
	s.greeted[to]++
	b := header{wireHello, s.self, to, s.boot}.append(make([]byte, 0, helloSize))
	b = append(append(b, question[:]...), answer[:]...)
	return s.sign(b)
}

func (s *sessions) sign(head []byte) []byte {
	mac := hmac.New(sha256.New, s.hello)
	mac.Write(head)
	return mac.Sum(head)
}

// opened is what a message on the wire was.
type opened struct {
	from   uint64
	plain  []byte // nil: a hello
	newest bool   // sent after all that came from this member so far
	reply  []byte // not nil: to be sent to from
}

// open takes what came from anybody. What it returns as plain was sealed by that
// member to this one, since both started, and was not returned before. Besides an
// error there can be a reply.
func (s *sessions) open(message []byte) (opened, error) {
	h, err := readHeader(message)
	if err != nil {
		return opened{}, fmt.Errorf("message of %d bytes: %w", len(message), err)
	}
	if h.to != s.self || h.from == s.self {
		return opened{}, errForeign
	}
	if h.kind == wireHello {
		return s.openHello(h, message)
	}
	return s.openSealed(h, message)
}

// openHello believes that a member is in a run only if the hello answers the
// question that we have open: then it was made after we asked. So no hello of an earlier
// run, kept by a host, takes us back to that run.
func (s *sessions) openHello(h header, message []byte) (opened, error) {
	if !hmac.Equal(s.sign(append([]byte(nil), message[:helloHead]...)), message) {
		return opened{}, errForged
	}
	p, err := s.peer(h.from)
	if err != nil {
		return opened{}, err
	}
	question, answer := bootID(message[wireHead:]), bootID(message[wireHead+bootSize:])
	if answer == p.asked && answer != (bootID{}) {
		if err := s.learn(h, p); err != nil {
			return opened{}, err
		}
	}
	o := opened{from: h.from}
	switch {
	case p.boot != h.boot:
		o.reply, err = s.ask(h.from, p, question)
	case question != bootID{}:
		o.reply = s.greet(h.from, bootID{}, question)
	}
	return o, err
}

// learn takes note of the run that a member is in. The window of another run is
// begun empty; it never is for one that was over, since that cannot answer us.
func (s *sessions) learn(h header, p *peerSession) (err error) {
	p.asked = bootID{}
	if p.boot == h.boot {
		return nil
	}
	if p.in, err = s.cipherOf(h.from, s.self, h.boot, s.boot); err != nil {
		return err
	}
	p.boot, p.seen = h.boot, window{}
	p.out, err = s.cipherOf(s.self, h.from, s.boot, h.boot)
	return err
}

func (s *sessions) openSealed(h header, message []byte) (opened, error) {
	p := s.peers[h.from]
	if bootID(message[wireHead:]) != s.boot || p == nil || p.boot != h.boot || p.removed {
		return s.stranger(h, p)
	}
	head := message[:sealedHead]
	count := be.Uint64(message[sealedHead-8:])
	plain, err := p.in.Open(nil, p.counted(count), message[sealedHead:], head)
	if err != nil {
		return opened{}, errForged
	}
	newest := count > p.seen.last
	if !p.seen.take(count) && !planted.OpenWindow {
		return opened{}, errReplay
	}
	return opened{from: h.from, plain: plain, newest: newest}, nil
}

// stranger answers a message between other runs than we know: one of the two may
// have started again. It is not authentic, so it is given no more than a hello, and no room.
func (s *sessions) stranger(h header, p *peerSession) (o opened, err error) {
	o.from = h.from
	switch {
	case p == nil:
		o.reply = s.greet(h.from, bootID{}, bootID{})
	case !p.removed:
		if o.reply, err = s.ask(h.from, p, bootID{}); err != nil {
			return o, err
		}
	}
	return o, errForeign
}

// tick lets every member be greeted again.
func (s *sessions) tick() { clear(s.greeted) }

// drop ends what there is with a member that was removed from the group. It gets
// no answer any more; its number is never given to another. What was known of it stays, lest it be
// taken for a stranger, and its old messages for new ones.
func (s *sessions) drop(member uint64) {
	if member == s.self || member == 0 {
		return
	}
	if s.peers[member] == nil {
		s.peers[member] = &peerSession{}
	}
	s.peers[member].removed = true
}

// admit takes a member back that was dropped. What is known of its run stays: if neither
// side was started anew meanwhile, the keys are the same, and a counter that began again would
// be a nonce used twice, and an empty window would take old messages again.
func (s *sessions) admit(member uint64) {
	if p := s.peers[member]; p != nil {
		p.removed = false
	}
}

// wipe destroys the secret, and what was derived from it as far as it can be reached.
func (s *sessions) wipe() {
	s.secret.Wipe()
	clear(s.hello)
	clear(s.peers)
}

// windowSize is how far a message may come behind a later one of the same run.
const windowSize = 2048

// A window remembers which counters came. Those over last are new; those too far
// behind it to be remembered count as seen.
type window struct {
	last uint64
	bits [windowSize / 64]uint64 // counter c: bit c mod windowSize
}

// take reports whether a counter is new, and remembers it.
func (w *window) take(c uint64) bool {
	if c == 0 || c <= w.last && w.last-c >= windowSize {
		return false
	}
	if c > w.last {
		w.forget(c)
		w.last = c
	}
	bit := &w.bits[c%windowSize/64]
	if *bit&(1<<(c%64)) != 0 {
		return false
	}
	*bit |= 1 << (c % 64)
	return true
}

// forget clears the places of the counters after last up to c.
func (w *window) forget(c uint64) {
	if c-w.last >= windowSize {
		clear(w.bits[:])
		return
	}
	for i := w.last + 1; i <= c; i++ {
		w.bits[i%windowSize/64] &^= 1 << (i % 64)
	}
}
