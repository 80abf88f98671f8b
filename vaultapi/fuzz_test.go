package vaultapi_test

import (
	"bytes"
	"testing"

	"keepsake.example/vaultapi"
)

// FuzzRequest: the package and the independent decoder agree on everything, and
// what is accepted is encoded to the same bytes.
func FuzzRequest(f *testing.F) {
	for _, v := range vectorFiles(f) {
		if kind, _ := v.Get("type"); kind == "request" {
			f.Add(v.Body)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) { decodeRequest(t, b) })
}

// FuzzBody: what is accepted is encoded to the same bytes.
func FuzzBody(f *testing.F) {
	for _, body := range bodies() {
		f.Add(byte(body.Type()), vaultapi.EncodeBody(body))
	}
	f.Fuzz(func(t *testing.T, typ byte, b []byte) {
		body, err := vaultapi.DecodeBody(vaultapi.Type(typ), b)
		if err == nil && (body.Type() != vaultapi.Type(typ) || !bytes.Equal(vaultapi.EncodeBody(body), b)) {
			t.Errorf("%x is encoded as %x", b, vaultapi.EncodeBody(body))
		}
	})
}

// FuzzAnswer: the package and the independent decoder agree on everything, and
// what is accepted is encoded to the same bytes.
func FuzzAnswer(f *testing.F) {
	for _, o := range outcomes() {
		f.Add(byte(o.to), must(o.answer.Encode()))
	}
	for _, v := range vectorFiles(f) {
		if kind, _ := v.Get("type"); kind == "answer" {
			f.Add(byte(vaultapi.Status), v.Body)
		}
	}
	f.Fuzz(func(t *testing.T, to byte, b []byte) {
		// To an unknown type there is no answer; to known ones both decoders know it.
		decodeAnswer(t, 1+vaultapi.Type(to)%vaultapi.LastType, b)
	})
}
