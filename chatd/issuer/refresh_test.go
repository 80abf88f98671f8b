package issuer_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepsake.example/chatd/issuer"
	"keepsake.example/chatd/limit"
	"keepsake.example/token"
)

func TestRefreshGivesNewTokensForTheSameAccount(t *testing.T) {
	k := newKit(t)
	first := k.login("ann@example.com", phone)
	k.clock.Pass(time.Hour)
	second := k.mustRefresh(first.Refresh, phone)
	if second.Refresh == first.Refresh || second.Subject != first.Subject {
		t.Errorf("%q after %q", second.Refresh, first.Refresh)
	}
	if c := k.claims(second.Vault, vault); c.Subject != first.Subject || c.Thumbprint != token.Thumbprint(public(phone)) {
		t.Errorf("%+v", c)
	}
}

// Reuse shows that two hold what only one should: nobody goes on with it.
func TestReuseEndsTheLine(t *testing.T) {
	k := newKit(t)
	tokens := k.login("ann@example.com", phone)
	bystander := k.login("ann@example.com", laptop)
	all := []string{tokens.Refresh}
	for range 3 {
		tokens = k.mustRefresh(tokens.Refresh, phone)
		all = append(all, tokens.Refresh)
	}
	_, err := k.refresh(all[1], phone)
	isRefused(t, err)
	if !errors.Is(err, issuer.ErrReused) {
		t.Errorf("got %v", err)
	}
	for i, old := range all {
		if _, err := k.refresh(old, phone); !errors.Is(err, issuer.ErrRefused) || errors.Is(err, issuer.ErrReused) {
			t.Errorf("token %d after the end: %v", i, err)
		}
	}
	k.mustRefresh(bystander.Refresh, laptop)
}

func TestLostAnswerCanBeAskedForAgain(t *testing.T) {
	k := newKit(t)
	first := k.login("ann@example.com", phone)
	second := k.mustRefresh(first.Refresh, phone)
	k.clock.Pass(10 * time.Minute)
	if again := k.mustRefresh(first.Refresh, phone); again.Refresh != second.Refresh {
		t.Error("another successor")
	}
	third := k.mustRefresh(second.Refresh, phone)
	_, err := k.refresh(first.Refresh, phone) // its successor has been used
	isRefused(t, err)
	_, err = k.refresh(third.Refresh, phone)
	isRefused(t, err)
}

func TestLostAnswerCanBeAskedForForTenMinutes(t *testing.T) {
	k := newKit(t)
	first := k.login("ann@example.com", phone)
	second := k.mustRefresh(first.Refresh, phone)
	k.clock.Pass(10*time.Minute + time.Millisecond)
	if _, err := k.refresh(first.Refresh, phone); !errors.Is(err, issuer.ErrReused) {
		t.Errorf("got %v", err)
	}
	_, err := k.refresh(second.Refresh, phone)
	isRefused(t, err)
}

// A stolen refresh token is worth nothing without the device's key, and cannot
// be used to log the device out either.
func TestRefreshWithoutTheDevicesProofIsRefusedAndEndsNothing(t *testing.T) {
	k := newKit(t)
	first := k.login("ann@example.com", phone)
	second := k.mustRefresh(first.Refresh, phone)
	third := k.mustRefresh(second.Refresh, phone)
	for _, refresh := range []string{first.Refresh, third.Refresh} {
		good := token.RefreshMessage(name, refresh)
		for what, proof := range map[string][]byte{
			"none":           nil,
			"another key":    ed25519.Sign(laptop, good),
			"another token":  ed25519.Sign(phone, token.RefreshMessage(name, second.Refresh)),
			"another issuer": ed25519.Sign(phone, token.RefreshMessage("https://evil.example", refresh)),
		} {
			_, err := k.Refresh(context.Background(), home, refresh, proof)
			if !errors.Is(err, issuer.ErrRefused) || errors.Is(err, issuer.ErrReused) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	k.mustRefresh(third.Refresh, phone)
}

func TestMangledRefreshTokensAreRefused(t *testing.T) {
	k := newKit(t, func(c *issuer.Config) { c.Limits.TriesPerAddress.Burst = 1e6; c.Limits.TriesPerAddress.Every = 1 })
	good := k.login("ann@example.com", phone).Refresh
	bad := []string{good + "A", good + "=", "\n" + good, strings.Repeat("A", len(good)), strings.Repeat("A", 1e6)}
	for i := range good {
		bad = append(bad, good[:i])
		for _, c := range "Az0-_ =" {
			if changed := good[:i] + string(c) + good[i+1:]; changed != good {
				bad = append(bad, changed)
			}
		}
	}
	for _, refresh := range bad {
		if _, err := k.refresh(refresh, phone); !errors.Is(err, issuer.ErrRefused) {
			t.Errorf("%q: %v", refresh, err)
		}
	}
	k.mustRefresh(good, phone)
}

func TestUnusedLineExpires(t *testing.T) {
	k := newKit(t)
	tokens := k.login("ann@example.com", phone)
	k.clock.Pass(89 * 24 * time.Hour)
	tokens = k.mustRefresh(tokens.Refresh, phone)
	k.clock.Pass(90 * 24 * time.Hour)
	_, err := k.refresh(tokens.Refresh, phone)
	isRefused(t, err)
}

func TestRefreshGoesOnAfterAStart(t *testing.T) {
	k := newKit(t)
	first := k.login("ann@example.com", phone)
	second := k.mustRefresh(first.Refresh, phone)
	k.close()
	k.open()
	k.mustRefresh(second.Refresh, phone)
	_, err := k.refresh(first.Refresh, phone)
	isRefused(t, err)
}

func TestDeviceUsedLongestAgoIsLoggedOut(t *testing.T) {
	k := newKit(t, func(c *issuer.Config) { c.Limits.Devices = 2 })
	first := k.login("ann@example.com", phone)
	k.clock.Pass(time.Minute)
	second := k.login("ann@example.com", laptop)
	k.clock.Pass(time.Minute)
	first = k.mustRefresh(first.Refresh, phone)
	k.clock.Pass(-time.Hour) // a clock set back must not log out the newest
	third := k.login("ann@example.com", key("3"))
	k.mustRefresh(first.Refresh, phone)
	k.mustRefresh(third.Refresh, key("3"))
	_, err := k.refresh(second.Refresh, laptop)
	isRefused(t, err)
}

func TestTokensOfAnotherIssuersSecretAreRefused(t *testing.T) {
	k := newKit(t)
	refresh := k.login("ann@example.com", phone).Refresh
	k.close()
	k.c.Secret = must(issuer.NewSecret([]byte(strings.Repeat("t", 32))))
	k.open()
	_, err := k.refresh(refresh, phone)
	isRefused(t, err)
}

func FuzzRefresh(f *testing.F) {
	k, err := issuer.Open(issuer.Config{
		Name: name, Chatd: chatd, Vault: vault, Key: key("i"), Secret: must(issuer.NewSecret([]byte(strings.Repeat("s", 32)))),
		Store: filepath.Join(f.TempDir(), "issuer.db"), Allow: []string{"*"}, Sender: &inbox{},
		Limits: issuer.Limits{TriesPerAddress: limit.Rate{Burst: 1e9, Every: 1}},
	})
	if err != nil {
		f.Fatal(err)
	}
	defer k.Close(context.Background())
	f.Add("", []byte{})
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 52)), make([]byte, 64))
	f.Fuzz(func(t *testing.T, refresh string, proof []byte) {
		if _, err := k.Refresh(context.Background(), home, refresh, proof); err == nil {
			t.Errorf("%q gives tokens", refresh)
		}
	})
}
