package replica_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"keepsake.example/internal/planted"
	"keepsake.example/replica"
)

// A safe is a toy whose group replaces its secret by the entry "rekey generation check
// member:box …", in hexadecimal.
type safe struct {
	toy
	last replica.Rekeying
	box  map[uint64][]byte
	past map[[32]byte]bool
}

func newSafe() replica.Machine { return &safe{past: map[[32]byte]bool{}} }

func (m *safe) Apply(entry []byte, asked bool) (any, error) {
	effect, err := m.toy.Apply(entry, asked)
	if err == nil {
		m.note(string(entry))
	}
	return effect, err
}

func (m *safe) note(entry string) {
	f := strings.Fields(entry)
	if len(f) < 4 || f[0] != "rekey" {
		return
	}
	var generation uint64
	fmt.Sscan(f[1], &generation)
	check, before := unhex(f[2]), unhex(f[3])
	if generation != m.last.Generation+1 || generation > 1 && m.last.Check != [32]byte(before) {
		return
	}
	m.past[[32]byte(before)] = true
	m.last = replica.Rekeying{Generation: generation, Check: [32]byte(check), Info: check}
	m.box = map[uint64][]byte{}
	for _, one := range f[4:] {
		number, box, _ := strings.Cut(one, ":")
		var n uint64
		fmt.Sscan(number, &n)
		m.box[n] = unhex(box)
	}
}

func (m *safe) Restore(r io.Reader) error {
	err := m.toy.Restore(r)
	for _, e := range m.entries {
		m.note(e)
	}
	return err
}

func (m *safe) Rekeying(member uint64) replica.Rekeying {
	r := m.last
	r.Box = m.box[member]
	return r
}

func (m *safe) Superseded(check [32]byte) bool { return m.past[check] }

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

// A locksmith has the sealing keys of all members, for tests. Who is in broken cannot open
// its box at the moment.
type locksmith struct {
	broken map[uint64]bool
	opened int
}

// pad is what a box is sealed with: enough for a toy.
func pad(number uint64, info []byte) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64(slices.Clone(info), number))
}

func sealed(number uint64, info []byte, secret [32]byte) []byte {
	p := pad(number, info)
	for i := range p {
		p[i] ^= secret[i]
	}
	return p[:]
}

func (l *locksmith) opener(number uint64) func(info, box []byte) (*[32]byte, error) {
	return func(info, box []byte) (*[32]byte, error) {
		if l.broken[number] {
			return nil, errors.New("the device does not answer")
		}
		l.opened++
		secret := [32]byte(sealed(number, info, [32]byte(box)))
		return &secret, nil
	}
}

// rekeyed is a group of n voters whose boxes open.
func rekeyed(t testing.TB, seed uint64, n int) *group {
	t.Helper()
	g := newGroup(t, seed)
	g.locks = &locksmith{broken: map[uint64]bool{}}
	grow(g, n)
	return g
}

// secretOf is a member's secret, as it gives it to newcomers.
func (g *group) secretOf(number uint64) (secret [32]byte) {
	g.seats[number].node.Secret(func(b []byte) { copy(secret[:], b) })
	return secret
}

func checkOf(secret [32]byte) [32]byte { return replica.CheckOf(must(replica.Claim(secret[:]))) }

// rekeyEntry is a new secret, sealed to the members that at knows.
func (g *group) rekeyEntry(at uint64) (entry string, secret [32]byte) {
	m := g.seats[at].node.Peek().(*safe)
	secret = sha256.Sum256(fmt.Append(nil, "secret ", g.random.Uint64()))
	check, before := checkOf(secret), checkOf(g.secretOf(at))
	var b bytes.Buffer
	fmt.Fprintf(&b, "rekey %d %x %x", m.last.Generation+1, check, before)
	to := m.Members()
	if planted.BoxForLeavers {
		to = append(to, replica.Member{Number: 2})
	}
	for _, x := range to {
		fmt.Fprintf(&b, " %d:%x", x.Number, sealed(x.Number, check[:], secret))
	}
	return b.String(), secret
}

// rekey replaces the secret, and lets everybody go over.
func (g *group) rekey(at uint64) (secret [32]byte) {
	g.t.Helper()
	entry, secret := g.rekeyEntry(at)
	if err := g.tell(at, entry); err != nil {
		g.t.Fatalf("proposing a new secret: %v", err)
	}
	g.tick(20)
	return secret
}

// under checks which secret members use, and that they take no other.
func (g *group) under(secret [32]byte, generation uint64, numbers ...uint64) {
	g.t.Helper()
	for _, n := range numbers {
		st := g.seats[n].node.Status()
		if g.secretOf(n) != secret || st.Secret.Generation != generation || st.Secret.Behind || st.Secret.Turning {
			g.t.Errorf("member %d: %+v, on the new secret: %t", n, st.Secret, g.secretOf(n) == secret)
		}
		for other := range g.seats {
			g.seats[n].node.SecretsOf(other, func(b []byte) bool {
				if [32]byte(b) != secret {
					g.t.Errorf("member %d takes another secret from %d", n, other)
				}
				return false
			})
		}
	}
}
