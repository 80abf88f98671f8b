package tpm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

const (
	nonceSize = 16
	aesBits   = 128
)

// A session is one HMAC session of the chip (TPM 2.0 part 1, 19), which lives as long as
// the connection: starting one costs the chip a multiplication on the curve. Its key
// comes from a salt that only the chip can decrypt, so that who reads or changes what
// passes on the bus can neither decrypt a parameter, nor make a command, nor make the
// chip's answer to one: a counter that was not incremented cannot be said to be.
//
// go-tpm's own sessions have one password and one direction of encryption for life; a
// chip has room for three sessions only. So this one takes both anew for each command:
// see [session.with].
type session struct {
	handle              tpm2.TPMHandle
	key                 []byte
	nonceCaller, nonces tpm2.TPM2BNonce // the caller's newest, the chip's newest
}

// Which parameter of a command is encrypted: one that begins with a sized buffer can be.
type direction uint8

const (
	plain     direction = 0
	encrypted direction = 1 << 5 // the command's first parameter: TPMA_SESSION decrypt
	answered  direction = 1 << 6 // the response's first: TPMA_SESSION encrypt
	bothWays            = encrypted | answered
	keepOpen  direction = 1 // TPMA_SESSION continueSession
)

func sessionCipher() tpm2.TPMTSymDef {
	return tpm2.TPMTSymDef{
		Algorithm: tpm2.TPMAlgAES,
		KeyBits:   tpm2.NewTPMUSymKeyBits(tpm2.TPMAlgAES, tpm2.TPMKeyBits(aesBits)),
		Mode:      tpm2.NewTPMUSymMode(tpm2.TPMAlgAES, tpm2.TPMAlgCFB),
	}
}

// startSession starts a session whose salt is encrypted to the chip's key salt.
func startSession(chip transport.TPM, salt tpm2.TPMHandle, public *tpm2.TPMTPublic) (*session, error) {
	kem, err := tpm2.ImportEncapsulationKey(public)
	if err != nil {
		return nil, fmt.Errorf("reading the chip's key: %w", err)
	}
	secret, hidden, err := tpm2.CreateEncryptedSalt(rand.Reader, kem)
	if err != nil {
		return nil, fmt.Errorf("encrypting a salt to the chip: %w", err)
	}
	nonce := tpm2.TPM2BNonce{Buffer: make([]byte, nonceSize)}
	rand.Read(nonce.Buffer)
	answer, err := tpm2.StartAuthSession{
		TPMKey: salt, Bind: tpm2.TPMRHNull, NonceCaller: nonce, EncryptedSalt: tpm2.TPM2BEncryptedSecret{Buffer: hidden},
		SessionType: tpm2.TPMSEHMAC, Symmetric: sessionCipher(), AuthHash: tpm2.TPMAlgSHA256,
	}.Execute(chip)
	if err != nil {
		return nil, fmt.Errorf("starting a session: %w", err)
	}
	s := &session{handle: tpm2.TPMHandle(answer.SessionHandle.HandleValue()), nonceCaller: nonce, nonces: answer.NonceTPM}
	s.key = kdf(secret, "ATH", s.nonces.Buffer, nonce.Buffer, 8*sha256.Size)
	clear(secret)
	return s, nil
}

// kdf is KDFa with SHA-256: TPM 2.0 part 1, 11.4.10.2.
func kdf(key []byte, label string, u, v []byte, bits uint32) (out []byte) {
	for i := uint32(1); uint32(8*len(out)) < bits; i++ {
		h := hmac.New(sha256.New, key)
		h.Write(binary.BigEndian.AppendUint32(nil, i))
		h.Write(append([]byte(label), 0))
		h.Write(u)
		h.Write(v)
		h.Write(binary.BigEndian.AppendUint32(nil, bits))
		out = h.Sum(out)
	}
	return out[:bits/8]
}

// with is the session for one command: it proves knowledge of auth, and encrypts.
func (s *session) with(auth []byte, way direction) tpm2.Session {
	// Chips take trailing zeros off a password: part 1, 19.6.5.
	return &use{session: s, auth: bytes.TrimRight(auth, "\x00"), way: way | keepOpen}
}

// changing is with, for a command that makes next the password: its answer proves
// knowledge of that.
func (s *session) changing(auth, next []byte, way direction) tpm2.Session {
	u := s.with(auth, way).(*use)
	u.next, u.changes = bytes.TrimRight(next, "\x00"), true
	return u
}

type use struct {
	*session
	auth, next []byte
	changes    bool
	way        direction
}

var errAnswer = errors.New("the chip's answer is not authentic: somebody is between")

// Init implements [tpm2.Session].
func (*use) Init(transport.TPM) error { return nil }

// CleanupFailure implements [tpm2.Session].
func (*use) CleanupFailure(transport.TPM) error { return nil }

// NonceTPM implements [tpm2.Session].
func (u *use) NonceTPM() tpm2.TPM2BNonce { return u.nonces }

// Handle implements [tpm2.Session].
func (u *use) Handle() tpm2.TPMHandle { return u.handle }

// IsDecryption implements [tpm2.Session].
func (u *use) IsDecryption() bool { return u.way&encrypted != 0 }

// IsEncryption implements [tpm2.Session].
func (u *use) IsEncryption() bool { return u.way&answered != 0 }

// NewNonceCaller implements [tpm2.Session].
func (u *use) NewNonceCaller() error {
	u.nonceCaller.Buffer = make([]byte, nonceSize)
	rand.Read(u.nonceCaller.Buffer)
	return nil
}

// mac is the HMAC of part 1, 19.6.5, over a command's or a response's parameters.
func (u *use) mac(auth, parameters, newer, older, more []byte, way byte) []byte {
	h := hmac.New(sha256.New, slices.Concat(u.key, auth))
	for _, b := range [][]byte{parameters, newer, older, more, {way}} {
		h.Write(b)
	}
	return h.Sum(nil)
}

// Authorize implements [tpm2.Session].
func (u *use) Authorize(code tpm2.TPMCC, parameters, nonces []byte, names []tpm2.TPM2BName, _ int) (*tpm2.TPMSAuthCommand, error) {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(code)))
	for _, name := range names {
		h.Write(name.Buffer)
	}
	h.Write(parameters)
	mac := u.mac(u.auth, h.Sum(nil), u.nonceCaller.Buffer, u.nonces.Buffer, nonces, byte(u.way))
	return &tpm2.TPMSAuthCommand{
		Handle: u.handle, Nonce: u.nonceCaller, Authorization: tpm2.TPM2BData{Buffer: mac}, Attributes: u.attributes(),
	}, nil
}

func (u *use) attributes() tpm2.TPMASession {
	return tpm2.TPMASession{ContinueSession: true, Decrypt: u.IsDecryption(), Encrypt: u.IsEncryption()}
}

// Validate implements [tpm2.Session].
func (u *use) Validate(result tpm2.TPMRC, code tpm2.TPMCC, parameters []byte, _ []tpm2.TPM2BName, _ int, answer *tpm2.TPMSAuthResponse) error {
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(result)))
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(code)))
	h.Write(parameters)
	auth := u.auth
	if u.changes {
		auth = u.next
	}
	mac := u.mac(auth, h.Sum(nil), answer.Nonce.Buffer, u.nonceCaller.Buffer, nil, byte(u.way))
	if !hmac.Equal(mac, answer.Authorization.Buffer) || answer.Attributes != u.attributes() {
		return errAnswer
	}
	u.nonces = answer.Nonce
	return nil
}

// Encrypt implements [tpm2.Session].
func (u *use) Encrypt(parameter []byte) error {
	return u.crypt(parameter, u.nonceCaller.Buffer, u.nonces.Buffer, false)
}

// Decrypt implements [tpm2.Session]. It comes after Validate: the newest nonce is the answer's.
func (u *use) Decrypt(parameter []byte) error {
	return u.crypt(parameter, u.nonces.Buffer, u.nonceCaller.Buffer, true)
}

// crypt is AES-CFB in place, with a key and first block from both nonces: part 1, 21.3.
// (crypto/cipher has CFB too, as deprecated: it authenticates nothing. The HMAC does that here.)
func (u *use) crypt(parameter, newer, older []byte, opening bool) error {
	keys := kdf(slices.Concat(u.key, u.auth), "CFB", newer, older, aesBits+8*aes.BlockSize)
	block, err := aes.NewCipher(keys[:aesBits/8])
	if err != nil {
		return err
	}
	cfb(block, keys[aesBits/8:], parameter, opening)
	clear(keys)
	return nil
}

// cfb is cipher feedback over whole blocks, and what is left over: NIST SP 800-38A, 6.3.
func cfb(block cipher.Block, previous, text []byte, opening bool) {
	var pad [aes.BlockSize]byte
	for len(text) > 0 {
		block.Encrypt(pad[:], previous)
		n := min(len(text), len(pad))
		before := bytes.Clone(text[:n])
		for i := range n {
			text[i] ^= pad[i]
		}
		if opening {
			previous = before
		} else {
			previous = text[:n]
		}
		text = text[n:]
	}
	clear(pad[:])
}
