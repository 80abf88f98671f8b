package password_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"slices"

	"golang.org/x/crypto/argon2"

	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
)

// reference is spec/vault-protocol.md §9.1, §9.2 and, with a hardware key, §9.5 for
// one vault a second time, from the text, sharing no code with the package. (The
// oblivious functions have the vectors of their RFC.)
type reference struct {
	hardwareKey                   []byte // h; nil for suite 1
	fleetKey, output2, mixed      []byte
	password, vaultKey, backupKey []byte
	fleet, account, record        []byte
	memory, passes                uint32
	threads                       byte
	public, output, salt, rwd     []byte
	header, context               []byte
	pad, macKey, unlock           []byte
	wrapped, tag, envelope        []byte
}

func (r *reference) compute() {
	k := must(oprf.ParsePrivateKey(r.vaultKey))
	public := k.Public().Bytes()
	r.public = public[:]
	must(k.Output(r.password)).Use(func(y *[64]byte) { r.output = slices.Clone(y[:]) })

	set := hashOf([]byte("keepsake vault set\x01\x01\x01"), r.fleet)
	r.salt = hashOf([]byte("keepsake password salt\x01"), r.account, set)[:16]
	secret, suite := r.output, []byte(nil)
	if r.hardwareKey != nil {
		r.harden()
		secret, suite = r.mixed, append([]byte{2}, r.fleetKey...)
	}
	r.rwd = argon2.IDKey(secret, r.salt, r.passes, r.memory, r.threads, 32)

	r.header = []byte{byte(1 + len(suite)/34), 1, byte(r.memory >> 24), byte(r.memory >> 16), byte(r.memory >> 8), byte(r.memory)}
	r.header = binary.BigEndian.AppendUint32(r.header, r.passes)
	r.header = slices.Concat(r.header, []byte{r.threads, 1, 1}, r.fleet, r.public, suite)
	r.context = hashOf(r.header, r.account, r.record)
	prk := macOf([]byte("keepsake envelope\x01"), r.rwd)
	r.pad = macOf(prk, []byte("pad"), r.context, []byte{1})
	r.macKey = macOf(prk, []byte("mac"), r.context, []byte{1})
	r.unlock = macOf(prk, []byte("unlock\x01"), r.context, []byte{1})
	r.wrapped = make([]byte, 32)
	for i := range r.wrapped {
		r.wrapped[i] = r.backupKey[i] ^ r.pad[i]
	}
	r.tag = macOf(r.macKey, r.header, r.account, r.record, r.wrapped)
	r.envelope = slices.Concat(r.header, r.wrapped, r.tag)
}

func (r *reference) harden() {
	h := (*[32]byte)(r.hardwareKey)
	public := must(p256.Public(h))
	r.fleetKey = public[:]
	b := must(p256.Blind(&reader{}, slices.Concat([]byte("keepsake hardened input\x01"), r.fleet, r.account, r.password)))
	y2 := must(b.Finalize(must(p256.Evaluate(h, b.Blinded()))))
	r.output2 = y2[:]
	prk := mac512([]byte("keepsake hardened\x01"), r.output, r.output2)
	r.mixed = mac512(prk, r.fleetKey, r.account, []byte{1})
}

// mac512 is HKDF-Extract and the first block of HKDF-Expand with SHA-512.
func mac512(k []byte, parts ...[]byte) []byte {
	h := hmac.New(sha512.New, k)
	h.Write(slices.Concat(parts...))
	return h.Sum(nil)
}

func hashOf(parts ...[]byte) []byte {
	h := sha256.Sum256(slices.Concat(parts...))
	return h[:]
}

// macOf is HMAC-SHA256: HKDF-Extract, and the first block of HKDF-Expand (RFC 5869).
func macOf(k []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k)
	h.Write(slices.Concat(parts...))
	return h.Sum(nil)
}
