package vaultapi_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"

	"keepsake.example/vaultapi"
	"keepsake.example/vectors"
)

// must returns v, and panics on an error that no test expects.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }

// fill returns an array of one byte.
func fill16(b byte) vaultapi.ID { return vaultapi.ID(bytes.Repeat([]byte{b}, 16)) }
func fill32(b byte) [32]byte    { return [32]byte(bytes.Repeat([]byte{b}, 32)) }
func fill64(b byte) [64]byte    { return [64]byte(bytes.Repeat([]byte{b}, 64)) }

func point(b byte) [33]byte { return [33]byte(bytes.Repeat([]byte{b}, 33)) }

func keyOf(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func secretOf(b byte) vaultapi.Secret {
	k := fill32(b)
	return vaultapi.NewSecret(&k)
}

var testFleet = fill32(0xf1)

func proposal() *vaultapi.ProposeBody {
	return &vaultapi.ProposeBody{Record: fill16(1), Limit: 10, Key: secretOf(2), Unlock: fill32(3), Device: fill32(4), Envelope: []byte("envelope")}
}

// bodies are one of each type, and of each kind of authority.
func bodies() []vaultapi.Body {
	by := func(k vaultapi.Kind) vaultapi.Authority {
		if k == vaultapi.ByNobody {
			return vaultapi.Authority{}
		}
		return vaultapi.Authority{Kind: k, Signature: fill64(7)}
	}
	return []vaultapi.Body{
		proposal(),
		&vaultapi.ConfirmBody{Record: fill16(1), Authority: by(vaultapi.ByNobody)},
		&vaultapi.ConfirmBody{Record: fill16(1), Authority: by(vaultapi.ByUnlock)},
		&vaultapi.AttemptBody{Attempt: fill16(5), Blinded: fill32(6)},
		&vaultapi.ProveBody{Attempt: fill16(5), Signature: fill64(8), Device: fill32(4)},
		&vaultapi.DeleteBody{Record: fill16(1), Authority: by(vaultapi.ByDevice)},
		&vaultapi.StatusBody{},
		&vaultapi.CancelBody{Record: fill16(9), Authority: by(vaultapi.ByDevice)},
		&vaultapi.HardenBody{Blinded2: point(2)},
		&vaultapi.HardenedAttemptBody{Attempt: fill16(5), Blinded: fill32(6), Blinded2: point(3)},
	}
}

// requestOf is a request for the body, bound or not.
func requestOf(body vaultapi.Body, bound bool) *vaultapi.Request {
	r := &vaultapi.Request{Token: "header.claims.signature", Body: body}
	if bound {
		r.Bind(testFleet, keyOf(0xde))
	}
	return r
}

const now = 1_800_000_000_000

type outcome struct {
	to     vaultapi.Type
	answer vaultapi.Answer
}

// outcomes are one answer of each shape.
func outcomes() []outcome {
	past := []vaultapi.Past{{Time: now - 2, Who: [8]byte{1}, Attempt: fill16(2)}, {Time: now - 1, Attempt: fill16(3)}}
	ok := func(to vaultapi.Type, body vaultapi.AnswerBody) outcome {
		return outcome{to, vaultapi.Answer{Left: 7, Limit: 10, Time: now, Body: body}}
	}
	return []outcome{
		ok(vaultapi.Propose, nil), ok(vaultapi.Confirm, nil), ok(vaultapi.Delete, nil), ok(vaultapi.Cancel, nil),
		ok(vaultapi.Attempt, &vaultapi.Evaluation{Record: fill16(1), Attempt: fill16(5), Evaluated: fill32(6), Proof: fill64(7), Envelope: []byte("envelope")}),
		ok(vaultapi.Prove, &vaultapi.History{}),
		ok(vaultapi.Prove, &vaultapi.History{Past: past}),
		ok(vaultapi.Status, &vaultapi.StatusReport{Record: fill16(1), Registered: now - 9, LastSuccess: now - 8, Past: past}),
		ok(vaultapi.Status, &vaultapi.StatusReport{Record: fill16(1), Registered: now - 9, Pending: vaultapi.PendingReplacement, PendingRecord: fill16(2), Ripens: now + 9}),
		ok(vaultapi.Status, &vaultapi.StatusReport{Record: fill16(1), Registered: now - 9, Pending: vaultapi.PendingDeletion, PendingRecord: fill16(1), Ripens: now + 9}),
		ok(vaultapi.HardenedAttempt, &vaultapi.HardenedEvaluation{Evaluation: vaultapi.Evaluation{Record: fill16(1), Attempt: fill16(5), Envelope: []byte("envelope")}, Evaluated2: point(2)}),
		{vaultapi.Harden, vaultapi.Answer{Time: now, Body: &vaultapi.Hardened{Evaluated2: point(3)}}},
		{vaultapi.Attempt, vaultapi.Answer{Code: vaultapi.Wait, Left: 6, Limit: 10, Time: now, Next: now + 1}},
		{vaultapi.Attempt, vaultapi.Answer{Code: vaultapi.Destroyed, Limit: 10, Time: now, Body: &vaultapi.Destruction{When: now - 1}}},
		{vaultapi.Status, vaultapi.Answer{Code: vaultapi.None, Time: now}},
		{vaultapi.Confirm, vaultapi.Answer{Code: vaultapi.Conflict, Left: 6, Limit: 10, Time: now}},
		{vaultapi.Prove, vaultapi.Answer{Code: vaultapi.Unauthorised, Time: now}},
		{vaultapi.Prove, vaultapi.Answer{Code: vaultapi.Unsupported, Time: now}},
		{vaultapi.Prove, vaultapi.Answer{Code: vaultapi.Busy, Time: now}},
	}
}

func vectorFiles(t testing.TB) []*vectors.Vector {
	t.Helper()
	all, err := vectors.All("vaultapi")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d vectors, %v", len(all), err)
	}
	return all
}

// mustPanic runs f, which must panic with a text of this package.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if text, ok := recover().(string); !ok || !strings.HasPrefix(text, "vaultapi: internal error: ") {
			t.Errorf("%s: recovered %q", what, text)
		}
	}()
	f()
}
