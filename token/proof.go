package token

import (
	"crypto/sha256"
	"encoding/binary"
)

// LoginMessage is what a device signs with its Ed25519 key to redeem a one-time
// code at issuer (spec/vault-protocol.md §8.1). login is the id of the login,
// code the digits as they were sent.
func LoginMessage(issuer string, login [16]byte, code string) []byte {
	return append(append(proof("keepsake login", issuer), login[:]...), code...)
}

// RefreshMessage is what a device signs with its Ed25519 key to exchange a
// refresh token at issuer (spec/vault-protocol.md §8.1).
func RefreshMessage(issuer, refresh string) []byte {
	digest := sha256.Sum256([]byte(refresh))
	return append(proof("keepsake refresh", issuer), digest[:]...)
}

// proof begins a message: the name of the issuer keeps what was signed for one
// issuer from being used at another.
func proof(label, issuer string) []byte {
	b := append([]byte(label), 1)
	b = binary.BigEndian.AppendUint16(b, uint16(len(issuer)))
	return append(b, issuer...)
}
