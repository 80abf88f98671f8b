package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"keepsake.example/oprf"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vaultapi"
)

const (
	issuerName = "https://id.bench.example"
	audience   = "keepsake-vault"
	password   = "correct horse battery staple"

	envelopeSize = 141 // bytes, for one vault (spec/vault-protocol.md §9.2)
)

// issuer makes tokens.
type issuer struct {
	signer *token.Signer
	jwks   []byte
}

func newIssuer() (*issuer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := token.NewSigner(issuerName, key)
	if err != nil {
		return nil, err
	}
	jwks, err := signer.JWKS()
	return &issuer{signer, jwks}, err
}

func (i *issuer) verifier() (*token.Verifier, error) {
	keys, err := token.Static(i.jwks)
	if err != nil {
		return nil, err
	}
	return token.NewVerifier(token.Issuer{Name: issuerName, Audience: audience, Algorithms: []string{token.EdDSA}, Keys: keys})
}

// fleetKey is what clients seal to.
type fleetKey struct {
	id  sealed.FleetID
	key *sealed.PublicKey
}

// person is one account with a registered password.
type person struct {
	fleet   fleetKey
	issuer  *issuer
	name    string
	account vaultapi.Account
	device  ed25519.PrivateKey
	unlock  ed25519.PrivateKey
	token   string
	record  vaultapi.ID
	k       *oprf.PrivateKey
}

func newPerson(f fleetKey, i *issuer, n int) (*person, error) {
	p := &person{fleet: f, issuer: i, name: fmt.Sprintf("person-%d", n)}
	var err error
	if p.account, err = vaultapi.NewAccount(issuerName, p.name); err != nil {
		return nil, err
	}
	if _, p.device, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if _, p.unlock, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	if p.k, err = oprf.GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	rand.Read(p.record[:])
	p.token, err = i.signer.Sign(token.Grant{
		Subject: p.name, Audience: audience, Key: p.device.Public().(ed25519.PublicKey), Issued: time.Now(), Life: time.Hour,
	})
	return p, err
}

func newPeople(f fleetKey, i *issuer, n int) ([]*person, error) {
	list := make([]*person, n)
	var err error
	for n := range list {
		if list[n], err = newPerson(f, i, n); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func public(k ed25519.PrivateKey) [32]byte { return [32]byte(k.Public().(ed25519.PublicKey)) }

// request is a sealed request and what opens its answer.
type request struct {
	bytes   []byte
	pending *sealed.Pending
	to      vaultapi.Type
}

func (p *person) message(body vaultapi.Body) ([]byte, error) {
	r := &vaultapi.Request{Token: p.token, Body: body}
	r.Bind(p.fleet.id, p.device)
	return r.Encode()
}

func (p *person) request(body vaultapi.Body) (request, error) {
	m, err := p.message(body)
	if err != nil {
		return request{}, err
	}
	b, pending, err := p.fleet.key.Seal(m)
	return request{b, pending, body.Type()}, err
}

// registration is Propose and Confirm. The envelope has the size of a real one
// for one vault.
func (p *person) registration() ([]request, error) {
	propose := &vaultapi.ProposeBody{Record: p.record, Limit: 10, Unlock: public(p.unlock), Device: public(p.device), Envelope: make([]byte, envelopeSize)}
	p.k.Use(func(k *[32]byte) { propose.Key = vaultapi.NewSecret(k) })
	return p.requests(propose, &vaultapi.ConfirmBody{Record: p.record})
}

// recovery is Attempt and Prove, both known before the answer to the first: a
// proof is over the question, and needs the unlock key alone.
func (p *person) recovery() ([]request, error) {
	b, err := oprf.Blind(rand.Reader, []byte(password))
	if err != nil {
		return nil, err
	}
	attempt := &vaultapi.AttemptBody{Blinded: b.Blinded().Bytes()}
	rand.Read(attempt.Attempt[:])
	prove := &vaultapi.ProveBody{Attempt: attempt.Attempt}
	copy(prove.Signature[:], ed25519.Sign(p.unlock, vaultapi.ProveMessage(p.fleet.id, p.account, p.record, attempt.Attempt, attempt.Blinded, prove.Device)))
	return p.requests(attempt, prove)
}

func (p *person) requests(bodies ...vaultapi.Body) (list []request, err error) {
	for _, b := range bodies {
		r, err := p.request(b)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// check opens an answer and refuses every other than ok.
func (r request) check(answer []byte) error {
	m, err := r.pending.Open(answer)
	if err != nil {
		return err
	}
	a, err := vaultapi.DecodeAnswer(r.to, m)
	if err != nil {
		return err
	}
	if a.Code != vaultapi.OK {
		return fmt.Errorf("a %v was answered %v", r.to, a.Code)
	}
	if _, ok := a.Body.(*vaultapi.Evaluation); !ok && r.to == vaultapi.Attempt {
		return fmt.Errorf("an attempt without an evaluation")
	}
	return nil
}
