package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"

	"keepsake.example/internal/hidden"
)

// Answerer seals answers to one request.
type Answerer struct {
	secret[exchange]
}

// Pending opens answers to one request.
type Pending struct {
	secret[exchange]
}

// exchange is what both sides hold of one request.
type exchange struct {
	exported [nonceSize]byte // max(Nn, Nk), RFC 9458 §4.4
	enc      [encSize]byte
}

// exporter is what hpke's Sender and Recipient have in common.
type exporter interface {
	Export(exporterContext string, length int) ([]byte, error)
}

func newExchange(context exporter, enc []byte) (secret[exchange], error) {
	exported, err := context.Export(labelAnswer+string([]byte{Version}), nonceSize)
	if err != nil {
		return secret[exchange]{}, fmt.Errorf("sealed: exporting the answer's key: %w", err)
	}
	defer clear(exported)
	s, x := hidden.New[exchange, owner]()
	copy(x.exported[:], exported)
	copy(x.enc[:], enc)
	return s, nil
}

// aead returns the cipher and nonce for an answer, RFC 9458 §4.4. Every answer
// has its own random nonce and from it its own key, so that a request that is
// delivered twice can be answered twice.
func (x *exchange) aead(nonce []byte) (cipher.AEAD, []byte, error) {
	prk, err := hkdf.Extract(sha256.New, x.exported[:], slices.Concat(x.enc[:], nonce))
	if err != nil {
		return nil, nil, err
	}
	defer clear(prk)
	key, err := hkdf.Expand(sha256.New, prk, "key", 32)
	if err != nil {
		return nil, nil, err
	}
	defer clear(key)
	iv, err := hkdf.Expand(sha256.New, prk, "nonce", 12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := cipher.NewGCM(block)
	return gcm, iv, err
}

// Seal makes an answer of AnswerSize bytes from a message of at most MaxAnswer
// bytes. It does the same work for every message.
func (a *Answerer) Seal(message []byte) ([]byte, error) {
	padded, err := pad(message, MaxAnswer+lengthSize)
	if err != nil {
		return nil, err
	}
	defer clear(padded)
	answer := make([]byte, nonceSize, AnswerSize)
	rand.Read(answer) // never fails
	aead, iv, err := hidden.Open(a.secret).aead(answer)
	if err != nil {
		return nil, fmt.Errorf("sealed: deriving the answer's key: %w", err)
	}
	return aead.Seal(answer, iv, padded, nil), nil
}

// Open opens an answer to the request. It returns the message, which is the
// caller's. The error is ErrFormat or ErrOpen.
func (p *Pending) Open(answer []byte) ([]byte, error) {
	x := hidden.Open(p.secret)
	if len(answer) != AnswerSize {
		return nil, ErrFormat
	}
	aead, iv, err := x.aead(answer[:nonceSize])
	if err != nil {
		return nil, fmt.Errorf("sealed: deriving the answer's key: %w", err)
	}
	padded, err := aead.Open(nil, iv, answer[nonceSize:], nil)
	if err != nil {
		return nil, ErrOpen
	}
	message, err := unpad(padded)
	if err != nil {
		clear(padded)
	}
	return message, err
}
