package vaultapi_test

import (
	"bytes"
	"testing"

	"keepsake.example/vaultapi"
)

// A buffer that grows leaves a copy of k behind that nobody can clear: what is
// encoded has its room from the start. What grew would have room to spare.
func TestEncodingAProposalLeavesNoCopyBehind(t *testing.T) {
	for _, n := range []int{1, 40, 300, vaultapi.MaxEnvelope} {
		p := proposal()
		p.Envelope = bytes.Repeat([]byte{'e'}, n)
		if b := vaultapi.EncodeBody(p); len(b) != cap(b) {
			t.Errorf("body: %d bytes in a buffer of %d", len(b), cap(b))
		}
		if b := must(requestOf(p, true).Encode()); len(b) != cap(b) {
			t.Errorf("request: %d bytes in a buffer of %d", len(b), cap(b))
		}
	}
}

// The room that other bodies get is enough for them.
func TestEncodingFits(t *testing.T) {
	for _, body := range bodies()[1:] {
		if b := vaultapi.EncodeBody(body); cap(b) > vaultapi.SmallBody {
			t.Errorf("%T: %d bytes in a buffer that grew to %d", body, len(b), cap(b))
		}
	}
}
