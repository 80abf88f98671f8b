package vaultd_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"keepsake.example/sealed"
	"keepsake.example/token"
	"keepsake.example/vaultapi"
	"keepsake.example/vaultd"
)

// grant is what a good token of a person says, to be made bad.
func (p *person) grant() token.Grant {
	return token.Grant{Subject: p.name, Audience: audience, Key: p.device.Public().(ed25519.PublicKey), Issued: p.w.clock.Wall(), Life: time.Hour}
}

// status asks with a token of one's own choice, bound to the person's device.
func (p *person) status(raw string) *vaultapi.Answer {
	p.w.t.Helper()
	r := &vaultapi.Request{Token: raw, Body: &vaultapi.StatusBody{}}
	r.Bind(p.w.fleet, p.device)
	return p.w.deliver(p.w.seal(must(r.Encode()), vaultapi.Status))
}

// spec/vault-protocol.md §8: only a token of the pinned issuer, for the vault, in
// its time. The answer says nothing of the record.
func TestTokensRefused(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	wants(t, p.ask(newGuess("wrong").body), vaultapi.OK)
	change := func(f func(*token.Grant)) string {
		g := p.grant()
		f(&g)
		return must(w.signer.Sign(g))
	}
	expired := must(w.signer.Sign(p.grant()))
	w.clock.advance(time.Hour + 2*time.Minute)
	for name, raw := range map[string]string{
		"chatd's audience":  change(func(g *token.Grant) { g.Audience = "keepsake-chatd" }),
		"expired":           expired,
		"from the future":   change(func(g *token.Grant) { g.Issued = g.Issued.Add(5 * time.Minute) }),
		"of another issuer": must(newSigner().Sign(p.grant())),
		"cut":               must(w.signer.Sign(p.grant()))[:100],
		"no token at all":   "x",
	} {
		a := wants(t, p.status(raw), vaultapi.Unauthorised)
		if a.Left != 0 || a.Limit != 0 || a.Next != 0 || a.Body != nil {
			t.Errorf("%s: unauthorised says %+v", name, a)
		}
	}
	wants(t, p.status(must(w.signer.Sign(p.grant()))), vaultapi.OK)
}

// A token bound to a key is no good without that key: whoever copies it from a
// log cannot spend attempts.
func TestUnboundKeyRefused(t *testing.T) {
	w := newWorld(t)
	p, thief := w.registered("alice", "right"), w.person("alice")
	body := newGuess("wrong").body
	for name, bind := range map[string]func(*vaultapi.Request){
		"not signed":                 func(*vaultapi.Request) {},
		"by another key":             func(r *vaultapi.Request) { r.Bind(w.fleet, thief.device) },
		"for another fleet":          func(r *vaultapi.Request) { r.Bind([32]byte{1}, p.device) },
		"over another body":          func(r *vaultapi.Request) { r.Bind(w.fleet, p.device); r.Body = newGuess("wrong").body },
		"another's key, old binding": func(r *vaultapi.Request) { r.Bind(w.fleet, p.device); r.Key = public(thief.device) },
	} {
		r := &vaultapi.Request{Token: p.token(), Body: body}
		bind(r)
		a := w.deliver(w.seal(must(r.Encode()), vaultapi.Attempt))
		if a.Code != vaultapi.Unauthorised {
			t.Errorf("%s: answered %v", name, a.Code)
		}
	}
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 10 {
		t.Errorf("%d attempts left after requests that were refused", st.Left)
	}
}

// Cross-account: the record follows from the token and from nothing in the body.
// Bob's token with Alice's record id, attempt id or signatures moves nothing of hers.
func TestCrossAccountRefused(t *testing.T) {
	w := newWorld(t)
	alice, bob := w.registered("alice", "right"), w.registered("bob", "right")
	g := newGuess("right")
	wants(t, alice.ask(g.body), vaultapi.OK)
	hers := alice.prove(g)
	wants(t, bob.ask(hers), vaultapi.Conflict)
	wants(t, bob.ask(&vaultapi.ConfirmBody{Record: alice.record}), vaultapi.Conflict)
	wants(t, bob.ask(&vaultapi.DeleteBody{Record: alice.record}), vaultapi.Conflict)
	// The same attempt id and question under Bob's token are Bob's attempt, with Bob's key.
	a := wants(t, bob.ask(g.body), vaultapi.OK)
	if e := a.Body.(*vaultapi.Evaluation); e.Record != bob.record {
		t.Errorf("evaluated under the record %v, Bob's is %v", e.Record, bob.record)
	}
	if st := wants(t, alice.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 9 {
		t.Errorf("Alice has %d left, want 9", st.Left)
	}
	// An answer of one opens for nobody else.
	q, other := alice.question(&vaultapi.StatusBody{}), bob.question(&vaultapi.StatusBody{})
	_, answer, _ := w.post(q.bytes)
	if _, err := other.open(answer); err == nil {
		t.Error("Bob opened Alice's answer")
	}
}

// The relay delivers requests again, in another order, and late.
func TestReplayedAndReordered(t *testing.T) {
	w := newWorld(t)
	p := w.person("alice")
	propose := p.question(p.proposal("right"))
	confirm := p.question(&vaultapi.ConfirmBody{Record: p.record})
	wants(t, w.deliver(confirm), vaultapi.Conflict) // too early: nothing to confirm
	wants(t, w.deliver(propose), vaultapi.OK)
	wants(t, w.deliver(propose), vaultapi.OK)
	wants(t, w.deliver(confirm), vaultapi.OK)
	wants(t, w.deliver(confirm), vaultapi.OK)
	wants(t, w.deliver(propose), vaultapi.OK) // what is live already
	g := newGuess("right")
	attempt, prove := p.question(g.body), p.question(p.prove(g))
	wants(t, w.deliver(prove), vaultapi.Conflict) // of an attempt that was not made
	for range 3 {
		if a := wants(t, w.deliver(attempt), vaultapi.OK); a.Left != 9 {
			t.Errorf("%d left after a replay, want 9", a.Left)
		}
	}
	wants(t, w.deliver(prove), vaultapi.OK)
	wants(t, w.deliver(prove), vaultapi.OK)
	if a := wants(t, w.deliver(attempt), vaultapi.OK); a.Left != 10 {
		t.Errorf("a replay after the proof: %d left, want 10", a.Left)
	}
	w.clock.advance(2 * time.Hour) // the token inside has expired
	wants(t, w.deliver(attempt), vaultapi.Unauthorised)
}

// What does not open gets one word: 404 for a key that is not here, 400 else.
func TestUnopenedIsOneError(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	good := p.question(newGuess("wrong").body).bytes
	stranger := must(sealed.GenerateKey(w.fleet))
	foreign, _, err := stranger.Public().Seal([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int) []byte {
		b := slices.Clone(good)
		b[at] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		body []byte
		want int
	}{
		"empty":          {nil, 400},
		"one byte short": {good[:len(good)-1], 400},
		"one byte long":  {append(slices.Clone(good), 0), 400},
		"twice":          {append(slices.Clone(good), good...), 400},
		"other version":  {changed(0), 400},
		"other key id":   {changed(1), 404},
		"stranger's key": {foreign, 404},
		"enc":            {changed(17), 400},
		"ciphertext":     {changed(1137), 400},
		"tag":            {changed(len(good) - 1), 400},
		"zeros":          {make([]byte, sealed.RequestSize), 400},
	} {
		status, body, _ := w.post(c.body)
		if status != c.want || string(body) != "refused\n" {
			t.Errorf("%s: HTTP %d %q, want %d and one word", name, status, body, c.want)
		}
	}
	for name, body := range map[string][]byte{"short": good[:100], "long": append(slices.Clone(good), 0)} {
		r, err := w.http.Post(w.url+"/v1/request", "application/octet-stream", io.MultiReader(bytes.NewReader(body))) // chunked: no length is told
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != 400 {
			t.Errorf("%s without a length: HTTP %d", name, r.StatusCode)
		}
	}
	if st := wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK); st.Left != 10 {
		t.Errorf("%d left after requests that did not open", st.Left)
	}
}

// Mangling: no request that was changed in any byte is opened.
func TestMangleRequest(t *testing.T) {
	w := newWorld(t, func(c *vaultd.Config) { c.Limits.Quantum = 0 })
	p := w.registered("alice", "right")
	good := p.question(newGuess("wrong").body).bytes
	for i := range good {
		if i > 1300 && i%16 != 0 {
			continue // the ciphertext is one: a sample of it
		}
		b := slices.Clone(good)
		b[i] ^= byte(1 + i%255)
		if _, err := w.server.Answer(t.Context(), b); err == nil {
			t.Errorf("answered a request with byte %d changed", i)
		}
	}
	for n := range 100 {
		if _, err := w.server.Answer(t.Context(), good[:n*82]); err == nil {
			t.Errorf("answered the first %d bytes", n*82)
		}
	}
}

// Only chatd connects: no certificate, another one, and TLS 1.2 are refused.
func TestOnlyPinnedClientsConnect(t *testing.T) {
	w := newWorld(t)
	good := w.http.Transport.(*http.Transport).TLSClientConfig
	stranger, _, err := vaultd.Certificate(must(vaultd.NewTLSKey()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*http.Transport){
		"no certificate":      func(h *http.Transport) { h.TLSClientConfig.Certificates = nil },
		"another certificate": func(h *http.Transport) { h.TLSClientConfig.Certificates[0] = stranger },
		"TLS 1.2":             func(h *http.Transport) { h.TLSClientConfig.MinVersion, h.TLSClientConfig.MaxVersion = 0x303, 0x303 },
		"another server pin":  func(h *http.Transport) { h.TLSClientConfig = vaultd.ClientTLS(vaultd.Pin{1}, good.Certificates...) },
	} {
		h := &http.Transport{TLSClientConfig: good.Clone()}
		h.TLSClientConfig.Certificates = slices.Clone(good.Certificates)
		change(h)
		if r, err := (&http.Client{Transport: h}).Get(w.url + "/v1/bundle"); err == nil {
			t.Errorf("%s: HTTP %d", name, r.StatusCode)
			r.Body.Close()
		}
		h.CloseIdleConnections()
	}
	w.bundle()
}

// chatd speaks HTTP/2, curl what it likes: both get the same bytes.
func TestBothVersionsOfHTTP(t *testing.T) {
	w := newWorld(t)
	p := w.registered("alice", "right")
	own := w.http.Transport.(*http.Transport).TLSClientConfig
	for _, two := range []bool{false, true} {
		var protocols http.Protocols
		protocols.SetHTTP1(!two)
		protocols.SetHTTP2(two)
		h := &http.Transport{TLSClientConfig: own.Clone(), Protocols: &protocols}
		defer h.CloseIdleConnections()
		w.http = &http.Client{Transport: h}
		wants(t, p.ask(&vaultapi.StatusBody{}), vaultapi.OK)
		r, err := w.http.Get(w.url + "/v1/bundle")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if (r.ProtoMajor == 2) != two {
			t.Errorf("spoke %s", r.Proto)
		}
		for path, want := range map[string]int{"/v1/request": 405, "/v1/other": 404, "/metrics": 404, "/status": 404, "/": 404} {
			r, err := w.http.Get(w.url + path)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != want {
				t.Errorf("GET %s: HTTP %d, want %d", path, r.StatusCode, want)
			}
		}
	}
}

// wall is a replica that decides nothing.
type wall struct{ asked int }

var errWall = errors.New("nothing is behind the door")

func (w *wall) Propose(context.Context, []byte) (any, error)            { w.asked++; return nil, errWall }
func (w *wall) Read(context.Context, func(vaultd.ReplicaMachine)) error { w.asked++; return errWall }
func (w *wall) Peek(func(vaultd.ReplicaMachine)) error                  { w.asked++; return errWall }

// Below the channel: whatever message a client sealed gets an answer that can be
// sealed, and gets past the door only as a request with a good token and binding.
// The input is a type and a body, to which a token and a binding are added when
// signed is true, so that it stays short; else it is the message.
func FuzzDecide(f *testing.F) {
	w := &world{t: f, clock: newClock(), signer: newSigner(), fleet: sealed.FleetID{7}}
	p := w.person("alice")
	raw := p.token()
	for _, body := range []vaultapi.Body{
		p.proposal("right"), &vaultapi.ConfirmBody{Record: p.record}, newGuess("right").body, p.prove(newGuess("right")), &vaultapi.DeleteBody{Record: p.record}, &vaultapi.StatusBody{},
	} {
		f.Add(true, uint8(body.Type()), vaultapi.EncodeBody(body))
	}
	f.Add(false, uint8(1), []byte{6})
	behind := &wall{}
	door := vaultd.NewDoor(w.clock, verifier(f, w.signer), w.fleet, behind)
	f.Fuzz(func(t *testing.T, signed bool, kind uint8, body []byte) {
		message := append([]byte{kind}, body...)
		if signed {
			message = p.signed(raw, kind, body)
		}
		asked := behind.asked
		a := door.Decide(t.Context(), message)
		if b, err := a.Encode(); err != nil || len(b) > sealed.MaxAnswer {
			t.Fatalf("answer %+v: %d bytes, %v", a, len(b), err)
		}
		r, err := vaultapi.DecodeRequest(message)
		passed := behind.asked > asked
		if passed != (a.Code == vaultapi.Busy) || passed && (err != nil || r.CheckBinding(w.fleet) != nil) {
			t.Fatalf("passed the door: %v, answered %v; %v", passed, a.Code, err)
		}
		// This fleet has no key in hardware: the second suite is not known here, however good the request.
		if signed && err == nil && passed == (r.Body.Type() >= vaultapi.Harden) {
			t.Fatalf("a good %v was answered %v", r.Body.Type(), a.Code)
		}
	})
}

// signed is a request as §10.1 has it, around a body that need not be one.
func (p *person) signed(raw string, kind uint8, body []byte) []byte {
	digest := sha256.Sum256([]byte(raw))
	over := slices.Concat([]byte("keepsake request\x01"), p.w.fleet[:], digest[:], []byte{kind}, body)
	m := append([]byte{1, kind}, byte(len(raw)>>8), byte(len(raw)))
	m = append(append(m, raw...), 1)
	m = append(m, p.device.Public().(ed25519.PublicKey)...)
	return append(append(m, ed25519.Sign(p.device, over)...), body...)
}
