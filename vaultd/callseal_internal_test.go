package vaultd

import (
	"bytes"
	"context"
	"testing"

	"keepsake.example/vault"
	"keepsake.example/vaultapi"
)

// A question opens for the member it is for, from the member that asked, under the
// fleet's secret, and unchanged; and so does its answer.
func TestCallSealed(t *testing.T) {
	secret, salt := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, saltSize)
	begin := func(secret, salt []byte, from, to uint64) *call {
		c, err := newCall(secret, salt, from, to)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	asker, kind := begin(secret, salt, 1, 2), []byte{askCommand}
	q := asker.request.Seal(nil, onceOnly[:], []byte("question"), kind)
	a := begin(secret, salt, 1, 2).sealAnswer([]byte("answer"))
	if got, err := begin(secret, salt, 1, 2).request.Open(nil, onceOnly[:], q, kind); err != nil || string(got) != "question" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := asker.openAnswer(a); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	for name, c := range map[string]*call{
		"another secret": begin(salt, salt, 1, 2), "another salt": begin(secret, secret, 1, 2),
		"another asker": begin(secret, salt, 3, 2), "another member": begin(secret, salt, 1, 3), "the other way": begin(secret, salt, 2, 1),
	} {
		if _, err := c.request.Open(nil, onceOnly[:], q, kind); err == nil {
			t.Errorf("a question opens with %s", name)
		}
		if _, err := c.openAnswer(a); err == nil {
			t.Errorf("an answer opens with %s", name)
		}
	}
	if _, err := asker.request.Open(nil, onceOnly[:], q, []byte{askReport}); err == nil {
		t.Error("a question opens as one of another kind")
	}
	if _, err := asker.openAnswer(q); err == nil {
		t.Error("a question opens as an answer")
	}
	for n := range a {
		a[n] ^= 1
		if _, err := asker.openAnswer(a); err == nil {
			t.Errorf("an answer opens with byte %d changed", n)
		}
		a[n] ^= 1
		if _, err := asker.openAnswer(a[:n]); err == nil {
			t.Errorf("%d bytes of an answer open", n)
		}
	}
}

// A question that is cut or edited anywhere is none.
func TestMangledQuestion(t *testing.T) {
	secret := make([]byte, 32)
	_, b, err := sealRequest(secret, 1, 2, askCommand, []byte("question"))
	if err != nil {
		t.Fatal(err)
	}
	if _, kind, rest, err := openRequest(secret, 1, 2, b); err != nil || kind != askCommand || string(rest) != "question" {
		t.Fatalf("%d, %q, %v", kind, rest, err)
	}
	for n := range b {
		if _, _, _, err := openRequest(secret, 1, 2, b[:n]); err == nil {
			t.Errorf("%d bytes of a question", n)
		}
		b[n] ^= 1
		if _, _, _, err := openRequest(secret, 1, 2, b); err == nil {
			t.Errorf("a question with byte %d changed", n)
		}
		b[n] ^= 1
	}
}

// Whatever a member's link brings, what is not sealed under the fleet's secret is refused.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte{askReport})
	f.Add(append([]byte{askCommand}, make([]byte, saltSize+16)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, kind, rest, err := openRequest(bytes.Repeat([]byte{1}, 32), 1, 2, b); err == nil {
			t.Errorf("opened %d %x", kind, rest)
		}
	})
}

// What another member says, once it is opened, is still only taken in its one form.
func FuzzServeCommand(f *testing.F) {
	c := &vault.Command{Kind: vault.Request, Body: &vaultapi.StatusBody{}}
	f.Add(append([]byte{0, 0, 0, 1}, c.Encode()...))
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Server{dead: make(chan struct{})}
		if reply, err := s.serveCommand(context.Background(), b); err == nil && !bytes.Equal(reply, []byte{elsewhere}) {
			t.Errorf("answered %x by a member without groups", reply)
		}
	})
}
