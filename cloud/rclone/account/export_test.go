package account

import (
	"context"
	"net/url"
	"time"
)

// The text of an account's file, for tests that mangle it.
func Decode(text []byte) error {
	_, err := decode(text)
	return err
}

// Again reads a text and writes what was in it.
func Again(text []byte) ([]byte, error) {
	f, err := decode(text)
	if err != nil {
		return nil, err
	}
	return f.encode()
}

// SetLease shortens the time others wait for a refresh that does not end.
func (a *Accounts) SetLease(d time.Duration) { a.lease = d }

// AnswerIn and IsBlob read what a person pastes.
func AnswerIn(text string) (url.Values, bool) { return answerIn(text) }

func IsBlob(text string) bool { return isBlob(text) }

// Deliver brings an answer to the listener at local.
func Deliver(ctx context.Context, local string, query url.Values) error {
	return deliver(ctx, local, query)
}

// Relabel gives the text another login, as if it had been written so.
func Relabel(text []byte, login string) ([]byte, error) {
	f, err := decode(text)
	if err != nil {
		return nil, err
	}
	f.Login = login
	return f.encode()
}
