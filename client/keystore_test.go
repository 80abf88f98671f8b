package client_test

import (
	"errors"
	"testing"

	"github.com/zalando/go-keyring"

	"keepsake.example/client"
)

func TestSystemKeyringSpeaksOurErrors(t *testing.T) {
	keyring.MockInit()
	k := client.SystemKeyring()
	if _, err := k.Get("keepsake", "a"); !errors.Is(err, client.ErrKeyMissing) {
		t.Errorf("get of nothing: %v", err)
	}
	if err := k.Delete("keepsake", "a"); !errors.Is(err, client.ErrKeyMissing) {
		t.Errorf("delete of nothing: %v", err)
	}
	if err := k.Set("keepsake", "a", "secret"); err != nil {
		t.Fatal(err)
	}
	if got, err := k.Get("keepsake", "a"); err != nil || got != "secret" {
		t.Errorf("got %q, %v", got, err)
	}
	keyring.MockInitWithError(errors.New("no bus"))
	if _, err := k.Get("keepsake", "a"); !errors.Is(err, client.ErrKeyring) || errors.Is(err, client.ErrKeyMissing) {
		t.Errorf("get without a keyring: %v", err)
	}
	if err := k.Set("keepsake", "a", "secret"); !errors.Is(err, client.ErrKeyring) {
		t.Errorf("set without a keyring: %v", err)
	}
}
