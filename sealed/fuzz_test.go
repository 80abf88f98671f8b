package sealed_test

import (
	"bytes"
	"testing"

	"keepsake.example/sealed"
	"keepsake.example/vectors"
)

// seeds adds the bodies of all vectors of one type.
func seeds(f *testing.F, kind string) {
	for _, v := range must(vectors.All("sealed")) {
		if got, _ := v.Get("type"); got == kind && v.Body != nil {
			f.Add(v.Body)
		}
	}
}

// FuzzRequest: the package and the reference agree on everything.
func FuzzRequest(f *testing.F) {
	seeds(f, "request")
	seed := unhex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	fleet := sealed.FleetID(bytes.Repeat([]byte{0xf1}, sealed.FleetIDSize))
	k := must(sealed.ParsePrivateKey(fleet, seed))
	f.Fuzz(func(t *testing.T, request []byte) {
		got, _, err := k.Open(request)
		ref, _, _, refErr := refRequest(fleet[:], seed, request)
		if (err == nil) != (refErr == nil) || !bytes.Equal(got, ref) {
			t.Errorf("package: %d bytes, %v; reference: %d bytes, %v", len(got), err, len(ref), refErr)
		}
	})
}

// FuzzAnswer: the package and the reference agree on everything.
func FuzzAnswer(f *testing.F) {
	seeds(f, "answer")
	var enc, exported []byte
	for _, v := range must(vectors.All("sealed")) {
		if v.Path == "sealed/answer-short.txt" {
			e, _ := v.Get("enc")
			x, _ := v.Get("exported")
			enc, exported = unhex(e), unhex(x)
		}
	}
	pending := sealed.TestingOnlyPending(enc, exported)
	f.Fuzz(func(t *testing.T, answer []byte) {
		got, err := pending.Open(answer)
		ref, refErr := refAnswer(enc, exported, answer)
		if (err == nil) != (refErr == nil) || !bytes.Equal(got, ref) {
			t.Errorf("package: %d bytes, %v; reference: %d bytes, %v", len(got), err, len(ref), refErr)
		}
	})
}

// FuzzPublicKey: whatever is accepted is encoded to the same bytes.
func FuzzPublicKey(f *testing.F) {
	public := keyOf(1).Public().Bytes()
	f.Add(public[:])
	f.Add(make([]byte, sealed.PublicKeySize))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := sealed.ParsePublicKey(testFleet, b)
		if err != nil {
			return
		}
		if again := p.Bytes(); !bytes.Equal(again[:], b) {
			t.Errorf("%x is encoded as %x", b, again)
		}
	})
}

// FuzzExchange: any message goes there and any comes back, in the fixed sizes.
func FuzzExchange(f *testing.F) {
	f.Add([]byte("question"), []byte("answer"))
	f.Add([]byte{}, make([]byte, 3))
	k := keyOf(1)
	f.Fuzz(func(t *testing.T, question, answer []byte) {
		question, answer = question[:min(len(question), sealed.MaxRequest)], answer[:min(len(answer), sealed.MaxAnswer)]
		x := begin(t, k, question)
		block := must(x.answerer.Seal(answer))
		got, err := x.pending.Open(block)
		if err != nil || !bytes.Equal(got, answer) || len(block) != sealed.AnswerSize || len(x.request) != sealed.RequestSize {
			t.Errorf("%d bytes back, %v", len(got), err)
		}
	})
}
