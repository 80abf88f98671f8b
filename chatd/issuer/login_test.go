package issuer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/chatd/issuer"
	"keepsake.example/chatd/limit"
	"keepsake.example/token"
)

var phone, laptop = key("p"), key("l")

func TestLoginGivesTokensForBothAudiencesBoundToTheDevice(t *testing.T) {
	k := newKit(t)
	tokens := k.login("ann@example.com", phone)
	for audience, raw := range map[string]string{chatd: tokens.Chatd, vault: tokens.Vault} {
		c := k.claims(raw, audience)
		if c.Issuer != name || c.Subject != tokens.Subject || !c.Bound || c.Thumbprint != token.Thumbprint(public(phone)) {
			t.Errorf("%s: %+v", audience, c)
		}
		if want := k.clock.Now().Add(10 * time.Minute); !c.Expires.Equal(want) || !tokens.Expires.Equal(want) {
			t.Errorf("%s: expires %v, told %v", audience, c.Expires, tokens.Expires)
		}
	}
}

func TestCodesAreEightDigits(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	if !regexp.MustCompile(`^[0-9]{8}$`).MatchString(code) || id == [16]byte{} {
		t.Errorf("code %q, login %x", code, id)
	}
}

func TestSubjectIsRandomAndStaysWithTheHandle(t *testing.T) {
	k := newKit(t)
	first := k.login("ann@example.com", phone).Subject
	if other := k.login("eve@example.com", phone).Subject; other == first || strings.Contains(first, "ann") || len(first) < 20 {
		t.Errorf("subjects %q and %q", first, other)
	}
	k.close()
	k.open() // a start in between
	if again := k.login("Ann@Example.COM", laptop).Subject; again != first {
		t.Errorf("became %q from %q", again, first)
	}
}

func TestCodeIsGoodOnce(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	first, err := k.redeem(id, code, phone)
	if err != nil {
		t.Fatal(err)
	}
	// The answer was lost: the same device asks again and gets the same line.
	again, err := k.redeem(id, code, phone)
	if err != nil || again.Refresh != first.Refresh {
		t.Fatalf("%v, %v", again, err)
	}
	_, err = k.redeem(id, code, laptop)
	isRefused(t, err)
	k.mustRefresh(first.Refresh, phone)
	_, err = k.redeem(id, code, phone)
	isRefused(t, err)
}

func TestCodeLeadsToOneLineForManyAtOnce(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	var lines sync.Map
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if got, err := k.redeem(id, code, phone); err == nil {
				lines.Store(got.Refresh, true)
			}
		})
	}
	all.Wait()
	n := 0
	lines.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d lines", n)
	}
}

func TestCodeExpires(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	k.clock.Pass(10 * time.Minute)
	_, err := k.redeem(id, code, phone)
	isRefused(t, err)
}

func TestFiveWrongTriesEndALogin(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	for i := range 4 {
		_, err := k.redeem(id, wrong(code), phone)
		isRefused(t, err)
		if i == 1 { // a crash forgets no try
			k.close()
			k.open()
		}
	}
	second, again := k.begin("ann@example.com", phone)
	if _, err := k.redeem(second, again, phone); err != nil {
		t.Error("the tries of one login are not another's:", err)
	}
	_, err := k.redeem(id, wrong(code), phone)
	isRefused(t, err)
	_, err = k.redeem(id, code, phone)
	isRefused(t, err)
}

func TestFourWrongTriesLeaveOne(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	for range 4 {
		_, err := k.redeem(id, wrong(code), phone)
		isRefused(t, err)
	}
	if _, err := k.redeem(id, code, phone); err != nil {
		t.Error(err)
	}
}

func TestCodeOfAnotherLoginIsRefused(t *testing.T) {
	k := newKit(t)
	annsID, _ := k.begin("ann@example.com", phone)
	_, evesCode := k.begin("eve@example.com", phone)
	_, err := k.redeem(annsID, evesCode, phone)
	isRefused(t, err)
}

// Who reads the mail, but is not the device that asked, gets nothing.
func TestCodeWithoutTheDevicesProofIsRefused(t *testing.T) {
	k := newKit(t)
	id, code := k.begin("ann@example.com", phone)
	good := token.LoginMessage(name, id, code)
	for what, proof := range map[string][]byte{
		"none":           nil,
		"short":          make([]byte, 63),
		"another key":    ed25519.Sign(laptop, good),
		"another issuer": ed25519.Sign(phone, token.LoginMessage("https://evil.example", id, code)),
	} {
		_, err := k.Redeem(context.Background(), home, id, code, proof)
		if !errors.Is(err, issuer.ErrRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Nobody learns by asking whether a handle has, or may have, an account.
func TestUnknownHandleGetsTheSameAnswer(t *testing.T) {
	k := newKit(t)
	k.login("ann@example.com", phone)
	id, err := k.Login(context.Background(), home, "eve@elsewhere.example", public(phone))
	if err != nil || id == [16]byte{} {
		t.Fatalf("%x, %v", id, err)
	}
	_, err = k.redeem(id, "00000000", phone)
	isRefused(t, err)
	_, err = k.redeem([16]byte{1}, "00000000", phone)
	isRefused(t, err)
	k.close() // sends what waits
	if len(k.inbox.messages) != 0 {
		t.Error("a code was sent to somebody who may have no account")
	}
}

// The limits are the same too: a handle that is refused later than others
// would be one that is known.
func TestUnknownHandlesAreLimitedLikeOthers(t *testing.T) {
	for _, handle := range []string{"ann@example.com", "eve@elsewhere.example"} {
		k := newKit(t)
		n := 0
		for ; n < 20; n++ {
			if _, err := k.Login(context.Background(), home, handle, public(phone)); err != nil {
				break
			}
		}
		if n != 5 {
			t.Errorf("%s: %d logins", handle, n)
		}
	}
}

func TestWhoMayHaveAnAccount(t *testing.T) {
	for handle, want := range map[string]int{
		"ann@example.com": 1, "BOB@example.org": 1, "ann@example.org": 0, "ann@evilexample.com": 0, "ann@example.com.evil": 0, "bob@example.orgx": 0,
	} {
		k := newKit(t)
		if _, err := k.Login(context.Background(), home, handle, public(phone)); err != nil {
			t.Fatal(err)
		}
		k.close()
		if got := len(k.inbox.messages); got != want {
			t.Errorf("%s: %d messages", handle, got)
		}
	}
}

// Letters that only look like others, or turn into them in lower case: the
// Kelvin sign becomes a k. Such a handle was once enough to reset the password
// of another.
func TestHandlesAreASCII(t *testing.T) {
	for _, handle := range []string{"", "mi\u212ae@example.com", "ann@ex\u0430mple.com", "ann @example.com", "ann\r\nBcc: x@y", "\x00", "ann\x7f", strings.Repeat("a", 255)} {
		if _, err := issuer.Canonical(handle); !errors.Is(err, issuer.ErrFormat) {
			t.Errorf("%q: %v", handle, err)
		}
		if _, err := newKit(t).Login(context.Background(), home, handle, public(phone)); !errors.Is(err, issuer.ErrFormat) {
			t.Errorf("%q: login: %v", handle, err)
		}
	}
	if got, err := issuer.Canonical("Ann+x@Example.COM"); got != "ann+x@example.com" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add("Ann@example.com")
	f.Fuzz(func(t *testing.T, handle string) {
		once, err := issuer.Canonical(handle)
		if err != nil {
			return
		}
		if twice, err := issuer.Canonical(once); err != nil || twice != once || len(once) != len(handle) {
			t.Errorf("%q: %q, then %q, %v", handle, once, twice, err)
		}
	})
}

func limited(t *testing.T, err error, wait time.Duration) {
	t.Helper()
	var l *issuer.LimitError
	if !errors.As(err, &l) || l.Wait != wait {
		t.Errorf("got %v, want a wait of %v", err, wait)
	}
}

func TestLoginsAreLimitedByHandle(t *testing.T) {
	k := newKit(t)
	for i := range 5 {
		if _, err := k.Login(context.Background(), netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), "ann@example.com", public(phone)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := k.Login(context.Background(), home, "ANN@example.com", public(phone))
	limited(t, err, 12*time.Minute)
	k.clock.Pass(12 * time.Minute)
	if _, err := k.Login(context.Background(), home, "ann@example.com", public(phone)); err != nil {
		t.Error(err)
	}
}

func TestLoginsAreLimitedByAddress(t *testing.T) {
	for _, from := range []func(int) string{
		func(int) string { return "192.0.2.7" },
		func(int) string { return "::ffff:192.0.2.7" },
		func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i+1) }, // one household
	} {
		k := newKit(t)
		for i := range 10 {
			if _, err := k.Login(context.Background(), netip.MustParseAddr(from(i)), fmt.Sprintf("n%d@example.com", i), public(phone)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := k.Login(context.Background(), netip.MustParseAddr(from(11)), "x@example.com", public(phone))
		limited(t, err, 2*time.Minute)
		if _, err := k.Login(context.Background(), netip.MustParseAddr("2001:db8:1:3::1"), "x@example.com", public(phone)); err != nil {
			t.Error("another household:", err)
		}
	}
}

func TestLoginsAreLimitedInAll(t *testing.T) {
	k := newKit(t, func(c *issuer.Config) { c.Limits.InAll = limit.Rate{Burst: 2, Every: time.Second} })
	for i := range 2 {
		if _, err := k.Login(context.Background(), home, fmt.Sprintf("n%d@example.com", i), public(phone)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := k.Login(context.Background(), home, "x@example.com", public(phone))
	limited(t, err, time.Second)
}

func TestTriesAreLimitedByAddress(t *testing.T) {
	k := newKit(t)
	for range 30 {
		_, err := k.redeem([16]byte{1}, "00000000", phone)
		isRefused(t, err)
		_, err = k.refresh("x", phone)
		isRefused(t, err)
	}
	_, err := k.redeem([16]byte{1}, "00000000", phone)
	limited(t, err, time.Second)
	_, err = k.refresh("x", phone)
	limited(t, err, time.Second)
}

// stuck is a Sender whose server does not answer.
type stuck struct{ release chan struct{} }

func (s stuck) Send(context.Context, issuer.Message) error { <-s.release; return nil }

func TestFullQueueIsBusyForEveryHandle(t *testing.T) {
	s := stuck{make(chan struct{})}
	k := newKit(t, func(c *issuer.Config) { c.Sender = s; c.Limits.Queue = 3 })
	for i := range 3 {
		if _, err := k.Login(context.Background(), home, fmt.Sprintf("n%d@example.com", i), public(phone)); err != nil {
			t.Fatal(err)
		}
	}
	for _, handle := range []string{"ann@example.com", "eve@elsewhere.example"} {
		if _, err := k.Login(context.Background(), home, handle, public(phone)); !errors.Is(err, issuer.ErrBusy) {
			t.Errorf("%s: %v", handle, err)
		}
	}
	close(s.release)
}

func TestLogin_RefusesAKeyThatIsNone(t *testing.T) {
	for _, n := range []int{0, 31, 33} {
		if _, err := newKit(t).Login(context.Background(), home, "ann@example.com", make([]byte, n)); !errors.Is(err, issuer.ErrFormat) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestStoreHasNoHandleCodeOrToken(t *testing.T) {
	k := newKit(t)
	_, code := k.begin("ann@example.com", phone)
	tokens := k.login("ann@example.com", phone)
	k.close()
	files, err := filepath.Glob(k.c.Store + "*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		text := must(os.ReadFile(f))
		for what, secret := range map[string]string{"handle": "ann@", "code": code, "refresh token": tokens.Refresh, "token": tokens.Vault, "seed": string(k.c.Key.Seed()), "secret": strings.Repeat("s", 32)} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s has the %s", f, what)
			}
		}
		if mode := must(os.Stat(f)).Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", f, mode)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for what, change := range map[string]func(*issuer.Config){
		"no name":          func(c *issuer.Config) { c.Name = "" },
		"one audience":     func(c *issuer.Config) { c.Vault = c.Chatd },
		"no key":           func(c *issuer.Config) { c.Key = nil },
		"no secret":        func(c *issuer.Config) { c.Secret = issuer.Secret{} },
		"nobody":           func(c *issuer.Config) { c.Allow = nil },
		"no sender":        func(c *issuer.Config) { c.Sender = nil },
		"lasting codes":    func(c *issuer.Config) { c.Limits.CodeLife = 24 * time.Hour },
		"lasting tokens":   func(c *issuer.Config) { c.Limits.TokenLife = 2 * time.Hour },
		"no folder":        func(c *issuer.Config) { c.Store = filepath.Join(c.Store, "x", "y") },
		"repeat for a day": func(c *issuer.Config) { c.Limits.Repeat = 24 * time.Hour },
	} {
		k := newKit(t)
		c := k.c
		c.Store = filepath.Join(t.TempDir(), "other.db")
		change(&c)
		if i, err := issuer.Open(c); err == nil {
			t.Errorf("%s: accepted", what)
			i.Close(context.Background())
		}
	}
}

func TestSecretsPrintAsAWord(t *testing.T) {
	s := must(issuer.NewSecret(bytes.Repeat([]byte("s"), 32)))
	m := issuer.Message{Handle: "ann@example.com", Code: "12345678"}
	for _, v := range []any{s, &s, m, &m} {
		text := fmt.Sprintf("%v %+v %#v %s %x %q", v, v, v, v, v, v)
		if strings.Contains(text, "sss") || strings.Contains(text, "7373") || strings.Contains(text, "12345678") || strings.Contains(text, "ann") {
			t.Errorf("%T prints %s", v, text)
		}
	}
}
