package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"keepsake.example/replica"
	"keepsake.example/roster"
	"keepsake.example/vault"
)

// Bounds of a picture's head, so that bytes that are none take no memory.
const (
	maxRoster = 1 << 20
	atOnce    = 16 << 10         // longer ones take memory as they come
	label     = "keepsake group" // the version follows
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errPicture = errors.New("machine: not a picture of a group")

// picture is a picture of the group: its head is taken at once, the records later.
type picture struct {
	head []byte
	*vault.Checkpoint
}

// WriteTo writes the same bytes for the same state on every replica.
func (p *picture) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(p.head)
	if err != nil {
		return int64(n), err
	}
	more, err := p.Checkpoint.WriteTo(w)
	return int64(n) + more, err
}

// Checkpoint takes a picture.
func (m *Machine) Checkpoint() replica.Checkpoint {
	encoded := m.roster.Encode()
	head := append(make([]byte, 0, m.headRoom(len(encoded))), label...)
	head = append(head, m.form(), byte(m.group>>8), byte(m.group))
	head = m.next.append(m.secret.append(head, m.form()))
	head = counted(head, encoded)
	head = binary.BigEndian.AppendUint16(head, uint16(len(m.welcomed)))
	for _, w := range m.welcomed {
		head = append(binary.BigEndian.AppendUint64(head, w.number), w.nonce[:]...)
	}
	head = binary.BigEndian.AppendUint16(head, uint16(len(m.changes)))
	for _, c := range m.changes {
		head = counted(head, c)
	}
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	return &picture{head, m.state.Checkpoint()}
}

// headRoom is about how long the head of a picture is, with a roster of so many bytes.
func (m *Machine) headRoom(roster int) int {
	n := 1<<10 + roster + len(m.welcomed)*(8+32)
	for _, c := range m.changes {
		n += 4 + len(c)
	}
	for _, b := range m.secret.last.Boxes {
		n += 16 + len(b.Sealed)
	}
	return n
}

// form is the lowest version that can say what is in the state.
func (m *Machine) form() byte { return max(m.roster.Form(), m.next.version(), m.secret.version()) }

func counted(b, part []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
}

// Restore reads what a Checkpoint of this group wrote, to its end.
func (m *Machine) Restore(r io.Reader) error {
	if err := m.restoreHead(r); err != nil {
		return err
	}
	state, err := vault.Load(r)
	if err != nil {
		return fmt.Errorf("loading the vault's state: %w", err)
	}
	m.state = state
	if err := m.agrees(); err != nil {
		return err
	}
	m.tell()
	m.changed()
	return nil
}

// restoreHead reads what stands before the records. Its check sum is for disks and
// for programs; that the bytes are ours the replica knows.
func (m *Machine) restoreHead(r io.Reader) (err error) {
	sum := crc32.New(castagnoli)
	head := io.TeeReader(r, sum)
	form, err := m.restoreTitle(head)
	if err != nil {
		return err
	}
	encoded, err := part(head, maxRoster)
	if err != nil {
		return err
	}
	if m.roster, err = roster.Decode(encoded); err != nil {
		return fmt.Errorf("reading the roster of a picture: %w", err)
	}
	if m.welcomed, err = readWelcomed(head); err != nil {
		return err
	}
	if m.changes, err = readChanges(head); err != nil {
		return err
	}
	want := sum.Sum32()
	var tail [4]byte
	if _, err := io.ReadFull(r, tail[:]); err != nil || form != m.form() || !m.settled() || binary.BigEndian.Uint32(tail[:]) != want {
		return errors.Join(errPicture, err)
	}
	return m.enough()
}

// restoreTitle reads whose picture it is, and returns of which version.
func (m *Machine) restoreTitle(r io.Reader) (form byte, err error) {
	got := make([]byte, len(label)+3)
	if _, err := io.ReadFull(r, got); err != nil || !bytes.HasPrefix(got, []byte(label)) {
		return 0, errors.Join(errPicture, err)
	}
	form = got[len(label)]
	if form == 0 || uint32(binary.BigEndian.Uint16(got[len(label)+1:])) != m.group {
		return 0, errPicture
	}
	if uint32(form) > m.version {
		return 0, fmt.Errorf("%w (a picture of version %d)", replica.ErrNewer, form)
	}
	if err := m.secret.read(r, form); err != nil {
		return 0, err
	}
	return form, m.next.read(r, form)
}

func readWelcomed(r io.Reader) (list []welcomed, err error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil || binary.BigEndian.Uint16(n[:]) > roster.MaxMembers {
		return nil, errors.Join(errPicture, err)
	}
	var one [8 + 32]byte
	for range binary.BigEndian.Uint16(n[:]) {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return nil, errors.Join(errPicture, err)
		}
		w := welcomed{binary.BigEndian.Uint64(one[:]), [32]byte(one[8:])}
		if len(list) > 0 && w.number <= list[len(list)-1].number {
			return nil, errPicture
		}
		list = append(list, w)
	}
	return list, nil
}

func readChanges(r io.Reader) (changes [][]byte, err error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil || binary.BigEndian.Uint16(n[:]) > maxChanges {
		return nil, errors.Join(errPicture, err)
	}
	for range binary.BigEndian.Uint16(n[:]) {
		c, err := part(r, roster.MaxSigned)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// part reads u32(length) and as many bytes.
func part(r io.Reader, limit uint32) ([]byte, error) {
	var n [4]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, errors.Join(errPicture, err)
	}
	length := binary.BigEndian.Uint32(n[:])
	if length > limit {
		return nil, errPicture
	}
	if length <= atOnce {
		b := make([]byte, length)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, errors.Join(errPicture, err)
		}
		return b, nil
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil || uint32(len(b)) != length {
		return nil, errors.Join(errPicture, err)
	}
	return b, nil
}

// agrees refuses a roster and records that are not of one fleet.
func (m *Machine) agrees() error {
	view := m.state.Fleet()
	defer view.Wipe()
	stranger := slices.ContainsFunc(m.welcomed, func(w welcomed) bool { return !m.has(w.number) })
	if stranger || m.roster.Fleet != view.ID || m.group >= m.roster.Groups || uint64(len(m.changes)) > m.roster.Serial {
		return errPicture
	}
	return nil
}
