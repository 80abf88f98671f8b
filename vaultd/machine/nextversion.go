//go:build nextversion

package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"keepsake.example/replica"
)

// Version is one ahead of the program that is shipped. The tag nextversion makes a
// program to test upgrades with: it has one more kind of entry, the mark, which does
// nothing but be counted, and the count is in the picture.
const Version = 3

const markLabel = "keepsake mark\x01"

// Mark is the entry of version 3.
func Mark() []byte { return []byte(markLabel) }

type next struct{ marks uint32 }

// Marks returns how many marks were applied.
func (m *Machine) Marks() uint32 { return m.next.marks }

func needsNext(entry []byte) uint32 {
	if bytes.Equal(entry, []byte(markLabel)) {
		return 3
	}
	return replica.Unknown
}

func (m *Machine) applyNext(entry []byte) (effect any, ok bool) {
	if m.version < 3 || needsNext(entry) != 3 {
		return nil, false
	}
	m.next.marks++
	return m.next.marks, true
}

// version of the picture: as long as nothing of version 3 is in the state, older
// members read it.
func (n *next) version() byte {
	if n.marks > 0 {
		return 3
	}
	return 1
}

func (n *next) append(head []byte) []byte {
	if n.marks == 0 {
		return head
	}
	return binary.BigEndian.AppendUint32(head, n.marks)
}

func (n *next) read(r io.Reader, version byte) error {
	if n.marks = 0; version < 3 {
		return nil
	}
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return errors.Join(errPicture, err)
	}
	if n.marks = binary.BigEndian.Uint32(b[:]); n.marks == 0 {
		return errPicture
	}
	return nil
}
