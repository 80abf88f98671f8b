package vaultapi

import (
	"encoding/binary"
	"fmt"
)

// Answer is what the vault seals to the client.
type Answer struct {
	Code  Code
	Left  uint8      // attempts left
	Limit uint8      // of the record, at most MaxAttempts
	Time  uint64     // the vault's time, milliseconds
	Next  uint64     // when the next attempt or change is allowed, milliseconds; 0: now
	Body  AnswerBody // by code and request; nil for most
}

// AnswerBody is what an answer says beyond the numbers: [*Evaluation],
// [*History], [*StatusReport], [*Hardened], [*HardenedEvaluation] or
// [*Destruction], or nil.
type AnswerBody interface {
	append(b []byte) []byte
	read(r *reader)
	check() error // a value out of its range
}

// Evaluation answers an Attempt.
type Evaluation struct {
	Record    ID       // to be compared with what the envelope authenticates
	Attempt   ID       // to be compared with the one that was sent
	Evaluated [32]byte // Z
	Proof     [64]byte
	Envelope  []byte // C, 1 to MaxEnvelope bytes
}

// Hardened answers a Harden. No proof comes with it: devices make none.
type Hardened struct {
	Evaluated2 [PointSize]byte // h·B2
}

// HardenedEvaluation answers a HardenedAttempt.
type HardenedEvaluation struct {
	Evaluation
	Evaluated2 [PointSize]byte // h·B2
}

// History answers a Prove: the attempts since the last success before this one,
// oldest first.
type History struct {
	Past []Past // at most MaxHistory
}

// Past is one attempt of the past.
type Past struct {
	Time    uint64  // milliseconds
	Who     [8]byte // first bytes of the thumbprint of the device's key; zeros for none
	Attempt ID
}

// StatusReport answers a Status.
type StatusReport struct {
	Record        ID
	Registered    uint64      // milliseconds
	LastSuccess   uint64      // milliseconds; 0: none
	Pending       PendingKind // the change that waits, if any
	PendingRecord ID          // zeros for none; the live record's for a deletion
	Ripens        uint64      // when the change may be confirmed, milliseconds; 0 before a first Confirm
	Past          []Past      // attempts since the last success, oldest first, at most MaxHistory
}

// Destruction comes with the code Destroyed.
type Destruction struct {
	When uint64 // milliseconds
}

// Encode returns the answer's bytes, at most MaxAnswer. It refuses a value out of
// its range and a body that does not belong to the code.
func (a *Answer) Encode() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	b := []byte{Version, byte(a.Code), a.Left, a.Limit}
	b = binary.BigEndian.AppendUint64(b, a.Time)
	b = binary.BigEndian.AppendUint64(b, a.Next)
	if a.Body != nil {
		b = a.Body.append(b)
	}
	return b, nil
}

// DecodeAnswer reads the bytes of [Answer.Encode] as the answer to a request of
// the given type: ErrUnsupported for another version, ErrFormat for whatever
// else is wrong.
func DecodeAnswer(to Type, b []byte) (*Answer, error) {
	if len(b) < 2 || len(b) > MaxAnswer || !to.known() {
		return nil, ErrFormat
	}
	if b[0] != Version {
		return nil, ErrUnsupported
	}
	r := &reader{rest: b[1:]}
	a := &Answer{Code: Code(r.u8()), Left: r.u8(), Limit: r.u8(), Time: r.u64(), Next: r.u64()}
	if a.Body = newAnswerBody(to, a.Code); a.Body != nil {
		a.Body.read(r)
	}
	if !r.done() {
		return nil, ErrFormat
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	return a, nil
}

// newAnswerBody makes the body that belongs to an outcome, nil for none.
func newAnswerBody(to Type, code Code) AnswerBody {
	switch {
	case code == Destroyed:
		return new(Destruction)
	case code != OK:
		return nil
	case to == Attempt:
		return new(Evaluation)
	case to == Prove:
		return new(History)
	case to == Status:
		return new(StatusReport)
	case to == Harden:
		return new(Hardened)
	case to == HardenedAttempt:
		return new(HardenedEvaluation)
	}
	return nil
}

func (a *Answer) check() error {
	_, destruction := a.Body.(*Destruction)
	switch {
	case a.Code > Busy:
		return fmt.Errorf("%w: %v", ErrFormat, a.Code)
	case a.Limit > MaxAttempts || a.Left > a.Limit:
		return fmt.Errorf("%w: %d of %d attempts left", ErrFormat, a.Left, a.Limit)
	case a.Time > MaxTime || a.Next > MaxTime:
		return fmt.Errorf("%w: time %d, next %d", ErrFormat, a.Time, a.Next)
	case a.Code >= Unsupported && (a.Limit != 0 || a.Next != 0):
		// Neither was the account looked at, nor may the answer look as if.
		return fmt.Errorf("%w: numbers of a record with the code %v", ErrFormat, a.Code)
	case destruction != (a.Code == Destroyed) || a.Code != OK && !destruction && a.Body != nil:
		return fmt.Errorf("%w: body %T with the code %v", ErrFormat, a.Body, a.Code)
	case a.Body == nil:
		return nil
	}
	return a.Body.check()
}

func (e *Evaluation) append(b []byte) []byte {
	b = append(append(b, e.Record[:]...), e.Attempt[:]...)
	b = append(append(b, e.Evaluated[:]...), e.Proof[:]...)
	return appendCounted(b, e.Envelope)
}

func (e *Evaluation) read(r *reader) {
	r.fill(e.Record[:])
	r.fill(e.Attempt[:])
	r.fill(e.Evaluated[:])
	r.fill(e.Proof[:])
	e.Envelope = r.counted(MaxEnvelope)
}

func (e *Evaluation) check() error {
	if len(e.Envelope) < 1 || len(e.Envelope) > MaxEnvelope {
		return fmt.Errorf("%w: envelope of %d bytes", ErrFormat, len(e.Envelope))
	}
	return nil
}

func (h *Hardened) append(b []byte) []byte { return append(b, h.Evaluated2[:]...) }
func (h *Hardened) read(r *reader)         { r.fill(h.Evaluated2[:]) }
func (*Hardened) check() error             { return nil }

func (e *HardenedEvaluation) append(b []byte) []byte {
	return append(e.Evaluation.append(b), e.Evaluated2[:]...)
}

func (e *HardenedEvaluation) read(r *reader) {
	e.Evaluation.read(r)
	r.fill(e.Evaluated2[:])
}

func (h *History) append(b []byte) []byte { return appendPast(b, h.Past) }
func (h *History) read(r *reader)         { h.Past = readPast(r) }
func (h *History) check() error           { return checkPast(h.Past) }

func (s *StatusReport) append(b []byte) []byte {
	b = append(b, s.Record[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Registered)
	b = binary.BigEndian.AppendUint64(b, s.LastSuccess)
	b = append(append(b, byte(s.Pending)), s.PendingRecord[:]...)
	return appendPast(binary.BigEndian.AppendUint64(b, s.Ripens), s.Past)
}

func (s *StatusReport) read(r *reader) {
	r.fill(s.Record[:])
	s.Registered, s.LastSuccess = r.u64(), r.u64()
	s.Pending = PendingKind(r.u8())
	r.fill(s.PendingRecord[:])
	s.Ripens, s.Past = r.u64(), readPast(r)
}

func (s *StatusReport) check() error {
	switch {
	case s.Registered > MaxTime || s.LastSuccess > MaxTime || s.Ripens > MaxTime:
		return fmt.Errorf("%w: registered %d, last success %d, ripens %d", ErrFormat, s.Registered, s.LastSuccess, s.Ripens)
	case s.Pending > PendingDeletion:
		return fmt.Errorf("%w: pending change of kind %d", ErrFormat, s.Pending)
	case s.Pending == NoPending && (s.PendingRecord != ID{} || s.Ripens != 0):
		return fmt.Errorf("%w: an id or time of no pending change", ErrFormat)
	case s.Pending == PendingDeletion && s.PendingRecord != s.Record:
		return fmt.Errorf("%w: pending deletion of another record", ErrFormat)
	}
	return checkPast(s.Past)
}

func (d *Destruction) append(b []byte) []byte { return binary.BigEndian.AppendUint64(b, d.When) }
func (d *Destruction) read(r *reader)         { d.When = r.u64() }

func (d *Destruction) check() error {
	if d.When > MaxTime {
		return fmt.Errorf("%w: destroyed at %d", ErrFormat, d.When)
	}
	return nil
}

// appendPast is called with at most MaxHistory attempts.
func appendPast(b []byte, past []Past) []byte {
	b = append(b, byte(len(past)))
	for _, p := range past {
		b = binary.BigEndian.AppendUint64(b, p.Time)
		b = append(append(b, p.Who[:]...), p.Attempt[:]...)
	}
	return b
}

func readPast(r *reader) []Past {
	n := int(r.u8())
	if n > MaxHistory {
		r.bad = true
		return nil
	}
	var past []Past
	for range n {
		p := Past{Time: r.u64()}
		r.fill(p.Who[:])
		r.fill(p.Attempt[:])
		past = append(past, p)
	}
	return past
}

func checkPast(past []Past) error {
	if len(past) > MaxHistory {
		return fmt.Errorf("%w: history of %d attempts", ErrFormat, len(past))
	}
	last := uint64(0)
	for _, p := range past {
		if p.Time > MaxTime || p.Time < last {
			return fmt.Errorf("%w: history out of order", ErrFormat)
		}
		last = p.Time
	}
	return nil
}
