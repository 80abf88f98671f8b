package machine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"keepsake.example/internal/planted"
	"keepsake.example/replica"
	"keepsake.example/roster"
)

// A group's secret changes when a member has left (spec/replication.md §18). What is in
// the state is no secret: a check of it, and the secret sealed to each member, by whoever
// made it. That nobody has a box but the members of the moment is checked here.

const (
	rekeyLabel = "keepsake rekey\x01"
	boxLabel   = "keepsake rekey box\x01"
	rekeyHead  = len(rekeyLabel) + 32 + 4 + 8 + 8 + 32 + 32 + 1
	maxBox     = 2048
	maxPast    = 16
)

// MaxRekey is the longest entry with a new secret, in bytes.
const MaxRekey = 128 << 10

var errRekey = errors.New("machine: not an entry with a new secret")

// Box is a group's secret, sealed to one member.
type Box struct {
	Number uint64
	Sealed []byte
}

// Rekey is an entry that replaces a group's secret.
type Rekey struct {
	Fleet      [32]byte
	Group      uint32
	Generation uint64
	Serial     uint64   // of the roster whose members the boxes are for
	Check      [32]byte // of the new secret, replica.CheckOf
	Before     [32]byte // of the one that it replaces
	Boxes      []Box    // by number
}

// Rekeyed is the effect of a Rekey.
type Rekeyed struct {
	Generation uint64
	// OK: the group has the new secret. Else the entry was made for another state, and
	// changed nothing.
	OK bool
}

// Info is what a box for a member is sealed under, besides the member's key.
func (k *Rekey) Info(number uint64) []byte {
	b := append(make([]byte, 0, len(boxLabel)+len(k.Fleet)+4+3*8+len(k.Check)), boxLabel...)
	b = append(b, k.Fleet[:]...)
	b = binary.BigEndian.AppendUint32(b, k.Group)
	b = binary.BigEndian.AppendUint64(b, k.Generation)
	b = binary.BigEndian.AppendUint64(b, k.Serial)
	b = append(b, k.Check[:]...)
	return binary.BigEndian.AppendUint64(b, number)
}

// Encode returns the entry.
func (k *Rekey) Encode() []byte {
	b := append([]byte(rekeyLabel), k.Fleet[:]...)
	b = binary.BigEndian.AppendUint32(b, k.Group)
	b = binary.BigEndian.AppendUint64(b, k.Generation)
	b = binary.BigEndian.AppendUint64(b, k.Serial)
	b = append(append(b, k.Check[:]...), k.Before[:]...)
	return appendBoxes(b, k.Boxes)
}

func appendBoxes(b []byte, boxes []Box) []byte {
	b = append(b, byte(len(boxes)))
	for _, x := range boxes {
		b = binary.BigEndian.AppendUint64(b, x.Number)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(x.Sealed))), x.Sealed...)
	}
	return b
}

// DecodeRekey reads what Encode wrote, and nothing else. The boxes share its memory.
func DecodeRekey(b []byte) (*Rekey, error) {
	if len(b) < rekeyHead || len(b) > MaxRekey || !bytes.HasPrefix(b, []byte(rekeyLabel)) {
		return nil, errRekey
	}
	b = b[len(rekeyLabel):]
	k := &Rekey{
		Fleet: [32]byte(b), Group: binary.BigEndian.Uint32(b[32:]), Generation: binary.BigEndian.Uint64(b[36:]),
		Serial: binary.BigEndian.Uint64(b[44:]), Check: [32]byte(b[52:]), Before: [32]byte(b[84:]),
	}
	r := bytes.NewReader(b[116:])
	var err error
	if k.Boxes, err = readBoxes(r); err != nil || r.Len() > 0 || k.Generation == 0 {
		return nil, errors.Join(errRekey, err)
	}
	return k, nil
}

// readBoxes reads one box or more, of members by rising numbers.
func readBoxes(r io.Reader) (boxes []Box, err error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil || n[0] == 0 || n[0] > roster.MaxMembers {
		return nil, errors.Join(errRekey, err)
	}
	var head [8 + 2]byte
	for range n[0] {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, errors.Join(errRekey, err)
		}
		number, size := binary.BigEndian.Uint64(head[:]), binary.BigEndian.Uint16(head[8:])
		if number == 0 || size == 0 || size > maxBox || len(boxes) > 0 && number <= boxes[len(boxes)-1].Number {
			return nil, errRekey
		}
		sealed := make([]byte, size)
		if _, err := io.ReadFull(r, sealed); err != nil {
			return nil, errors.Join(errRekey, err)
		}
		boxes = append(boxes, Box{number, sealed})
	}
	return boxes, nil
}

// secret is which secret the group has, as far as everybody may know.
type secret struct {
	last     Rekey      // Generation 0: the secret that the group was made with
	past     [][32]byte // checks of those before, oldest first
	departed uint64     // how many had left the group
	newest   uint64     // end of the newest channel key, ms
}

// rekey applies an entry with a new secret, if it is one. One that was made for another
// state changes nothing, and neither does one that is in no form: its maker is told.
func (m *Machine) rekey(entry []byte) (*Rekeyed, bool) {
	if !isRekey(entry) || m.version < 2 {
		return nil, false
	}
	k, err := DecodeRekey(entry)
	if err != nil || !m.fits(k) {
		return &Rekeyed{Generation: m.secret.last.Generation}, true
	}
	m.secret.past = append(m.secret.past, k.Before)
	if len(m.secret.past) > maxPast {
		m.secret.past = slices.Clone(m.secret.past[len(m.secret.past)-maxPast:])
	}
	m.secret.last, m.secret.departed, m.secret.newest = *k, m.departed(), m.newestKey()
	m.changed()
	return &Rekeyed{Generation: k.Generation, OK: true}, true
}

func isRekey(entry []byte) bool { return bytes.HasPrefix(entry, []byte(rekeyLabel)) }

// fits says whether a new secret was made for this state, and for the members of this
// moment alone: a box for somebody who left would be the secret in a thief's hands.
func (m *Machine) fits(k *Rekey) bool {
	last := &m.secret.last
	switch {
	case k.Fleet != m.roster.Fleet || k.Group != m.group || k.Generation != last.Generation+1:
		return false
	case last.Generation > 0 && k.Before != last.Check:
		return false
	case planted.BoxForLeavers:
		return true
	case k.Serial != m.roster.Serial:
		return false
	}
	return slices.EqualFunc(m.roster.In(m.group), k.Boxes, func(x roster.Member, b Box) bool { return x.Number == b.Number })
}

// departed is how many left the group. It never falls.
func (m *Machine) departed() uint64 {
	n := m.roster.Highest - uint64(len(m.roster.Members))
	for _, p := range m.roster.Placement {
		if p.Group == m.group {
			n += uint64(len(p.Left))
		}
	}
	return n
}

// newestKey is when the newest channel key ends.
func (m *Machine) newestKey() (end uint64) {
	if view := m.state.Fleet(); view != nil {
		defer view.Wipe()
		for _, k := range view.Keys {
			end = max(end, k.NotAfter)
		}
	}
	return end
}

// RekeyDue says whether a member left the group that knows its secret.
func (m *Machine) RekeyDue() bool { return m.roster != nil && m.departed() > m.secret.departed }

// RekeyedAt returns the generation of the group's secret, and when the newest channel key
// ended that there was when it was made, ms.
func (m *Machine) RekeyedAt() (generation, newest uint64) {
	return m.secret.last.Generation, m.secret.newest
}

// NextRekey returns the entry that is to replace the group's secret, as the state is
// now, without Check, Before and what is in the boxes; and whom they are for. Nil without state.
func (m *Machine) NextRekey() (*Rekey, []roster.Member) {
	if m.roster == nil {
		return nil, nil
	}
	r := m.roster.Clone()
	return &Rekey{Fleet: r.Fleet, Group: m.group, Generation: m.secret.last.Generation + 1, Serial: r.Serial}, r.In(m.group)
}

// LastRekey returns the entry that made the group's present secret, with the box of one
// member alone: none if it has none. Nil as long as it is the first secret.
func (m *Machine) LastRekey(number uint64) *Rekey {
	if m.secret.last.Generation == 0 {
		return nil
	}
	k := m.secret.last
	k.Boxes = nil
	if box := m.box(number); box != nil {
		k.Boxes = []Box{{number, bytes.Clone(box)}}
	}
	return &k
}

func (m *Machine) box(number uint64) []byte {
	for _, b := range m.secret.last.Boxes {
		if b.Number == number {
			return b.Sealed
		}
	}
	return nil
}

// Rekeying implements replica.Rekeyed.
func (m *Machine) Rekeying(number uint64) replica.Rekeying {
	k := &m.secret.last
	r := replica.Rekeying{Generation: k.Generation, Check: k.Check, Box: m.box(number)}
	if r.Box != nil {
		r.Info = k.Info(number)
	}
	return r
}

// Superseded implements replica.Rekeyed: it knows the last 16.
func (m *Machine) Superseded(check [sha256.Size]byte) bool {
	return slices.Contains(m.secret.past, check)
}

// version of the picture: as long as the group has its first secret, older members read it.
func (s *secret) version() byte {
	if s.last.Generation > 0 {
		return 2
	}
	return 1
}

// append writes the part of a picture of version 2 and later.
func (s *secret) append(b []byte, form byte) []byte {
	if form < 2 {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, s.last.Generation)
	if s.last.Generation == 0 {
		return b
	}
	for _, n := range []uint64{s.last.Serial, s.departed, s.newest} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(append(b, s.last.Check[:]...), byte(len(s.past)))
	for _, check := range s.past {
		b = append(b, check[:]...)
	}
	return appendBoxes(b, s.last.Boxes)
}

// read reads what append wrote.
func (s *secret) read(r io.Reader, form byte) error {
	*s = secret{}
	if form < 2 {
		return nil
	}
	var n [8]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return errors.Join(errPicture, err)
	}
	if s.last.Generation = binary.BigEndian.Uint64(n[:]); s.last.Generation == 0 {
		return nil
	}
	var head [3*8 + 32 + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return errors.Join(errPicture, err)
	}
	s.last.Serial, s.departed, s.newest = binary.BigEndian.Uint64(head[:]), binary.BigEndian.Uint64(head[8:]), binary.BigEndian.Uint64(head[16:])
	s.last.Check = [32]byte(head[24:])
	if err := s.readPast(r, int(head[56])); err != nil {
		return err
	}
	var err error
	if s.last.Boxes, err = readBoxes(r); err != nil {
		return errors.Join(errPicture, err)
	}
	return nil
}

func (s *secret) readPast(r io.Reader, count int) error {
	if count == 0 || count > maxPast || uint64(count) != min(s.last.Generation, maxPast) {
		return errPicture
	}
	for range count {
		var check [32]byte
		if _, err := io.ReadFull(r, check[:]); err != nil {
			return errors.Join(errPicture, err)
		}
		s.past = append(s.past, check)
	}
	s.last.Before = s.past[count-1]
	return nil
}

// settled completes what was read by what else is in the picture, and refuses what
// cannot be: a secret of a later roster, or more that left than there were.
func (m *Machine) settled() bool {
	s := &m.secret
	s.last.Fleet, s.last.Group = m.roster.Fleet, m.group
	return s.last.Generation == 0 || s.last.Serial <= m.roster.Serial && s.departed <= m.departed()
}
