package vaultapi_test

import (
	"bytes"
	"testing"

	"keepsake.example/vaultapi"
)

// mangled calls f with every truncation of b, with a byte more, and with every
// single byte changed to every other value.
func mangled(b []byte, cut, changed func(m []byte)) {
	for n := range b {
		cut(b[:n])
	}
	cut(append(bytes.Clone(b), 0))
	m := bytes.Clone(b)
	for i := range m {
		for x := range 255 {
			m[i] = b[i] + byte(x) + 1
			changed(m)
		}
		m[i] = b[i]
	}
}

// Every truncation is refused; every change is refused, or is another request
// whose one form are the changed bytes.
func TestMangleRequest(t *testing.T) {
	for _, body := range bodies() {
		for _, bound := range []bool{false, true} {
			r := requestOf(body, bound)
			mangled(must(r.Encode()), func(m []byte) {
				if _, err := vaultapi.DecodeRequest(m); err == nil {
					t.Errorf("%T cut or lengthened to %d bytes was accepted", body, len(m))
				}
			}, func(m []byte) {
				if r, err := vaultapi.DecodeRequest(m); err == nil && !bytes.Equal(must(r.Encode()), m) {
					t.Errorf("%x has another form", m)
				}
			})
		}
	}
}

func TestMangleBody(t *testing.T) {
	for _, body := range bodies() {
		mangled(vaultapi.EncodeBody(body), func(m []byte) {
			if _, err := vaultapi.DecodeBody(body.Type(), m); err == nil {
				t.Errorf("%T cut or lengthened to %d bytes was accepted", body, len(m))
			}
		}, func(m []byte) {
			if got, err := vaultapi.DecodeBody(body.Type(), m); err == nil && !bytes.Equal(vaultapi.EncodeBody(got), m) {
				t.Errorf("%x has another form", m)
			}
		})
	}
}

func TestMangleAnswer(t *testing.T) {
	for _, o := range outcomes() {
		mangled(must(o.answer.Encode()), func(m []byte) {
			if _, err := vaultapi.DecodeAnswer(o.to, m); err == nil {
				t.Errorf("answer to %v cut or lengthened to %d bytes was accepted", o.to, len(m))
			}
		}, func(m []byte) {
			if a, err := vaultapi.DecodeAnswer(o.to, m); err == nil && !bytes.Equal(must(a.Encode()), m) {
				t.Errorf("%x has another form", m)
			}
		})
	}
}

// The device's signature covers every byte of a request: token, type, body and the
// key itself.
func TestMangleBinding(t *testing.T) {
	for _, body := range bodies() {
		b := must(requestOf(body, true).Encode())
		for i := range b {
			m := bytes.Clone(b)
			m[i] ^= 1 << (i % 8)
			if r, err := vaultapi.DecodeRequest(m); err == nil && r.CheckBinding(testFleet) == nil {
				t.Errorf("%T with byte %d changed is still signed", body, i)
			}
		}
	}
}
