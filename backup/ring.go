package backup

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"keepsake.example/internal/cobblestone"
	"keepsake.example/key"
)

// maxDataKeys bounds the rotations of one repository, so that a ring stays within its size limit.
const maxDataKeys = 1000

// checksumSize is the length of what a ring ends with.
const checksumSize = 16

// A dataKey seals the objects written while it is the newest, spec §1.
type dataKey struct {
	created int64
	secret  [32]byte
}

// A ring holds the keys that K wraps, spec §4. Its secrets are wiped by wipe; it is never formatted.
type ring struct {
	repo       ID
	id         ID // of the ring object
	generation uint32
	created    int64
	idKey      [32]byte
	keys       []dataKey // number n is keys[n-1]
}

// Format keeps the secrets out of every formatting verb, also of structs that hold a ring: fmt looks through pointers.
func (g *ring) Format(f fmt.State, _ rune) { io.WriteString(f, "key ring (redacted)") }

func (g *ring) wipe() {
	if g == nil {
		return
	}
	clear(g.idKey[:])
	clear(g.keys)
}

func newRing(now time.Time) *ring {
	g := &ring{repo: newID(), id: newRingID(), generation: 1, created: now.UnixNano()}
	rand.Read(g.idKey[:])
	g.addKey(now)
	return g
}

func (g *ring) addKey(now time.Time) {
	k := dataKey{created: now.UnixNano()}
	rand.Read(k.secret[:])
	g.keys = append(g.keys, k)
}

// next is the ring that replaces g in a rotation: the same keys and a new one to write with, spec §10.
func (g *ring) next(now time.Time) *ring {
	n := *g
	n.id = newRingID()
	n.generation++
	n.created = now.UnixNano()
	n.keys = append([]dataKey(nil), g.keys...)
	n.addKey(now)
	return &n
}

// key returns data key number n, or nil.
func (g *ring) key(n uint32) *[32]byte {
	if n == 0 || int(n) > len(g.keys) {
		return nil
	}
	return &g.keys[n-1].secret
}

// newest is the number of the key that new objects are sealed under.
func (g *ring) newest() uint32 { return uint32(len(g.keys)) }

// header has the generation in the clear: who holds an older key must see that its ring was replaced, to leave the newer one alone.
func (g *ring) header() header {
	return header{kind: kindRing, key: g.generation, repo: g.repo, id: g.id}
}

// before reports whether h is the header of a ring that replaces g. Of two rings of one generation, which only a lost race can make, one must be the later for everybody.
func (g *ring) before(h header) bool {
	return h.key > g.generation || (h.key == g.generation && bytes.Compare(h.id[:], g.id[:]) > 0)
}

func (g *ring) name() string { return objectName(kindRing, g.id) }

func (g *ring) marshal() []byte {
	var w wireWriter
	w.u32(g.generation)
	w.i64(g.created)
	w.b = append(w.b, g.idKey[:]...)
	w.uvarint(uint64(len(g.keys)))
	for i, k := range g.keys {
		w.u32(uint32(i + 1))
		w.i64(k.created)
		w.b = append(w.b, k.secret[:]...)
	}
	return w.b
}

func (g *ring) unmarshal(payload []byte) error {
	r := wireReader{b: payload}
	g.generation = r.u32()
	g.created = r.i64()
	copy(g.idKey[:], r.take(32))
	n := r.count(44)
	if n == 0 || n > maxDataKeys {
		return errMalformed
	}
	g.keys = make([]dataKey, n)
	for i := range g.keys {
		if r.u32() != uint32(i+1) {
			r.fail()
		}
		g.keys[i].created = r.i64()
		copy(g.keys[i].secret[:], r.take(32))
	}
	return r.end()
}

// seal makes the ring's object under K.
func (g *ring) seal(k *key.Key) (object []byte) {
	payload := g.marshal()
	defer clear(payload)
	k.Use(func(secret *[32]byte) { object = sealSmall(g.header(), secret, payload) })
	return append(object, ringChecksum(object)...)
}

// ringChecksum is an unkeyed checksum: without it, a flipped bit in the salt or the commitment would look like a wrong key.
func ringChecksum(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:checksumSize]
}

// checkRing holds a ring object to its form before any key is tried, and cuts off the checksum.
func checkRing(name string, object []byte) ([]byte, error) {
	_, _, id, err := splitName(name)
	if err != nil {
		return nil, damage(name, "swapped", "no ring has this name")
	}
	n := len(object) - checksumSize
	if n < minObjectSize {
		return nil, damage(name, "header", "only %d bytes", len(object))
	}
	h, err := parseHeader(name, object)
	if err != nil {
		return nil, err
	}
	if err := h.check(name, kindRing, h.repo, id); err != nil {
		return nil, err
	}
	if !bytes.Equal(ringChecksum(object[:n]), object[n:]) {
		return nil, damage(name, "header", "the key ring is damaged (checksum)")
	}
	return object[:n], nil
}

// openRing opens a ring object that checkRing passed, with K. The commitment matched already, so a failure here is damage.
func openRing(name string, k *key.Key, object []byte) (*ring, error) {
	h, err := parseHeader(name, object)
	if err != nil {
		return nil, err
	}
	var payload []byte
	k.Use(func(secret *[32]byte) { payload, err = openSmall(name, secret, object) })
	if err != nil {
		return nil, err
	}
	defer clear(payload)
	g := &ring{repo: h.repo, id: h.id}
	if err := g.unmarshal(payload); err != nil || g.generation != h.key {
		return nil, damage(name, "payload", "not a key ring")
	}
	return g, nil
}

// stubCheck makes the key check of one ring from its first 104 bytes, spec §4.
func stubCheck(stub []byte) key.Check {
	return cobblestone.Check((*[cobblestone.HeaderSize]byte)(stub[headerSize:stubSize]), stub[:headerSize])
}

// matches reports whether k opens the ring that stub begins.
func matches(stub []byte, k *key.Key) (ok bool) {
	check := stubCheck(stub)
	k.Use(func(secret *[32]byte) { ok = check(secret) })
	return ok
}
