package chatd_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keepsake.example/chatd"
	"keepsake.example/chatd/limit"
	"keepsake.example/token"
)

func TestRelaysTheSealedBlockUnchanged(t *testing.T) {
	k := newKit(t, 1)
	g := k.send("ann")
	k.expect(g, http.StatusOK, "")
	if !bytes.Equal(g.body, reply) || g.header.Get("Content-Type") != octets || g.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d bytes, %v", len(g.body), g.header)
	}
	v := k.vaults[0]
	if v.count() != 1 || !bytes.Equal(v.got[0], request) {
		t.Error("the vault got something else")
	}
	if v.clients[0] != chatd.PinOf(must(chatd.MakeCertificate(key("c"), time.Now())).Leaf) {
		t.Error("the vault saw another client certificate")
	}
}

// A refusal inside the sealed block and a success look alike: chatd adds
// nothing that depends on what it carried.
func TestAnswersHaveOneShape(t *testing.T) {
	k := newKit(t, 1)
	first := k.send("ann")
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte{0}, 4096)) })
	second := k.send("ann")
	first.header.Del("Date")
	second.header.Del("Date")
	if len(first.body) != len(second.body) || !slices.EqualFunc([]http.Header{first.header}, []http.Header{second.header}, func(a, b http.Header) bool {
		return len(a) == len(b) && a.Get("Content-Length") == b.Get("Content-Length") && a.Get("Content-Type") == b.Get("Content-Type")
	}) {
		t.Errorf("%v and %v", first.header, second.header)
	}
}

func TestOtherSizesAreRefused(t *testing.T) {
	k := newKit(t, 1)
	// Before it has seen the server's settings, a client's transport may send more
	// than they allow, and is cut off.
	k.do(http.MethodGet, "/v1/bundle", nil)
	auth := "Bearer " + k.token("ann")
	for n, want := range map[int]struct {
		status int
		word   string
	}{0: {400, "format"}, 1: {400, "format"}, 8191: {400, "format"}, 8193: {413, "size"}, 1 << 20: {413, "size"}} {
		g := k.do(http.MethodPost, "/v1/vault", make([]byte, n), "Content-Type", octets, "Authorization", auth)
		k.expect(g, want.status, want.word)
	}
	k.expect(k.do(http.MethodPost, "/v1/vault", request, "Content-Type", "text/plain", "Authorization", auth), 415, "type")
	k.expect(k.do(http.MethodPost, "/v1/vault", request, "Authorization", auth), 415, "type")
	if k.vaults[0].count() != 0 {
		t.Error("something was relayed")
	}
}

func TestOnlyAGoodTokenIsRelayed(t *testing.T) {
	k := newKit(t, 1)
	late := k.token("ann")
	evil := must(token.NewSigner(name, key("e")))
	forged := must(evil.Sign(token.Grant{Subject: "ann", Audience: aud, Key: public(phone), Issued: k.clock.Now(), Life: time.Minute}))
	for what, headers := range map[string][]string{
		"none":             nil,
		"empty":            {"Authorization", ""},
		"no scheme":        {"Authorization", k.token("ann")},
		"another scheme":   {"Authorization", "Basic " + k.token("ann")},
		"for the vault":    {"Authorization", "Bearer " + k.tokenFor("ann", vault)},
		"forged":           {"Authorization", "Bearer " + forged},
		"two":              {"Authorization", "Bearer " + k.token("ann"), "Authorization", "Bearer " + k.token("eve")},
		"oversized":        {"Authorization", "Bearer " + strings.Repeat("x", 5000)},
		"two spaces":       {"Authorization", "Bearer  " + k.token("ann")},
		"something behind": {"Authorization", "Bearer " + k.token("ann") + " x"},
	} {
		t.Run(what, func(t *testing.T) {
			g := k.do(http.MethodPost, "/v1/vault", request, append(headers, "Content-Type", octets)...)
			k.expect(g, 401, "token")
			if !strings.HasPrefix(g.header.Get("WWW-Authenticate"), "Bearer") {
				t.Error(g.header)
			}
		})
	}
	k.clock.Pass(11*time.Minute + time.Second)
	k.expect(k.do(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+late), 401, "token")
	if k.vaults[0].count() != 0 {
		t.Error("something was relayed")
	}
}

func TestDeadVaultIsPassedOver(t *testing.T) {
	k := newKit(t, 3)
	k.vaults[0].Close()
	k.vaults[1].serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for range 3 {
		k.expect(k.send("ann"), 200, "")
	}
	if n := k.vaults[1].count(); n != 1 {
		t.Errorf("the busy one was asked %d times: the one that answers should be asked first", n)
	}
	if k.vaults[2].count() != 3 || !bytes.Equal(k.vaults[2].got[0], request) {
		t.Error("not the same bytes")
	}
}

func TestTriesEndAndTellTheClientToRepeat(t *testing.T) {
	k := newKit(t, 2)
	for _, v := range k.vaults {
		v.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	}
	g := k.send("ann")
	k.expect(g, 503, "vault")
	if g.header.Get("Retry-After") != "1" {
		t.Error(g.header)
	}
	if n := k.vaults[0].count() + k.vaults[1].count(); n != 4 {
		t.Errorf("%d tries", n)
	}
}

func TestStatusShowsEveryVault(t *testing.T) {
	k := newKit(t, 2)
	k.vaults[0].Close()
	k.expect(k.send("ann"), 200, "")
	code, text := k.look("/status")
	var st chatd.Status
	if err := json.Unmarshal([]byte(text), &st); err != nil || code != 200 {
		t.Fatalf("%d %s: %v", code, text, err)
	}
	if !st.Relay || !st.Issuer || len(st.Vaults) != 2 {
		t.Fatalf("%+v", st)
	}
	gone, good := st.Vaults[0], st.Vaults[1]
	if !gone.Away || gone.Why == "" || gone.Current || gone.Since.IsZero() || gone.Tries != 1 || gone.Failed != 1 || gone.URL != k.vaults[0].URL {
		t.Errorf("%+v", gone)
	}
	if good.Away || good.Why != "" || !good.Current || good.Tries == 0 || good.Failed != 0 || good.Request <= 0 {
		t.Errorf("%+v", good)
	}
	k.expect(k.send("ann"), 200, "")
	_, text = k.look("/metrics")
	for _, want := range []string{`chatd_vault_up{vault="0"} 0`, `chatd_vault_up{vault="1"} 1`, `chatd_vault_away_total{vault="0"} 1`, `chatd_tries_total{outcome="failed",vault="0"} 1`, `chatd_relays_total{outcome="answered"} 2`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

// A server that serves probes, without any client.
func TestServerProbesItsVaults(t *testing.T) {
	k := newKit(t, 2, func(k *kit) { k.c.Limits.ProbeEvery, k.c.Limits.PassOver = 10*time.Millisecond, 10*time.Millisecond })
	k.vaults[0].Close()
	for {
		st := k.server.Status().Vaults
		if st[0].Away && !st[1].Away && st[1].Probe > 0 {
			break
		}
		runtime.Gosched()
	}
	if k.vaults[1].count() != 0 {
		t.Error("a probe is a request")
	}
}

// An outage must not multiply the load.
func TestRetriesHaveABudgetOfTheirOwn(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.Retries = limit.Rate{Burst: 5, Every: time.Hour} })
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for range 10 {
		k.expect(k.send("ann"), 503, "vault")
	}
	if n := k.vaults[0].count(); n != 15 {
		t.Errorf("%d tries for 10 requests", n)
	}
}

func TestVaultWithAnotherKeyGetsNothing(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Relay.Vaults[0].Pin[0] ^= 1 })
	k.expect(k.send("ann"), 503, "vault")
	if k.vaults[0].count() != 0 {
		t.Error("it got the request")
	}
	if !strings.Contains(k.logs.String(), "another key than the pinned one") {
		t.Error("nobody was told")
	}
}

func TestAnswersOfAnotherSizeAreNotPassedOn(t *testing.T) {
	for _, n := range []int{0, 4095, 4097, 1 << 20} {
		k := newKit(t, 1)
		k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, n)) })
		k.expect(k.send("ann"), 502, "vault")
	}
}

func TestUnknownChannelKeyBringsANewBundle(t *testing.T) {
	k := newKit(t, 1)
	bundle := func() string { return string(k.do(http.MethodGet, "/v1/bundle", nil).body) }
	for range 2 {
		if got := bundle(); got != "bundle 1" {
			t.Errorf("got %q", got)
		}
	}
	k.clock.Pass(2 * time.Second)
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	k.expect(k.send("ann"), 404, "key")
	if got := bundle(); got != "bundle 2" {
		t.Errorf("got %q", got)
	}
	k.clock.Pass(30 * time.Second)
	if got := bundle(); got != "bundle 3" {
		t.Errorf("got %q", got)
	}
	k.vaults[0].Close()
	k.clock.Pass(time.Hour)
	if got := bundle(); got != "bundle 3" {
		t.Errorf("without a vault: %q", got)
	}
}

func TestRequestThatDoesNotOpenIsTheClientsMistake(t *testing.T) {
	k := newKit(t, 2)
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	k.expect(k.send("ann"), 400, "format")
	if k.vaults[1].count() != 0 {
		t.Error("it was tried again")
	}
}

func TestAccountsAreLimitedEach(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.PerAccount = limit.Rate{Burst: 3, Every: 10 * time.Second} })
	for range 3 {
		k.expect(k.send("ann"), 200, "")
	}
	g := k.send("ann")
	k.expect(g, 429, "rate")
	if g.header.Get("Retry-After") != "10" {
		t.Error(g.header)
	}
	k.expect(k.send("eve"), 200, "")
	k.clock.Pass(10 * time.Second)
	k.expect(k.send("ann"), 200, "")
}

func TestAddressesAreLimited(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.PerAddress = limit.Rate{Burst: 3, Every: 500 * time.Millisecond} })
	for _, path := range []string{"/v1/bundle", "/v1/jwks.json", "/nothing"} {
		k.do(http.MethodGet, path, nil)
	}
	g := k.send("ann")
	k.expect(g, 429, "rate")
	if g.header.Get("Retry-After") != "1" {
		t.Error(g.header)
	}
}

func TestTooManyAtOnceAreTurnedAway(t *testing.T) {
	k := newKit(t, 1, func(k *kit) { k.c.Limits.Relays = 2 })
	arrived, release := make(chan bool), make(chan bool)
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- true
		<-release
		w.Write(reply)
	})
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if g, err := k.try(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+k.token("ann")); err != nil || g.status != 200 {
				t.Errorf("%+v, %v", g, err)
			}
		})
		<-arrived
	}
	g := k.send("ann")
	k.expect(g, 503, "busy")
	if g.header.Get("Retry-After") != "1" {
		t.Error(g.header)
	}
	close(release)
	all.Wait()
}

func TestSlowVaultIsGivenUp(t *testing.T) {
	// A busy machine answers within that, or the next time that it is asked.
	k := newKit(t, 2, func(k *kit) { k.c.Limits.TryTimeout, k.c.Limits.Tries = 2*time.Second, 8 })
	stop := make(chan bool)
	k.vaults[0].serve(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	k.expect(k.send("ann"), 200, "")
	close(stop)
	if k.vaults[0].count() == 0 || k.vaults[1].count() == 0 {
		t.Error("not both were asked")
	}
}

func TestAuditHasALineForEachRelayedRequest(t *testing.T) {
	k := newKit(t, 2)
	k.expect(k.send("ann"), 200, "")
	for _, v := range k.vaults {
		v.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	}
	k.expect(k.send("ann"), 404, "key")
	for _, v := range k.vaults {
		v.Close()
	}
	k.expect(k.send("eve"), 503, "vault")
	lines := k.audited()
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, want := range []string{"answered", "key", "unanswered"} {
		if lines[i]["outcome"] != want || lines[i]["event"] != "relay" || lines[i]["request"] != hexOf(request) {
			t.Errorf("line %d: %v", i, lines[i])
		}
	}
	if lines[0]["answer"] != hexOf(reply) || lines[1]["answer"] != nil || lines[2]["vault"] != float64(-1) {
		t.Errorf("%v", lines)
	}
	if lines[0]["account"] != k.c.Names.Account(name, "ann") || lines[0]["account"] == lines[2]["account"] {
		t.Error("accounts cannot be told apart")
	}
}

func TestNoAuditLineNoAnswer(t *testing.T) {
	k := newKit(t, 1)
	if err := k.c.Audit.Close(); err != nil {
		t.Fatal(err)
	}
	g := k.send("ann")
	k.expect(g, 503, "audit")
	if bytes.Contains(g.body, []byte("aaaa")) {
		t.Error("the answer left")
	}
}

// The whole way of a relayed request but the vault's work: TLS on both sides,
// token, limits, audit line on the disk. 64 clients at once.
func BenchmarkRelay(b *testing.B) {
	k := newKit(b, 1, func(k *kit) {
		k.c.Limits.PerAccount.Burst, k.c.Limits.PerAddress.Burst, k.c.Limits.Streams = -1, -1, 250
	})
	auth := "Bearer " + k.token("ann")
	b.SetParallelism(32)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if g, err := k.try(http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", auth); err != nil || g.status != 200 {
				b.Errorf("%+v, %v", g, err)
				return
			}
		}
	})
}
