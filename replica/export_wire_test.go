package replica

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"strings"

	"keepsake.example/anchor"
)

// What refuses messages, by the names of spec/replication.md §8.
func init() {
	maps.Copy(Layers, map[string]error{"message": errMessage, "form": errForm, "member": errForeign, "seal": errForged, "counter": errReplay})
}

// MessageFields reads a peer message, and returns what it says by the names of
// spec/replication.md §8, and the message as it is written again.
func MessageFields(plain []byte, from, to uint64) (fields map[string]string, again []byte, err error) {
	m, err := decodeMessage(plain, from, to)
	if err != nil {
		return nil, nil, err
	}
	f := map[string]string{"kind": fmt.Sprint(m.kind()), "reading": fmt.Sprint(m.reading), "told": fmt.Sprint(m.told), "version": fmt.Sprint(m.version)}
	switch {
	case m.raft != nil:
		m.raftFields(f)
	case m.forward != nil:
		f["origin"], f["sequence"] = fmt.Sprint(m.forward.origin), fmt.Sprint(m.forward.sequence)
		f["change"], f["entry"] = fmt.Sprint(flag(m.forward.change)), fmt.Sprintf("%x", m.forward.entry)
	case m.refused != nil:
		f["sequence"] = fmt.Sprint(m.refused.sequence)
	case m.because != nil:
		f["sequence"], f["reason"] = fmt.Sprint(m.because.sequence), fmt.Sprint(m.because.reason)
	case m.request != nil:
		f["id"], f["chunk"] = fmt.Sprintf("%x", m.request.id), fmt.Sprint(m.request.index)
	case m.chunk != nil:
		f["id"], f["chunk"], f["data"] = fmt.Sprintf("%x", m.chunk.id), fmt.Sprint(m.chunk.index), fmt.Sprintf("%x", m.chunk.data)
	}
	return f, m.append(nil), nil
}

func (m *peerMessage) raftFields(f map[string]string) {
	r := m.raft
	for name, n := range map[string]uint64{"raft-from": r.GetFrom(), "term": r.GetTerm(), "log-term": r.GetLogTerm(), "index": r.GetIndex(), "commit": r.GetCommit(), "hint": r.GetRejectHint()} {
		f[name] = fmt.Sprint(n)
	}
	has := travels[r.GetType()]
	f["raft-type"], f["reject"], f["context"] = fmt.Sprint(int(r.GetType())), fmt.Sprint(flag(r.GetReject())), fmt.Sprintf("%x", contextOf(r, has))
	var entries []string
	for _, e := range entriesOf(r, has) {
		entries = append(entries, fmt.Sprintf("%d/%d/%d/%x", e.GetIndex(), e.GetTerm(), e.GetType(), e.GetData()))
	}
	f["entries"] = strings.Join(entries, ",")
	if s := r.GetSnapshot(); s != nil {
		c := s.GetMetadata().GetConfState()
		f["snapshot-index"], f["snapshot-term"] = fmt.Sprint(s.GetMetadata().GetIndex()), fmt.Sprint(s.GetMetadata().GetTerm())
		f["voters"], f["learners"] = numbers(c.GetVoters()), numbers(c.GetLearners())
		f["ticket"] = fmt.Sprintf("%x", s.GetData())
	}
}

func numbers(list []uint64) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
}

// Meeting is a member in a run, that knows another or has a question for it.
type Meeting struct {
	Secret         [32]byte
	From, To       uint64
	Boot, FromBoot [16]byte // of the one that reads, and of the other as far as it is known
	Question       [16]byte // zero: none is open
	Message        []byte
}

// Open returns what a sealed message holds, or the boot that a hello made known.
func (m *Meeting) Open() (plain []byte, boot [16]byte, err error) {
	s, err := newSessions(io.MultiReader(bytes.NewReader(m.Boot[:]), bytes.NewReader(make([]byte, 64))), m.To, anchor.KeyFromBytes(m.Secret))
	if err != nil {
		return nil, boot, err
	}
	p, err := s.peer(m.From)
	if err != nil {
		return nil, boot, err
	}
	if m.FromBoot != [16]byte{} {
		if err := s.learn(header{from: m.From, boot: m.FromBoot}, p); err != nil {
			return nil, boot, err
		}
	}
	p.asked = m.Question
	o, err := s.open(m.Message)
	return o.plain, p.boot, err
}

// Seal makes what From sends to To: m.Message sealed, or a hello.
func (m *Meeting) Seal(count uint64, hello bool) []byte {
	s, err := newSessions(bytes.NewReader(m.FromBoot[:]), m.From, anchor.KeyFromBytes(m.Secret))
	if err != nil {
		panic(err)
	}
	if hello {
		return s.greet(m.To, m.Question, m.Boot)
	}
	p, _ := s.peer(m.To)
	if err := s.learn(header{from: m.To, boot: m.Boot}, p); err != nil {
		panic(err)
	}
	p.count = count - 1
	plain, err := decodeMessage(m.Message, m.From, m.To)
	if err != nil {
		panic(err)
	}
	out, err := s.seal(m.To, plain)
	if err != nil {
		panic(err)
	}
	return out
}

// OpensUnder says whether a message on the wire opens, or is a hello that is believed, under a
// secret: what somebody can try who has it and heard everything.
func OpensUnder(secret [32]byte, message []byte) bool {
	h, err := readHeader(message)
	if err != nil {
		return false
	}
	s, err := newSessions(bytes.NewReader(make([]byte, 64)), h.to, anchor.KeyFromBytes(secret))
	if err != nil {
		panic(err)
	}
	if h.kind == wireHello {
		return bytes.Equal(s.sign(bytes.Clone(message[:helloHead])), message)
	}
	key, err := s.cipherOf(h.from, h.to, h.boot, bootID(message[wireHead:]))
	if err != nil {
		panic(err)
	}
	head := message[:sealedHead]
	_, err = key.Open(nil, counterNonce(be.Uint64(head[sealedHead-8:])), message[sealedHead:], head)
	return err == nil
}

// HelloUnder is a hello with a question, in a member's name, under a secret.
func HelloUnder(secret [32]byte, from, to uint64) []byte {
	s, err := newSessions(bytes.NewReader(bytes.Repeat([]byte{9}, 64)), from, anchor.KeyFromBytes(secret))
	if err != nil {
		panic(err)
	}
	return s.greet(to, bootID{8}, bootID{})
}
