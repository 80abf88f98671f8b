package outage_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"keepsake.example/fleet"
	"keepsake.example/oprf"
	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vaultapi"
)

const issuerName = "https://id.outage.example"

// issuer makes access tokens.
type issuer struct {
	signer *token.Signer
	jwks   []byte
}

func newIssuer() *issuer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	signer := must(token.NewSigner(issuerName, must(key, err)))
	return &issuer{signer, must(signer.JWKS())}
}

// person is one account, and the phone it is used from.
type person struct {
	fleet          sealed.FleetID
	key            *sealed.PublicKey
	account        vaultapi.Account
	device, unlock ed25519.PrivateKey
	forChat, token string // access tokens, for chatd and for the vault
	record         vaultapi.ID
	k              *oprf.PrivateKey
	urls           []string
	last           atomic.Int64 // index of the chatd that answered last
	http           *http.Client
}

func (s *system) newPerson(name string, key *sealed.PublicKey) *person {
	p := &person{fleet: must(fleet.ParseID(s.fleet)), key: key, urls: s.urls, k: must(oprf.GenerateKey(rand.Reader))}
	p.account = must(vaultapi.NewAccount(issuerName, name))
	_, device, err := ed25519.GenerateKey(rand.Reader)
	p.device = must(device, err)
	_, unlock, err := ed25519.GenerateKey(rand.Reader)
	p.unlock = must(unlock, err)
	grant := token.Grant{Subject: name, Audience: "keepsake-vault", Key: public(p.device), Issued: time.Now(), Life: time.Hour}
	p.token = must(s.issuer.signer.Sign(grant))
	grant.Audience = "keepsake-chatd"
	p.forChat = must(s.issuer.signer.Sign(grant))
	p.http = &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, TLSHandshakeTimeout: 2 * time.Second,
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4, // what it carries is sealed
	}}
	return p
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// channelKey fetches the bundle, as a client does once.
func (s *system) channelKey() (*sealed.PublicKey, error) {
	c := &http.Client{Timeout: patience, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := c.Get(s.urls[0] + "/v1/bundle")
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	b, err := fleet.Open(text, must(fleet.ParseID(s.fleet)))
	if err != nil {
		return nil, fmt.Errorf("%w: %.200s", err, text)
	}
	return b.Current(uint64(time.Now().UnixMilli()))
}

// errUndecided is a request of which nobody knows what became.
var errUndecided = errors.New("not decided")

// seal makes the bytes of a request.
func (p *person) seal(body vaultapi.Body) ([]byte, *sealed.Pending, error) {
	r := &vaultapi.Request{Token: p.token, Body: body}
	r.Bind(p.fleet, p.device)
	message, err := r.Encode()
	if err != nil {
		return nil, nil, err
	}
	return p.key.Seal(message)
}

// ask sends a request until the vault has decided it: the same bytes, to one chatd
// after the other.
func (p *person) ask(ctx context.Context, body vaultapi.Body) (*vaultapi.Answer, error) {
	request, pending, err := p.seal(body)
	if err != nil {
		return nil, err
	}
	for i := int(p.last.Load()); ctx.Err() == nil; i++ {
		text, err := p.post(ctx, p.urls[i%len(p.urls)], request)
		if err == nil {
			p.last.Store(int64(i % len(p.urls))) // it is asked first next time, as a client does
			a, err := answer(body, pending, text)
			if err != nil || a.Code != vaultapi.Busy {
				return a, err
			}
		}
		if i%len(p.urls) == len(p.urls)-1 {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil, errUndecided
}

// post sends a sealed request to one chatd.
func (p *person) post(ctx context.Context, url string, request []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // as a client that knows of another waits for the first; for the last it waits longer
	defer cancel()
	return post(ctx, p.http, url+"/v1/vault", p.forChat, request)
}

// post sends a sealed request to an address, with an access token or "".
func post(ctx context.Context, c *http.Client, url, access string, request []byte) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(request))
	if err != nil {
		return nil, err
	}
	if access != "" {
		q.Header.Set("Authorization", "Bearer "+access)
	}
	q.Header.Set("Content-Type", "application/octet-stream")
	r, err := c.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, sealed.AnswerSize+1))
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, r.Status, text)
	}
	return text, err
}

// propose and confirm register the record; del erases it with the device's authority.
func (p *person) propose() *vaultapi.ProposeBody {
	b := &vaultapi.ProposeBody{Record: p.record, Limit: limit, Unlock: [32]byte(public(p.unlock)), Device: [32]byte(public(p.device)), Envelope: make([]byte, 141)}
	p.k.Use(func(k *[32]byte) { b.Key = vaultapi.NewSecret(k) })
	return b
}

func (p *person) del() *vaultapi.DeleteBody {
	b := &vaultapi.DeleteBody{Record: p.record, Authority: vaultapi.Authority{Kind: vaultapi.ByDevice}}
	copy(b.Signature[:], ed25519.Sign(p.device, vaultapi.DeleteMessage(p.fleet, p.account, p.record)))
	return b
}

// guess is an attempt with some password. What comes back is checked as a client does.
func (p *person) guess(password string) (*vaultapi.AttemptBody, *oprf.Blinding) {
	b := must(oprf.Blind(rand.Reader, []byte(password)))
	a := &vaultapi.AttemptBody{Blinded: b.Blinded().Bytes()}
	rand.Read(a.Attempt[:])
	return a, b
}

// checkEvaluation holds an answer to an attempt against the key that was registered.
func (p *person) checkEvaluation(asked *vaultapi.AttemptBody, b *oprf.Blinding, a *vaultapi.Answer) error {
	e, ok := a.Body.(*vaultapi.Evaluation)
	if !ok || e.Attempt != asked.Attempt || e.Record != p.record {
		return errors.New("the answer is to another attempt")
	}
	z, err := oprf.ParseEvaluated(e.Evaluated[:])
	if err != nil {
		return err
	}
	proof, err := oprf.ParseProof(e.Proof[:])
	if err != nil {
		return err
	}
	_, err = b.Finalize(p.k.Public(), z, proof)
	return err
}

func (p *person) proof(of *vaultapi.AttemptBody) *vaultapi.ProveBody {
	b := &vaultapi.ProveBody{Attempt: of.Attempt}
	copy(b.Signature[:], ed25519.Sign(p.unlock, vaultapi.ProveMessage(p.fleet, p.account, p.record, of.Attempt, of.Blinded, b.Device)))
	return b
}
