package replica_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// A second reader of peer messages, written from spec/replication.md §10 and §11
// and sharing no code with the package.

type refReader struct {
	left   []byte
	failed bool
	fields map[string]string
}

func (r *refReader) take(n int) []byte {
	if n > len(r.left) {
		r.failed = true
		return make([]byte, n)
	}
	b := r.left[:n]
	r.left = r.left[n:]
	return b
}

func (r *refReader) u8() int     { return int(r.take(1)[0]) }
func (r *refReader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *refReader) number(name string)     { r.fields[name] = fmt.Sprint(r.u64()) }
func (r *refReader) hex(name string, n int) { r.fields[name] = fmt.Sprintf("%x", r.take(n)) }
func (r *refReader) flag(name string) {
	n := r.u8()
	r.failed = r.failed || n > 1
	r.fields[name] = fmt.Sprint(n)
}
func (r *refReader) list(name string, n int) { r.fields[name] = strings.Join(r.numbers(n), ",") }
func (r *refReader) refuse(when bool)        { r.failed = r.failed || when }
func (r *refReader) numbers(n int) (s []string) {
	for range n {
		s = append(s, fmt.Sprint(r.u64()))
	}
	return s
}

// refMessage reads a peer message of member from.
func refMessage(plain []byte, from uint64) (map[string]string, error) {
	r := &refReader{left: plain, fields: map[string]string{}}
	kind := r.u8()
	r.fields["kind"] = fmt.Sprint(kind)
	r.number("reading")
	r.number("told")
	r.fields["version"] = fmt.Sprint(binary.BigEndian.Uint32(r.take(4)))
	switch kind {
	case 1:
		r.raft(from)
	case 2:
		r.number("origin")
		r.number("sequence")
		r.flag("change")
		r.refuse(len(r.left) == 0 || len(r.left) > 1<<20)
		r.hex("entry", len(r.left))
	case 3:
		r.number("sequence")
	case 4, 5:
		r.hex("id", 16)
		r.number("chunk")
		if kind == 5 {
			r.refuse(len(r.left) == 0 || len(r.left) > 1<<18)
			r.hex("data", len(r.left))
		}
	case 6:
		r.number("sequence")
		reason := r.u8()
		r.refuse(reason < 1 || reason > 4)
		r.fields["reason"] = fmt.Sprint(reason)
	default:
		r.failed = true
	}
	if r.failed || len(r.left) > 0 {
		return nil, errReference
	}
	return r.fields, nil
}

func (r *refReader) raft(from uint64) {
	kind := r.u8()
	r.fields["raft-type"] = fmt.Sprint(kind)
	for _, name := range []string{"raft-from", "term", "log-term", "index", "commit", "hint"} {
		r.number(name)
	}
	r.flag("reject")
	context, count := r.u8(), int(binary.BigEndian.Uint32(r.take(4)))
	r.hex("context", min(context, len(r.left)))
	sender := r.fields["raft-from"]
	r.refuse(sender == "0" || kind != 13 && sender != fmt.Sprint(from))
	r.refuse(context > 64 || context > 0 && !strings.Contains(" 5 17 8 9 15 16 ", fmt.Sprintf(" %d ", kind)))
	r.refuse(!strings.Contains(" 3 4 5 6 7 8 9 13 14 15 16 17 18 ", fmt.Sprintf(" %d ", kind)) || count > 0 && kind != 3)
	var entries []string
	for i := 0; i < count && !r.failed; i++ {
		entries = append(entries, r.entry(uint64(i)))
	}
	r.fields["entries"] = strings.Join(entries, ",")
	if kind == 7 {
		r.number("snapshot-index")
		r.number("snapshot-term")
		voters, learners := r.u8(), r.u8()
		r.refuse(voters == 0 || voters+learners > 64 || r.fields["snapshot-index"] == "0" || r.fields["snapshot-term"] == "0")
		r.list("voters", voters)
		r.list("learners", learners)
		r.hex("ticket", 56)
	}
}

func (r *refReader) entry(i uint64) string {
	index, term, kind, size := r.u64(), r.u64(), r.u8(), int(binary.BigEndian.Uint32(r.take(4)))
	r.refuse(term == 0 || kind > 2 || size > 1<<20 || size > len(r.left))
	r.refuse(fmt.Sprint(index-1-i) != r.fields["index"] || fmt.Sprintf("%20d", term) > fmt.Sprintf("%20s", r.fields["term"]))
	if r.failed {
		return ""
	}
	return fmt.Sprintf("%d/%d/%d/%x", index, term, kind, r.take(size))
}

// refOpen opens a sealed message to a member in a run, of another whose run is known.
func refOpen(secret []byte, from, to uint64, fromBoot, toBoot, m []byte) (plain []byte, count uint64, err error) {
	if len(m) < 74 || m[0] != 1 || m[1] != 2 || binary.BigEndian.Uint64(m[2:]) != from || binary.BigEndian.Uint64(m[10:]) != to {
		return nil, 0, errReference
	}
	if !bytes.Equal(m[18:34], fromBoot) || !bytes.Equal(m[34:50], toBoot) || bytes.Equal(m[50:58], make([]byte, 8)) {
		return nil, 0, errReference
	}
	aead := refGCM(secret, m[18:50], "keepsake replica session\x01"+string(m[2:18]))
	plain, err = aead.Open(nil, append(make([]byte, 4), m[50:58]...), m[58:], m[:58])
	return plain, binary.BigEndian.Uint64(m[50:]), err
}

// refHello reads a hello that answers a question.
func refHello(secret []byte, from, to uint64, question, m []byte) (boot []byte, err error) {
	if len(m) != 98 || m[0] != 1 || m[1] != 1 || binary.BigEndian.Uint64(m[2:]) != from || binary.BigEndian.Uint64(m[10:]) != to {
		return nil, errReference
	}
	mac := hmac.New(sha256.New, refHKDF(secret, nil, "keepsake replica hello\x01"))
	mac.Write(m[:66])
	if !bytes.Equal(mac.Sum(nil), m[66:]) || !bytes.Equal(m[50:66], question) || bytes.Equal(question, make([]byte, 16)) {
		return nil, errReference
	}
	return m[18:34], nil
}
