package vaultapi_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"keepsake.example/vaultapi"
)

// What goes in comes out, for each type of body and shape of answer, and by both
// decoders.
func TestRoundTrip(t *testing.T) {
	for _, body := range bodies() {
		for _, bound := range []bool{false, true} {
			if _, err := decodeRequest(t, must(requestOf(body, bound).Encode())); err != nil {
				t.Errorf("%T: %v", body, err)
			}
		}
		b := vaultapi.EncodeBody(body)
		again := must(vaultapi.DecodeBody(body.Type(), b))
		if again.Type() != body.Type() || !bytes.Equal(vaultapi.EncodeBody(again), b) {
			t.Errorf("%T came back as %T", body, again)
		}
	}
	for _, o := range outcomes() {
		if _, err := decodeAnswer(t, o.to, must(o.answer.Encode())); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// spec §10: a body and an answer are read as what was asked for and as nothing else.
func TestOtherType(t *testing.T) {
	if _, err := vaultapi.DecodeBody(0, nil); !errors.Is(err, vaultapi.ErrUnsupported) {
		t.Errorf("body of type 0: %v", err)
	}
	if _, err := vaultapi.DecodeBody(10, nil); !errors.Is(err, vaultapi.ErrUnsupported) {
		t.Errorf("body of type 10: %v", err)
	}
	for _, o := range outcomes() {
		b := must(o.answer.Encode())
		for to := vaultapi.Type(0); to <= vaultapi.LastType+1; to++ {
			a, err := vaultapi.DecodeAnswer(to, b)
			same := to == o.to || to > 0 && to <= vaultapi.LastType && o.answer.Code != vaultapi.OK
			if o.answer.Code == vaultapi.OK && o.answer.Body == nil {
				same = to == vaultapi.Propose || to == vaultapi.Confirm || to == vaultapi.Delete || to == vaultapi.Cancel
			}
			if (err == nil) != same {
				t.Errorf("%v answer to %v, read as one to %v: %+v, %v", o.answer.Code, o.to, to, a, err)
			}
		}
	}
}

// What the package documents as the largest messages are just that, and fit the
// channel (sealed.MaxRequest and MaxAnswer: 7037 and 4046).
func TestSizes(t *testing.T) {
	body := proposal()
	body.Envelope = make([]byte, vaultapi.MaxEnvelope)
	r := requestOf(body, false)
	r.Token = string(make([]byte, vaultapi.MaxToken))
	r.Bind(testFleet, keyOf(1))
	if n := len(must(r.Encode())); n != vaultapi.MaxRequest || n > 7037 {
		t.Errorf("longest request has %d bytes", n)
	}
	a := vaultapi.Answer{Body: &vaultapi.HardenedEvaluation{Evaluation: vaultapi.Evaluation{Envelope: body.Envelope}}}
	if n := len(must(a.Encode())); n != vaultapi.MaxAnswer || n > 4046 {
		t.Errorf("longest answer has %d bytes", n)
	}
	past := make([]vaultapi.Past, vaultapi.MaxHistory)
	for _, body := range []vaultapi.AnswerBody{&vaultapi.StatusReport{Past: past}, &vaultapi.History{Past: past}} {
		a.Body = body
		if n := len(must(a.Encode())); n > vaultapi.MaxAnswer {
			t.Errorf("answer with %T has %d bytes", body, n)
		}
	}
}

// The encoders refuse what the decoders would.
func TestEncodeRefuses(t *testing.T) {
	proposed := func(change func(*vaultapi.ProposeBody)) *vaultapi.Request {
		p := proposal()
		change(p)
		return requestOf(p, false)
	}
	signedByNobody := vaultapi.Authority{Signature: fill64(1)}
	for name, r := range map[string]*vaultapi.Request{
		"no token":          {Body: &vaultapi.StatusBody{}},
		"long token":        {Token: string(make([]byte, vaultapi.MaxToken+1)), Body: &vaultapi.StatusBody{}},
		"no body":           {Token: "t"},
		"key, not bound":    {Token: "t", Key: fill32(1), Body: &vaultapi.StatusBody{}},
		"signed, not bound": {Token: "t", Signature: fill64(1), Body: &vaultapi.StatusBody{}},
		"limit 0":           proposed(func(p *vaultapi.ProposeBody) { p.Limit = 0 }),
		"limit 11":          proposed(func(p *vaultapi.ProposeBody) { p.Limit = 11 }),
		"no key":            proposed(func(p *vaultapi.ProposeBody) { p.Key = vaultapi.Secret{} }),
		"wiped key":         proposed(func(p *vaultapi.ProposeBody) { p.Key.Wipe() }),
		"no device":         proposed(func(p *vaultapi.ProposeBody) { p.Device = [32]byte{} }),
		"no envelope":       proposed(func(p *vaultapi.ProposeBody) { p.Envelope = nil }),
		"long envelope":     proposed(func(p *vaultapi.ProposeBody) { p.Envelope = make([]byte, vaultapi.MaxEnvelope+1) }),
		"kind 3":            requestOf(&vaultapi.ConfirmBody{Authority: vaultapi.Authority{Kind: 3}}, false),
		"confirm by nobody": requestOf(&vaultapi.ConfirmBody{Authority: signedByNobody}, false),
		"delete by nobody":  requestOf(&vaultapi.DeleteBody{Authority: signedByNobody}, false),
		"cancel by nobody":  requestOf(&vaultapi.CancelBody{}, false),
	} {
		if b, err := r.Encode(); !errors.Is(err, vaultapi.ErrFormat) || b != nil {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	mustPanic(t, "EncodeBody", func() { vaultapi.EncodeBody(&vaultapi.CancelBody{}) })
	mustPanic(t, "Digest", func() { (&vaultapi.ProposeBody{}).Digest() })
}

func TestEncodeAnswerRefuses(t *testing.T) {
	const over = vaultapi.MaxTime + 1
	status := func(s vaultapi.StatusReport) vaultapi.Answer { return vaultapi.Answer{Body: &s} }
	history := func(p ...vaultapi.Past) vaultapi.Answer {
		return vaultapi.Answer{Body: &vaultapi.History{Past: p}}
	}
	for name, a := range map[string]vaultapi.Answer{
		"code 8":                 {Code: 8},
		"limit 11":               {Limit: 11},
		"left over limit":        {Left: 2, Limit: 1},
		"time":                   {Time: over},
		"next":                   {Next: over},
		"busy with a limit":      {Code: vaultapi.Busy, Limit: 1},
		"unsupported with next":  {Code: vaultapi.Unsupported, Next: 1},
		"body of another code":   {Code: vaultapi.Wait, Body: &vaultapi.History{}},
		"destroyed, not when":    {Code: vaultapi.Destroyed},
		"destroyed, another":     {Code: vaultapi.Destroyed, Body: &vaultapi.History{}},
		"when, but ok":           {Body: &vaultapi.Destruction{}},
		"destroyed at the end":   {Code: vaultapi.Destroyed, Body: &vaultapi.Destruction{When: over}},
		"no envelope":            {Body: &vaultapi.Evaluation{}},
		"long envelope":          {Body: &vaultapi.Evaluation{Envelope: make([]byte, vaultapi.MaxEnvelope+1)}},
		"hardened, no envelope":  {Body: &vaultapi.HardenedEvaluation{}},
		"long history":           history(make([]vaultapi.Past, vaultapi.MaxHistory+1)...),
		"history out of order":   history(vaultapi.Past{Time: 2}, vaultapi.Past{Time: 1}),
		"history at the end":     history(vaultapi.Past{Time: over}),
		"registered":             status(vaultapi.StatusReport{Registered: over}),
		"last success":           status(vaultapi.StatusReport{LastSuccess: over}),
		"ripens":                 status(vaultapi.StatusReport{Pending: 1, Ripens: over}),
		"pending 3":              status(vaultapi.StatusReport{Pending: 3}),
		"id of nothing pending":  status(vaultapi.StatusReport{PendingRecord: fill16(1)}),
		"time of nothing":        status(vaultapi.StatusReport{Ripens: 1}),
		"deletion of another":    status(vaultapi.StatusReport{Pending: vaultapi.PendingDeletion, PendingRecord: fill16(1)}),
		"status history in turn": status(vaultapi.StatusReport{Past: []vaultapi.Past{{Time: 2}, {Time: 1}}}),
	} {
		if b, err := a.Encode(); !errors.Is(err, vaultapi.ErrFormat) || b != nil {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

// What was decoded shares no memory with the message.
func TestDecodedIsACopy(t *testing.T) {
	b := must(requestOf(proposal(), true).Encode())
	r := must(vaultapi.DecodeRequest(b))
	want := must(r.Encode())
	clear(b)
	if !bytes.Equal(must(r.Encode()), want) {
		t.Error("the request changed with its bytes")
	}
	o := outcomes()[4]
	b = must(o.answer.Encode())
	a := must(vaultapi.DecodeAnswer(o.to, b))
	want = must(a.Encode())
	clear(b)
	if !bytes.Equal(must(a.Encode()), want) {
		t.Error("the answer changed with its bytes")
	}
}

// regressions.md: length prefix overflow. Every length and count is refused unless
// it is the one of what follows.
func TestRegressionLengthPrefixOverflow(t *testing.T) {
	r := must(requestOf(proposal(), false).Encode())
	envelope := len(r) - len("envelope") - 2
	for _, at := range []int{2, envelope} {
		for n := range 1 << 16 {
			b := bytes.Clone(r)
			b[at], b[at+1] = byte(n>>8), byte(n)
			if _, err := vaultapi.DecodeRequest(b); (err == nil) != bytes.Equal(b, r) {
				t.Fatalf("length %d at %d: %v", n, at, err)
			}
		}
	}
	h := must(outcomes()[6].answer.Encode())
	for n := range 256 {
		b := bytes.Clone(h)
		b[20] = byte(n)
		if _, err := vaultapi.DecodeAnswer(vaultapi.Prove, b); (err == nil) != (n == 2) {
			t.Errorf("history of %d over one of 2: %v", n, err)
		}
	}
}

// regressions.md: integers narrowed to 8 or 16 bits. Sizes that would be right
// again modulo 2^8 or 2^16 are refused, and times whose difference would not fit
// a time.Duration.
func TestRegressionIntegersNarrowed(t *testing.T) {
	long := string(make([]byte, 1<<16+5))
	p := proposal()
	p.Envelope = []byte(long)
	for name, err := range map[string]error{
		"token":    encodeError(&vaultapi.Request{Token: long, Body: &vaultapi.StatusBody{}}),
		"envelope": encodeError(requestOf(p, false)),
		"answer":   encodeError(&vaultapi.Answer{Body: &vaultapi.Evaluation{Envelope: []byte(long)}}),
		"history":  encodeError(&vaultapi.Answer{Body: &vaultapi.History{Past: make([]vaultapi.Past, 1<<8+2)}}),
		"time":     encodeError(&vaultapi.Answer{Time: 1 << 43}),
	} {
		if err == nil {
			t.Errorf("%s was encoded", name)
		}
	}
	for _, names := range [][2]string{{long, "s"}, {"i", long}, {string(make([]byte, 256)), "s"}} {
		if _, err := vaultapi.NewAccount(names[0], names[1]); err == nil {
			t.Errorf("account of names of %d and %d bytes", len(names[0]), len(names[1]))
		}
	}
}

func encodeError(m interface{ Encode() ([]byte, error) }) error {
	_, err := m.Encode()
	return err
}

// regressions.md: no size limit on a message or a decode. What is too long is
// refused at its length, and a length that lies reserves nothing.
func TestRegressionNoSizeLimit(t *testing.T) {
	huge := make([]byte, 1<<20)
	huge[0], huge[1] = 1, byte(vaultapi.Status)
	lie := append([]byte{1, byte(vaultapi.Propose), 0x10, 0x00}, "short"...)
	for name, decode := range map[string]func() error{
		"request": func() error { _, err := vaultapi.DecodeRequest(huge); return err },
		"answer":  func() error { _, err := vaultapi.DecodeAnswer(vaultapi.Status, huge); return err },
		"lie":     func() error { _, err := vaultapi.DecodeRequest(lie); return err },
	} {
		if err := decode(); !errors.Is(err, vaultapi.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 100 {
			decode()
		}
		runtime.ReadMemStats(&after)
		got := (after.TotalAlloc - before.TotalAlloc) / 100
		if got > 1024 {
			t.Errorf("%s: refused with %d bytes reserved", name, got)
		}
	}
}

// regressions.md: limit chosen by the client without a cap (255).
func TestRegressionLimitWithoutCap(t *testing.T) {
	b := must(requestOf(proposal(), false).Encode())
	at := bytes.Index(b, bytes.Repeat([]byte{1}, 16)) + 16
	for n := range 256 {
		b[at] = byte(n)
		if _, err := vaultapi.DecodeRequest(b); (err == nil) != (n >= 1 && n <= 10) {
			t.Errorf("limit %d: %v", n, err)
		}
	}
}

// Names are words of the specification, and unknown values say what they are.
func TestNames(t *testing.T) {
	for want, v := range map[string]fmt.Stringer{
		"propose": vaultapi.Propose, "cancel": vaultapi.Cancel, "hardened-attempt": vaultapi.HardenedAttempt, "type 0": vaultapi.Type(0), "type 10": vaultapi.Type(10),
		"ok": vaultapi.OK, "busy": vaultapi.Busy, "code 8": vaultapi.Code(8),
		"none": vaultapi.NoPending, "deletion": vaultapi.PendingDeletion, "pending kind 3": vaultapi.PendingKind(3),
		"01010101010101010101010101010101": fill16(1),
	} {
		if v.String() != want {
			t.Errorf("%q, want %q", v.String(), want)
		}
	}
}
