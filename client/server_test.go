package client_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"keepsake.example/client"
)

// One logs in with the issuer itself: a relay that stood between could put a key of
// its own in the place of the device's (spec/vault-protocol.md §8.1).
func TestLogsInWithTheIssuerAndNotThroughTheRelay(t *testing.T) {
	p := newPerson(t)
	issuer := p.server.HTTP
	relay := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1/login") || r.URL.Path == "/v1/token" {
			t.Errorf("the relay was sent %s", r.URL.Path)
		}
		issuer.Config.Handler.ServeHTTP(w, r)
	}))
	relay.EnableHTTP2 = true
	relay.StartTLS()
	defer relay.Close()
	a := p.access()
	a.Server.Issuer, a.Server.URL = a.Server.URL, relay.URL
	again, err := client.ParseServer(a.Server.Card())
	if err != nil || !reflect.DeepEqual(again, a.Server) {
		t.Fatalf("%+v, %v", again, err)
	}
	st, err := p.device().Login(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(st.Server, a.Server) {
		t.Errorf("the profile keeps %+v", st.Server)
	}
	for _, bad := range []string{"http://issuer.example", "https://", "issuer"} {
		text := strings.Replace(string(a.Server.Card()), a.Server.Issuer, bad, 1)
		if _, err := client.ParseServer([]byte(text)); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
}
