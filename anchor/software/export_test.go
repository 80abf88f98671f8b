package software

// SlotSize is the length of a slot in bytes.
const SlotSize = slotSize

// Encode is what is written in a slot.
func (r record) Encode() []byte { return r.encode() }

// Choose reads a whole file.
var Choose = choose
