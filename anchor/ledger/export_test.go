package ledger

import "keepsake.example/anchor"

// Sizes of a file, in bytes.
const (
	SlotPitch = slotPitch
	MaxGroups = maxGroups
)

// Waiting is how many steps wait for their turn.
func (l *Ledger) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// Line is one group of a slot.
type Line struct {
	Group uint32
	State anchor.State
	Key   *anchor.Key
}

// Seal makes a slot; it begins what is written at its place.
func Seal(count uint64, key *anchor.Key, salt [32]byte, groups []Line) ([]byte, error) {
	ls := lines{}
	for _, l := range groups {
		ls[l.Group] = line{l.State, l.Key}
	}
	return ls.seal(count, key, salt)
}

// Unseal reads what begins with a slot.
func Unseal(b []byte, key *anchor.Key) ([]Line, error) {
	ls, err := open(b, key)
	var groups []Line
	for _, n := range ls.groups() {
		groups = append(groups, Line{n, ls[n].state, ls[n].key})
	}
	return groups, err
}

// Head is what a device holds of a slot.
var Head = headOf

// Place is where the slot of a count lies.
var Place = place

// Recode reads the plaintext of a slot and writes it again.
func Recode(plain []byte) ([]byte, error) {
	ls, err := decode(plain)
	if err != nil {
		return nil, err
	}
	return ls.encode(), nil
}

// ErrSlot is what nobody wrote.
var ErrSlot = errSlot
