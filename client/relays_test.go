package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"keepsake.example/client"
	"keepsake.example/client/clienttest"
	"keepsake.example/fleet"
	"keepsake.example/password"
	"keepsake.example/vaultapi"
)

// front is one chatd of several, before the vault of a person.
type front struct {
	*httptest.Server
	mu    sync.Mutex
	fault http.HandlerFunc // in place of the way to the vault; nil: none
	after http.HandlerFunc // what the client is given when the vault has answered
	got   [][]byte         // sealed requests
	asked []string         // paths
}

func (f *front) set(fault http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *front) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// fronts puts n chatds before the person's vault, and gives a card with all of
// them. One logs in at the issuer, which is none of them.
func (p *person) fronts(n int) ([]*front, client.Access) {
	p.t.Helper()
	way := p.server.HTTP.Config.Handler
	a := p.access()
	a.Server.Issuer = a.Server.URL
	var all []*front
	var urls []string
	for range n {
		f := &front{}
		f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			f.mu.Lock()
			f.asked = append(f.asked, r.URL.Path)
			if r.URL.Path == "/v1/vault" {
				f.got = append(f.got, body)
			}
			fault, after := f.fault, f.after
			f.mu.Unlock()
			if fault != nil {
				fault(w, r)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if after != nil && r.URL.Path == "/v1/vault" {
				way.ServeHTTP(httptest.NewRecorder(), r)
				after(w, r)
				return
			}
			way.ServeHTTP(w, r)
		}))
		f.EnableHTTP2 = true
		f.StartTLS()
		p.t.Cleanup(f.Close)
		all, urls = append(all, f), append(urls, f.URL)
	}
	a.Server.URL, a.Server.Others = urls[0], urls[1:]
	return all, a
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		http.Error(w, `{"error":"vault"}`, code)
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// Whatever is wrong with a chatd, the next one carries the same request.
func TestNextServerIsAsked(t *testing.T) {
	for name, fault := range map[string]http.HandlerFunc{
		"503": status(503, "Retry-After", "1"), "502": status(502), "500": status(500), "503 for long": status(503, "Retry-After", "3600"),
		"lost": hangUp, "garbage": func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 5000)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPerson(t)
			p.enable(right)
			fronts, a := p.fronts(3)
			fronts[0].set(fault)
			if name == "garbage" {
				fronts[0].set(nil)
				fronts[0].after = fault
			}
			r, err := p.device().Recover(ctx, a, typed(right), client.RecoverOptions{})
			if err != nil {
				t.Fatal(err)
			}
			r.Key.Wipe()
			if fronts[2].count() != 0 {
				t.Error("the third was asked too")
			}
			if name != "garbage" && fronts[0].count() != 1 {
				t.Errorf("the first was asked %d times: the one that answered is to be asked first", fronts[0].count())
			}
		})
	}
}

// The answer is lost on the way, after the vault has counted. The next server is
// given the same bytes, and the vault counts once.
func TestSameBytesAtTheNextServerCountOnce(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	fronts, a := p.fronts(2)
	fronts[0].after = hangUp
	_, err := p.device().Recover(ctx, a, typed(other), client.RecoverOptions{})
	wants(t, err, client.ErrWrongPassword)
	if left(err) != 9 {
		t.Errorf("%d attempts left", left(err))
	}
	if len(fronts[0].got) == 0 || !bytes.Equal(fronts[0].got[0], fronts[1].got[0]) {
		t.Error("not the same bytes")
	}
}

func TestServerThatAnsweredIsRemembered(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	fronts, a := p.fronts(3)
	fronts[0].Close()
	if _, err := p.device().VaultStatus(ctx, a); err != nil {
		t.Fatal(err)
	}
	st, err := p.device().VaultState()
	if err != nil || st.Near != fronts[1].URL {
		t.Fatalf("%+v, %v", st, err)
	}
	fronts[1].Close()
	before := fronts[2].count()
	a.Server = nil // as the profile knows it
	if _, err := p.device().VaultStatus(ctx, a); err != nil {
		t.Fatal(err)
	}
	if st, err = p.device().VaultState(); err != nil || st.Near != fronts[2].URL || fronts[2].count() == before {
		t.Errorf("%+v, %v", st, err)
	}
	// A new card without that server: the hint leads nowhere, and does no harm.
	a.Server = p.access().Server
	if _, err := p.device().VaultStatus(ctx, a); err != nil {
		t.Error(err)
	}
}

// A person is told that nobody can be reached when all were tried, twice, and how
// many there are; the request may have arrived only if one of them took it.
func TestUnreachableOnlyWhenAllAre(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	fronts, a := p.fronts(5)
	for _, f := range fronts {
		f.set(status(503, "Retry-After", "1"))
	}
	_, err := p.device().VaultStatus(ctx, a)
	wants(t, err, client.ErrNotCounted)
	for i, f := range fronts {
		if f.count() != 2 {
			t.Errorf("%d was asked %d times", i, f.count())
		}
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "cannot be reached: none of 5 servers answers") {
		t.Error(text)
	}
	for _, f := range fronts {
		f.Close()
	}
	_, err = p.device().Recover(ctx, a, typed(right), client.RecoverOptions{})
	if lost, ok := errors.AsType[*client.NotCountedError](err); !ok || lost.Sent {
		t.Errorf("%v", err)
	}
}

// A limit is not got round by asking the next server, and a busy vault is the same
// vault behind each.
func TestLimitsHoldForAllServers(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	fronts, a := p.fronts(2)
	fronts[0].set(status(429, "Retry-After", "2"))
	_, err := p.device().VaultStatus(ctx, a)
	wants(t, err, client.ErrNotCounted)
	fronts[0].set(status(429, "Retry-After", "3600"))
	_, err = p.device().VaultStatus(ctx, a)
	wants(t, err, client.ErrRefused)
	if fronts[1].count() != 0 {
		t.Error("the next server was asked")
	}
	fronts[0].set(nil)
	p.server.Lie = func(_ vaultapi.Type, a *vaultapi.Answer) { *a = vaultapi.Answer{Code: vaultapi.Busy, Time: a.Time} }
	_, err = p.device().VaultStatus(ctx, a)
	wants(t, err, client.ErrNotCounted)
	if fronts[1].count() != 0 {
		t.Error("the next server was asked for a busy vault")
	}
}

// One chatd still has last week's bundle: another one's is taken. When all have it,
// somebody turns time back.
func TestOlderBundleAtOneServer(t *testing.T) {
	p := newPerson(t)
	old := p.server.SignedBundle()
	p.server.Rotate()
	p.enable(right)
	fronts, a := p.fronts(2)
	stale := func(w http.ResponseWriter, _ *http.Request) { w.Write(old) }
	fronts[0].set(stale)
	if _, err := p.device().VaultStatus(ctx, a); err != nil {
		t.Errorf("one of two: %v", err)
	}
	fronts[1].set(stale)
	_, err := p.device().VaultStatus(ctx, a)
	wants(t, err, password.ErrDishonest)
	wants(t, err, fleet.ErrStale)
	fronts[0].Close()
	_, err = p.device().VaultStatus(ctx, a)
	wants(t, err, password.ErrDishonest)
}

func TestCardWithSeveralServers(t *testing.T) {
	id := strings.Repeat("ab", 32)
	card := func(others string) string {
		return `{"url":"https://a.example","others":` + others + `,"fleet":"` + id + `"}`
	}
	s, err := client.ParseServer([]byte(card(`["https://b.example/","https://c.example:8443"]`)))
	if err != nil || !reflect.DeepEqual(s.Others, []string{"https://b.example", "https://c.example:8443"}) || s.Host() != "a.example" {
		t.Fatalf("%+v, %v", s, err)
	}
	again, err := client.ParseServer(s.Card())
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("%+v, %v", again, err)
	}
	// A card of before is one with no others, and is written as it was.
	one, err := client.ParseServer([]byte(`{"url":"https://a.example","fleet":"` + id + `"}`))
	if err != nil || one.Others != nil || strings.Contains(string(one.Card()), "others") {
		t.Errorf("%+v, %v", one, err)
	}
	many := strings.Repeat(`"https://b.example",`, 8)
	for _, bad := range []string{`["http://b.example"]`, `[""]`, `"https://b.example"`, `[` + strings.TrimSuffix(many, ",") + `]`} {
		if _, err := client.ParseServer([]byte(card(bad))); !errors.Is(err, client.ErrServer) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// The vault is lost for good: the device leaves it for another one, and not before
// that one has shown itself.
func TestLeavesAVaultThatIsLost(t *testing.T) {
	p := newPerson(t)
	p.enable(right)
	old, err := p.device().VaultState()
	if err != nil {
		t.Fatal(err)
	}
	p.server.HTTP.Close()
	p.server = clienttest.New(t)
	a := p.access()
	_, err = p.device().SetPassword(ctx, a, typed(other), client.ProtectOptions{})
	wants(t, err, client.ErrServer)
	a.Leave = true
	p.server.Bundle = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	_, err = p.device().SetPassword(ctx, a, typed(other), client.ProtectOptions{})
	wants(t, err, password.ErrDishonest)
	if st, err := p.device().VaultState(); err != nil || st.Record != old.Record || st.Server.Fleet != old.Server.Fleet {
		t.Errorf("it left for a vault that lies: %+v, %v", st, err)
	}
	p.server.Bundle = nil
	if _, err := p.device().SetPassword(ctx, a, typed(other), client.ProtectOptions{}); err != nil {
		t.Fatal(err)
	}
	if !p.restores(other) || p.restores(right) {
		t.Error("not the new password opens the new record, or the old one does")
	}
}
