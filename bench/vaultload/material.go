package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/oprf"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// material is what the primitives work on: of the sizes that a recovery has.
type material struct {
	key      *sealed.PrivateKey
	request  []byte
	answerer *sealed.Answerer
	answer   []byte
	tokens   *token.Verifier
	raw      string
	fleet    [32]byte
	decoded  *vaultapi.Request
	k        [32]byte
	blinded  [32]byte
	message  []byte
	proof    []byte
	public   ed25519.PublicKey
	entry    []byte // of the log
}

func newMaterial(v *testVault, p *person) (*material, error) {
	m := &material{fleet: v.key.id, raw: p.token, public: p.unlock.Public().(ed25519.PublicKey)}
	var err error
	if m.tokens, err = v.issuer.verifier(); err != nil {
		return nil, err
	}
	if m.key, err = sealed.GenerateKey(v.key.id); err != nil {
		return nil, err
	}
	b, err := oprf.Blind(rand.Reader, []byte(password))
	if err != nil {
		return nil, err
	}
	m.blinded = b.Blinded().Bytes()
	p.k.Use(func(k *[32]byte) { m.k = *k })
	body := &vaultapi.AttemptBody{Blinded: m.blinded}
	text, err := p.message(body)
	if err != nil {
		return nil, err
	}
	if m.request, _, err = m.key.Public().Seal(text); err != nil {
		return nil, err
	}
	if _, m.answerer, err = m.key.Open(m.request); err != nil {
		return nil, err
	}
	if m.decoded, err = vaultapi.DecodeRequest(text); err != nil {
		return nil, err
	}
	m.answer = make([]byte, 20+16+16+32+64+2+envelopeSize) // an evaluation with its envelope
	m.message = vaultapi.ProveMessage(m.fleet, p.account, p.record, body.Attempt, body.Blinded, [32]byte{})
	m.proof = ed25519.Sign(p.unlock, m.message)
	m.entry = (&vault.Command{Kind: vault.Request, Time: uint64(time.Now().UnixMilli()), Account: p.account, Body: body}).Encode()
	return m, nil
}

func (m *material) open(int) error { _, _, err := m.key.Open(m.request); return err }

func (m *material) seal(int) error { _, err := m.answerer.Seal(m.answer); return err }

func (m *material) verify(int) error { _, err := m.tokens.Verify(m.raw, time.Now()); return err }

func (m *material) binding(int) error { return m.decoded.CheckBinding(m.fleet) }

// evaluate is all there is to an evaluation: the vault keeps k as 32 bytes.
func (m *material) evaluate(int) error {
	k, err := oprf.ParsePrivateKey(m.k[:])
	if err != nil {
		return err
	}
	defer k.Wipe()
	b, err := oprf.ParseBlinded(m.blinded[:])
	if err != nil {
		return err
	}
	z, proof, err := k.Evaluate(rand.Reader, b)
	if err == nil {
		z.Bytes()
		proof.Bytes()
	}
	return err
}

func (m *material) unlock(int) error {
	if !ed25519.Verify(m.public, m.message, m.proof) {
		return vaultapi.ErrBinding
	}
	return nil
}

// keyOf is what clients take from a bundle.
func keyOf(signed, id []byte) (fleetKey, error) {
	b, err := fleet.Open(signed, sealed.FleetID(id))
	if err != nil {
		return fleetKey{}, err
	}
	key, err := b.Current(uint64(time.Now().UnixMilli()))
	return fleetKey{sealed.FleetID(id), key}, err
}
