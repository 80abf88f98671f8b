package replica

import (
	"crypto/sha256"
	"errors"
	"io"
	"slices"
)

// spec/replication.md §5.1 and §5.2.
const (
	segmentMagic  = "ksp-log\x01"
	segmentHeader = len(segmentMagic) + keyIDSize + 8 + headSize
	recordHeader  = 4 + 8 + headSize + saltSize
	recordOver    = recordHeader + tagSize // beside the batch
	maxSegment    = 2 * maxBody
)

// A segmentHead begins a log file.
type segmentHead struct {
	keyID [keyIDSize]byte
	after chain // where the file goes on from
}

func (h segmentHead) append(to []byte) []byte {
	to = append(to, segmentMagic...)
	to = append(to, h.keyID[:]...)
	to = be.AppendUint64(to, h.after.number+1)
	return append(to, h.after.head[:]...)
}

var (
	errHead  = errors.New("no header of this kind of file")
	errOlder = errors.New("replica: written by an older version of this program, which this one cannot read")
)

// checkMagic tells a file of another kind from one of another version, which is
// the magic's last byte.
func checkMagic(b []byte, magic string) error {
	last := len(magic) - 1
	if len(b) < len(magic) || string(b[:last]) != magic[:last] || b[last] == 0 {
		return errHead
	}
	switch {
	case b[last] > magic[last]:
		return ErrNewer
	case b[last] < magic[last]:
		return errOlder
	}
	return nil
}

func decodeSegmentHead(b []byte) (h segmentHead, err error) {
	if err := checkMagic(b, segmentMagic); err != nil {
		return h, err
	}
	if len(b) < segmentHeader {
		return h, errHead
	}
	b = b[len(segmentMagic):]
	copy(h.keyID[:], b)
	first := be.Uint64(b[keyIDSize:])
	if first == 0 {
		return h, errHead
	}
	h.after.number = first - 1
	copy(h.after.head[:], b[keyIDSize+8:])
	return h, nil
}

// sealRecord appends the record of one batch to buf, and returns where the chain
// is after it.
func sealRecord(buf []byte, random io.Reader, e *epoch, after chain, b *batch) ([]byte, chain, error) {
	start, body := len(buf), b.size()
	buf = slices.Grow(buf, recordOver+body) // growing later would leave plaintext behind
	buf = be.AppendUint32(buf, uint32(body+tagSize))
	buf = be.AppendUint64(buf, after.number+1)
	buf = append(buf, after.head[:]...)
	buf = append(buf, make([]byte, saltSize)...)
	salt := buf[len(buf)-saltSize:]
	if err := readSalt(random, salt); err != nil {
		return nil, chain{}, err
	}
	aead, err := e.aead(labelRecord, salt)
	if err != nil {
		return nil, chain{}, err
	}
	buf = b.append(buf)
	plain := buf[start+recordHeader:]
	header := buf[start : start+recordHeader]
	buf = aead.Seal(buf[:start+recordHeader], make([]byte, aead.NonceSize()), plain, header)
	return buf, after.next(recordDigest(buf[start:])), nil
}

func recordDigest(record []byte) [headSize]byte {
	h := sha256.New()
	io.WriteString(h, labelRecord)
	h.Write(record)
	return [headSize]byte(h.Sum(nil))
}

// Why there is no record at a place. Both end what can be read.
var (
	errNoRecord  = errors.New("no record") // zeros, as the space for more records is
	errBadRecord = errors.New("not a record that follows the one before")
)

// openRecord reads the record at the start of b, which goes on for at most the
// rest of the file.
func openRecord(b []byte, e *epoch, after chain) (d *batch, next chain, size int, err error) {
	if len(b) < recordHeader || be.Uint32(b) == 0 {
		return nil, chain{}, 0, emptyOrBad(b)
	}
	length := int64(be.Uint32(b))
	if length < batchHead+tagSize || length > maxBody+tagSize || length > int64(len(b)-recordHeader) {
		return nil, chain{}, 0, errBadRecord
	}
	b = b[:recordHeader+int(length)]
	number, prev, salt := be.Uint64(b[4:]), [headSize]byte(b[12:]), b[recordHeader-saltSize:recordHeader]
	if number != after.number+1 || prev != after.head {
		return nil, chain{}, 0, errBadRecord
	}
	aead, err := e.aead(labelRecord, salt)
	if err != nil {
		return nil, chain{}, 0, err
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), b[recordHeader:], b[:recordHeader])
	if err != nil {
		return nil, chain{}, 0, errBadRecord
	}
	d, err = decodeBatch(plain)
	return d, after.next(recordDigest(b)), len(b), err
}

// emptyOrBad tells space that was never written from half a record.
func emptyOrBad(b []byte) error {
	for _, c := range b {
		if c != 0 {
			return errBadRecord
		}
	}
	return errNoRecord
}
