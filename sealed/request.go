package sealed

import (
	"crypto/hpke"
	"crypto/subtle"
	"fmt"
	"slices"

	"keepsake.example/internal/hidden"
)

// Seal makes a request of RequestSize bytes from a message of at most MaxRequest
// bytes, and what opens its answer. Two requests with one message have nothing
// in common. To repeat a request, send the same bytes.
func (p *PublicKey) Seal(message []byte) (request []byte, pending *Pending, err error) {
	padded, err := pad(message, MaxRequest+lengthSize)
	if err != nil {
		return nil, nil, err
	}
	defer clear(padded)
	enc, sender, err := hpke.NewSender(p.key, hpke.HKDFSHA256(), hpke.AES256GCM(), p.info())
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: sealing to the channel key: %w", err)
	}
	ciphertext, err := sender.Seal(nil, padded)
	if err != nil {
		return nil, nil, fmt.Errorf("sealed: sealing the request: %w", err)
	}
	x, err := newExchange(sender, enc)
	if err != nil {
		return nil, nil, err
	}
	return slices.Concat([]byte{Version}, p.id[:], enc, ciphertext), &Pending{x}, nil
}

// RequestKey returns the id of the channel key that a request is sealed to.
// Anybody can read it and anybody can write it. The error is [ErrFormat].
func RequestKey(request []byte) (KeyID, error) {
	if len(request) != RequestSize || request[0] != Version {
		return KeyID{}, ErrFormat
	}
	return KeyID(request[1:headerSize]), nil
}

// Open opens a request. It returns the message, which is the caller's, and what
// seals its answers. The error is ErrFormat, ErrKey or ErrOpen.
//
// The relay may deliver a request twice, late, or to another fleet that has the
// key: what is inside must be safe to repeat.
func (k *PrivateKey) Open(request []byte) (message []byte, answerer *Answerer, err error) {
	pair := hidden.Open(k.secret)
	id, err := RequestKey(request)
	if err != nil {
		return nil, nil, err
	}
	if subtle.ConstantTimeCompare(id[:], pair.public.id[:]) != 1 {
		return nil, nil, ErrKey
	}
	enc, ciphertext := request[headerSize:headerSize+encSize], request[headerSize+encSize:]
	recipient, err := hpke.NewRecipient(enc, pair.key, hpke.HKDFSHA256(), hpke.AES256GCM(), pair.public.info())
	if err != nil {
		return nil, nil, ErrOpen
	}
	padded, err := recipient.Open(nil, ciphertext)
	if err != nil {
		return nil, nil, ErrOpen
	}
	message, err = unpad(padded)
	if err != nil {
		clear(padded)
		return nil, nil, err
	}
	x, err := newExchange(recipient, enc)
	if err != nil {
		return nil, nil, err
	}
	return message, &Answerer{x}, nil
}
