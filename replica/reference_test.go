package replica_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// A second reader of records and checkpoints, written from
// spec/replication.md and sharing no code with the package.

var errReference = errors.New("refused by the reference")

func refHKDF(key, salt []byte, info string) []byte {
	if salt == nil {
		salt = make([]byte, 32)
	}
	extract := hmac.New(sha256.New, salt)
	extract.Write(key)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write(append([]byte(info), 1))
	return expand.Sum(nil)
}

func refGCM(key, salt []byte, info string) cipher.AEAD {
	return must(cipher.NewGCM(must(aes.NewCipher(refHKDF(key, salt, info)))))
}

func refHash(parts ...[]byte) []byte {
	sum := sha256.Sum256(bytes.Join(parts, nil))
	return sum[:]
}

// refRecord returns the batch inside a record, and the head after it.
func refRecord(key []byte, number uint64, prev, record []byte) (batch, head []byte, err error) {
	if len(record) < 76 || binary.BigEndian.Uint32(record) != uint32(len(record)-76) {
		return nil, nil, errReference
	}
	if binary.BigEndian.Uint64(record[4:]) != number+1 || !bytes.Equal(record[12:44], prev) {
		return nil, nil, errReference
	}
	batch, err = refGCM(key, record[44:76], "keepsake replica record\x01").Open(nil, make([]byte, 12), record[76:], record[:76])
	return batch, refHash([]byte("keepsake replica record\x01"), record), err
}

// refEntries prints the entries of a batch as the vectors have them.
func refEntries(batch []byte) (term, vote, commit uint64, entries string, err error) {
	if len(batch) < 28 {
		return 0, 0, 0, "", errReference
	}
	term, vote, commit = binary.BigEndian.Uint64(batch), binary.BigEndian.Uint64(batch[8:]), binary.BigEndian.Uint64(batch[16:])
	var all []string
	rest, next := batch[28:], uint64(0)
	for range binary.BigEndian.Uint32(batch[24:]) {
		if len(rest) < 21 || uint32(len(rest)-21) < binary.BigEndian.Uint32(rest[17:]) {
			return 0, 0, 0, "", errReference
		}
		index, size := binary.BigEndian.Uint64(rest), binary.BigEndian.Uint32(rest[17:])
		if index == 0 || next != 0 && index != next || binary.BigEndian.Uint64(rest[8:]) == 0 || rest[16] > 2 {
			return 0, 0, 0, "", errReference
		}
		next = index + 1
		all = append(all, fmt.Sprintf("%d/%d/%d/%x", index, binary.BigEndian.Uint64(rest[8:]), rest[16], rest[21:21+size]))
		rest = rest[21+size:]
	}
	if len(rest) > 0 {
		return 0, 0, 0, "", errReference
	}
	return term, vote, commit, strings.Join(all, ","), nil
}

// refCheckpoint returns what is inside a checkpoint, its number, and the head after it.
func refCheckpoint(key, file []byte) (inside []byte, number uint64, head []byte, err error) {
	if len(file) < 56 || string(file[:8]) != "ksp-chk\x02" || !bytes.Equal(file[8:24], refHKDF(key, nil, "keepsake replica key id\x01")[:16]) {
		return nil, 0, nil, errReference
	}
	aead := refGCM(key, file[24:56], "keepsake replica checkpoint\x01")
	tags := bytes.Clone(file[:56])
	rest := file[56:]
	for i := uint64(0); ; i++ {
		n := min(len(rest), 1<<18+16)
		nonce := make([]byte, 12)
		binary.BigEndian.PutUint64(nonce[4:], i)
		if n == len(rest) {
			nonce[0] = 1
		}
		if inside, err = aead.Open(inside, nonce, rest[:n], file[:56]); err != nil {
			return nil, 0, nil, err
		}
		tags = append(tags, rest[n-16:n]...)
		if rest = rest[n:]; len(rest) == 0 {
			break
		}
	}
	if len(inside) < 40 {
		return nil, 0, nil, errReference
	}
	trailer := inside[len(inside)-40:]
	return inside, binary.BigEndian.Uint64(trailer), refHash([]byte("keepsake replica checkpoint\x01"), trailer, refHash(tags)), nil
}
