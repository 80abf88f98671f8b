package sealed_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/mlkem"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"errors"
)

// A second implementation of the receiving side, from the texts: RFC 9180,
// draft-ietf-hpke-pq and spec/vault-protocol.md §2. It shares no code with the
// package, nor with crypto/hpke. It is not constant time.

var errReference = errors.New("reference: refused")

// refDecap returns the shared secret of MLKEM768-X25519 and the public key.
func refDecap(seed, enc []byte) (shared, public []byte, err error) {
	expanded := make([]byte, 96)
	h := sha3.NewSHAKE256()
	h.Write(seed)
	h.Read(expanded)
	pq := must(mlkem.NewDecapsulationKey768(expanded[:64]))
	t := must(ecdh.X25519().NewPrivateKey(expanded[64:]))
	public = append(pq.EncapsulationKey().Bytes(), t.PublicKey().Bytes()...)
	if enc == nil {
		return nil, public, nil
	}
	fromPQ, err := pq.Decapsulate(enc[:1088])
	if err != nil {
		return nil, nil, errReference
	}
	fromT, err := t.ECDH(must(ecdh.X25519().NewPublicKey(enc[1088:])))
	if err != nil {
		return nil, nil, errReference
	}
	sum := sha3.New256()
	for _, part := range [][]byte{fromPQ, fromT, enc[1088:], t.PublicKey().Bytes(), []byte(`\.//^\`)} {
		sum.Write(part)
	}
	return sum.Sum(nil), public, nil
}

// refSchedule is RFC 9180 §5.1 in base mode with HKDF-SHA256, for an AEAD with 32-byte keys.
type refSchedule struct{ key, nonce, exporter, suite []byte }

func refKeys(shared, info []byte, aead uint16) refSchedule {
	s := refSchedule{suite: []byte("HPKE\x64\x7a\x00\x01")}
	s.suite = binary.BigEndian.AppendUint16(s.suite, aead)
	context := append([]byte{0}, s.extract(nil, "psk_id_hash", nil)...)
	context = append(context, s.extract(nil, "info_hash", info)...)
	secret := s.extract(shared, "secret", nil)
	s.key = s.expand(secret, "key", context, 32)
	s.nonce = s.expand(secret, "base_nonce", context, 12)
	s.exporter = s.expand(secret, "exp", context, 32)
	return s
}

func (s refSchedule) extract(salt []byte, label string, ikm []byte) []byte {
	return must(hkdf.Extract(sha256.New, concat([]byte("HPKE-v1"), s.suite, []byte(label), ikm), salt))
}

func (s refSchedule) expand(prk []byte, label string, info []byte, n int) []byte {
	l := binary.BigEndian.AppendUint16(nil, uint16(n))
	return must(hkdf.Expand(sha256.New, prk, string(concat(l, []byte("HPKE-v1"), s.suite, []byte(label), info)), n))
}

// refRequest opens a request; the error does not say why.
func refRequest(fleet, seed, request []byte) (message, enc, exported []byte, err error) {
	if len(request) != 8192 || request[0] != 1 {
		return nil, nil, nil, errReference
	}
	id, enc, ciphertext := request[1:17], request[17:1137], request[1137:]
	shared, public, err := refDecap(seed, enc)
	if err != nil {
		return nil, nil, nil, err
	}
	want := sha256.Sum256(concat([]byte("keepsake vault channel key id\x01"), fleet, public))
	if string(id) != string(want[:16]) {
		return nil, nil, nil, errReference
	}
	s := refKeys(shared, concat([]byte("keepsake vault channel\x01"), fleet, id), 2)
	message, err = refOpen(s.key, s.nonce, ciphertext)
	return message, enc, s.expand(s.exporter, "sec", []byte("keepsake vault answer\x01"), 32), err
}

// refAnswer opens an answer.
func refAnswer(enc, exported, answer []byte) ([]byte, error) {
	if len(answer) != 4096 {
		return nil, errReference
	}
	prk := must(hkdf.Extract(sha256.New, exported, concat(enc, answer[:32])))
	key, nonce := must(hkdf.Expand(sha256.New, prk, "key", 32)), must(hkdf.Expand(sha256.New, prk, "nonce", 12))
	return refOpen(key, nonce, answer[32:])
}

func refOpen(key, nonce, ciphertext []byte) ([]byte, error) {
	p, err := must(cipher.NewGCM(must(aes.NewCipher(key)))).Open(nil, nonce, ciphertext, nil)
	if err != nil {
		return nil, errReference
	}
	n := int(p[0])<<8 | int(p[1])
	if n > len(p)-2 {
		return nil, errReference
	}
	for _, b := range p[2+n:] {
		if b != 0 {
			return nil, errReference
		}
	}
	return p[2 : 2+n], nil
}
