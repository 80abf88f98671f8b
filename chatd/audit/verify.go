package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxLine is the size of the longest line, its end included: an event and the
// 110 bytes round it, in round numbers.
const maxLine = MaxEvent + 128

// ErrDamaged tells that a file is not the end of an audit log.
var ErrDamaged = errors.New("audit: not a line of an audit log")

// line is how a line is read.
type line struct {
	Seq   uint64          `json:"seq"`
	Prev  string          `json:"prev"`
	Event json.RawMessage `json:"event"`
}

// parse reads a line without its end. A line has one form: what chain makes of
// its parts again is the line itself.
func parse(text []byte) (before Head, event []byte, err error) {
	var l line
	if len(text) >= maxLine || json.Unmarshal(text, &l) != nil || l.Seq == 0 {
		return Head{}, nil, ErrDamaged
	}
	before.Seq = l.Seq - 1
	if n, err := hex.Decode(before.Hash[:], []byte(l.Prev[:min(len(l.Prev), 64)])); err != nil || n != sha256.Size {
		return Head{}, nil, ErrDamaged
	}
	if again, _ := chain(before, l.Event); !bytes.Equal(again[:len(again)-1], text) {
		return Head{}, nil, ErrDamaged
	}
	return before, l.Event, nil
}

// readLine gives the head after a line.
func readLine(text []byte) (Head, error) {
	before, _, err := parse(text)
	if err != nil {
		return Head{}, err
	}
	return Head{before.Seq + 1, sha256.Sum256(text)}, nil
}

// Verify reads the lines of one file, which must follow after, and gives the
// head at its end. The first file follows the zero Head; for a file whose
// forerunners are gone, nil takes its first line's word for them. An error
// names the line, from 1.
func Verify(r io.Reader, after *Head) (Head, error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	var head Head
	if after != nil {
		head = *after
	}
	n := 1
	for ; s.Scan(); n++ {
		before, event, err := parse(s.Bytes())
		if err != nil {
			return head, fmt.Errorf("line %d: %w", n, err)
		}
		if n == 1 && after == nil {
			head = before
		}
		if before != head {
			return head, fmt.Errorf("audit: line %d does not follow the one before it", n)
		}
		_, head = chain(before, event)
	}
	if err := s.Err(); err != nil {
		return head, fmt.Errorf("line %d: %w", n, err)
	}
	return head, nil
}
