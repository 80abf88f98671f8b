package sim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"keepsake.example/oprf"
	"keepsake.example/oprf/p256"
	"keepsake.example/roster"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd/door"
)

// What is costly to make and says nothing about the vault is made once for all
// runs: questions, keys, and what a key answers to a question.

const (
	poolElements = 48
	poolSecrets  = 24
	poolAccounts = 3
	poolSigned   = 1 << 14
	poolPoints   = 4
)

type pool struct {
	elements  [][32]byte
	questions []*oprf.Blinded
	secrets   []*secret
	accounts  []vaultapi.Account
	operators []ed25519.PrivateKey
	strangers []ed25519.PrivateKey
	identity  ed25519.PrivateKey
	fleet     [32]byte
	points    [][33]byte // B2
	hardening [33]byte   // H
	chip      chip

	answers map[[2]int][32]byte // by secret and element: Z
	byKey   map[[32]byte]int    // k·G to the index of the secret
	door    *door.Door
	signed  map[string][]byte // changes as they travel, by who signed and the text
	idle    []*worker         // coroutines that wait for a call
}

// secret is what a person who set a password has: k and two keys. Records of many
// runs share it.
type secret struct {
	index          int
	key            *oprf.PrivateKey
	k              [32]byte
	unlock, device ed25519.PrivateKey
}

var thePool = sync.OnceValue(newPool)

func newPool() *pool {
	random := rand.NewChaCha8([32]byte{1})
	p := &pool{answers: map[[2]int][32]byte{}, byKey: map[[32]byte]int{}, signed: map[string][]byte{}}
	for i := range poolElements {
		b := must(oprf.Blind(random, fmt.Append(nil, "password", i))).Blinded()
		p.questions, p.elements = append(p.questions, b), append(p.elements, b.Bytes())
	}
	for i := range poolSecrets {
		s := &secret{index: i, key: must(oprf.GenerateKey(random)), unlock: signer("unlock", i), device: signer("device", i)}
		s.key.Use(func(k *[32]byte) { s.k = *k })
		p.byKey[s.key.Public().Bytes()] = i
		p.secrets = append(p.secrets, s)
	}
	for i := range poolAccounts {
		p.accounts = append(p.accounts, must(vaultapi.NewAccount("sim", fmt.Sprint("account", i))))
	}
	for i := range 3 {
		p.operators = append(p.operators, signer("operator", i))
	}
	for i := range 2 {
		p.strangers = append(p.strangers, signer("stranger", i+1))
	}
	p.door = must(door.New(random))
	p.door.Rand, p.door.Retry = cryptorand.Reader, retry
	p.installChip()
	p.identity = signer("identity", 0)
	p.fleet = sha256.Sum256(append([]byte("keepsake fleet id\x01"), public(p.identity)[:]...))
	return p
}

// chip is the device of every member: what its key h answers to the pool's points.
type chip map[[33]byte][33]byte

// Evaluate implements door.Evaluator.
func (c chip) Evaluate(_ context.Context, point [33]byte) ([33]byte, error) {
	if e, ok := c[point]; ok {
		return e, nil
	}
	return point, errors.New("sim: a point that nobody asks")
}

func (p *pool) installChip() {
	h := [32]byte{31: 9}
	p.hardening, p.chip = must(p256.Public(&h)), chip{}
	for i := range byte(poolPoints) {
		point := must(p256.Public(&[32]byte{31: i + 10}))
		p.points = append(p.points, point)
		p.chip[point] = must(p256.Evaluate(&h, point))
	}
	p.door.Device = p.chip
}

// answer is what a key answers to a question.
func (p *pool) answer(secret, element int) [32]byte {
	at := [2]int{secret, element}
	z, ok := p.answers[at]
	if !ok {
		e, _, err := p.secrets[secret].key.Evaluate(rand.NewChaCha8([32]byte{2}), p.questions[element])
		if err != nil {
			panic("sim: internal error: " + err.Error())
		}
		z = e.Bytes()
		p.answers[at] = z
	}
	return z
}

// sign makes a change as it travels. Fleets of many runs change in the same ways.
func (p *pool) sign(text string, by []ed25519.PrivateKey) []byte {
	name := []byte(text)
	for _, k := range by {
		name = append(name, public(k)[:]...)
	}
	if b, ok := p.signed[string(name)]; ok {
		return b
	}
	s := &roster.Signed{Text: text}
	for _, k := range by {
		if err := s.Add(must(roster.Sign(text, k))); err != nil {
			panic("sim: internal error: " + err.Error())
		}
	}
	if len(p.signed) == poolSigned {
		clear(p.signed)
	}
	p.signed[string(name)] = s.Encode()
	return p.signed[string(name)]
}

// signer makes a key of a name.
func signer(what string, i int) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Append(nil, what, i))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) *[32]byte { return (*[32]byte)(k.Public().(ed25519.PublicKey)) }

// must is for what cannot fail with the pool's inputs.
func must[T any](v T, err error) T {
	if err != nil {
		panic("sim: internal error: " + err.Error())
	}
	return v
}

// id is the n-th id of a run.
func id(n uint64) (id vaultapi.ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	id[0] = 0xee
	return id
}

// propose is the body of a Propose.
func (s *secret) propose(record vaultapi.ID, limit uint8) *vaultapi.ProposeBody {
	k := s.k
	return &vaultapi.ProposeBody{
		Record: record, Limit: limit, Key: vaultapi.NewSecret(&k),
		Unlock: *public(s.unlock), Device: *public(s.device), Envelope: bytes.Repeat([]byte{byte(s.index)}, 40),
	}
}

// digest names a request by its bytes.
func digest(b vaultapi.Body) [32]byte {
	return sha256.Sum256(append([]byte{byte(b.Type())}, vaultapi.EncodeBody(b)...))
}
