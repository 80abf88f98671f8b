package chatd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"keepsake.example/chatd/limit"
)

// api is doc/chatd-openapi.yaml, and which of its answers were seen.
type api struct {
	t      *testing.T
	doc    *openapi3.T
	router routers.Router
	seen   map[string]bool
}

func loadAPI(t *testing.T) *api {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../doc/chatd-openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return &api{t, doc, must(gorillamux.NewRouter(doc)), make(map[string]bool)}
}

// call sends a request and holds the answer, and the request where it
// succeeded, against the document.
func (a *api) call(k *kit, want int, method, path string, body []byte, header ...string) *got {
	a.t.Helper()
	g := k.do(method, path, body, header...)
	if g.status != want {
		a.t.Fatalf("%s %s: %d %s, want %d", method, path, g.status, g.body, want)
	}
	req := must(http.NewRequest(method, "https://chat.example"+path, bytes.NewReader(body)))
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	route, params, err := a.router.FindRoute(req)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, path, err)
	}
	in := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	if g.status < 400 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			a.t.Errorf("%s %s: %v", method, path, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: g.status, Header: g.header, Body: io.NopCloser(bytes.NewReader(g.body)), Options: in.Options}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		a.t.Errorf("%s %s %d: %v", method, path, g.status, err)
	}
	a.seen[method+" "+route.Path+" "+http.StatusText(g.status)] = true
	return g
}

func (a *api) json(k *kit, want int, path string, v any) *got {
	a.t.Helper()
	return a.call(k, want, http.MethodPost, path, must(json.Marshal(v)), "Content-Type", "application/json")
}

func (a *api) relay(k *kit, want int) {
	a.t.Helper()
	a.call(k, want, http.MethodPost, "/v1/vault", request, "Content-Type", octets, "Authorization", "Bearer "+k.token("ann"))
}

var (
	posts = []string{"/v1/login", "/v1/login/" + strings.Repeat("0", 32), "/v1/token"}
	gets  = []string{"/v1/bundle", "/v1/jwks.json", "/.well-known/openid-configuration"}
)

// Every route with every status of the document, on a running server; nothing is
// answered that the document does not have, and it has nothing that is not.
func TestOpenAPIDocumentIsWhatTheServerDoes(t *testing.T) {
	a := loadAPI(t)
	k := newKit(t, 1)
	a.succeed(k)
	a.refuse(k)
	a.breakDown()
	for path, item := range a.doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for status := range operation.Responses.Map() {
				if at := method + " " + path + " " + http.StatusText(atoi(status)); !a.seen[at] {
					t.Errorf("not seen: %s", at)
				}
			}
		}
	}
}

func atoi(s string) (n int) {
	must(0, json.Unmarshal([]byte(s), &n))
	return n
}

func (a *api) succeed(k *kit) {
	a.relay(k, 200)
	for _, path := range gets {
		a.call(k, 200, http.MethodGet, path, nil)
	}
	var started struct{ Login string }
	must(0, json.Unmarshal(a.json(k, 202, "/v1/login", map[string]string{"handle": "ann@example.com", "key": b64(public(phone))}).body, &started))
	g := a.json(k, 200, "/v1/login/"+started.Login, k.codeBody(started.Login, (<-k.inbox.messages).Code))
	refresh, _, _ := k.tokens(g)
	a.json(k, 200, "/v1/token", refreshBody(refresh))
}

func (a *api) refuse(k *kit) {
	auth := []string{"Content-Type", octets, "Authorization", "Bearer " + k.token("ann")}
	a.call(k, 400, http.MethodPost, "/v1/vault", request[1:], auth...)
	a.call(k, 401, http.MethodPost, "/v1/vault", request, "Content-Type", octets)
	a.call(k, 413, http.MethodPost, "/v1/vault", append(request, 'x'), auth...)
	a.call(k, 415, http.MethodPost, "/v1/vault", request, auth[2:]...)
	for _, path := range posts {
		a.call(k, 400, http.MethodPost, path, []byte("{}"), "Content-Type", "application/json")
		a.call(k, 413, http.MethodPost, path, make([]byte, 4096), "Content-Type", "application/json")
		a.call(k, 415, http.MethodPost, path, nil)
	}
	a.json(k, 403, posts[1], k.codeBody(strings.Repeat("0", 32), "12345678"))
	a.json(k, 403, "/v1/token", refreshBody("x"))
	a.json(k, 404, "/v1/login/x", nil)
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	a.relay(k, 404)
	k.vaults[0].serve(func(w http.ResponseWriter, _ *http.Request) {})
	a.relay(k, 502)
}

// all sends something to every route.
func (a *api) all(k *kit, want int) {
	a.relay(k, want)
	for _, path := range gets {
		a.call(k, want, http.MethodGet, path, nil)
	}
	a.steps(k, want)
}

func (a *api) steps(k *kit, want int) {
	a.json(k, want, "/v1/login", map[string]string{"handle": "bob@example.com", "key": b64(public(phone))})
	a.json(k, want, posts[1], k.codeBody(strings.Repeat("0", 32), "12345678"))
	a.json(k, want, "/v1/token", refreshBody("x"))
}

func (a *api) breakDown() {
	limited := newKit(a.t, 1, func(k *kit) { k.c.Limits.PerAddress = limit.Rate{Burst: 1, Every: time.Hour} })
	limited.do(http.MethodGet, "/", nil)
	a.all(limited, 429)

	down := newKit(a.t, 1, func(k *kit) { k.vaults[0].Close() })
	a.relay(down, 503)
	a.call(down, 503, http.MethodGet, "/v1/bundle", nil)
	must(0, down.c.Audit.Close())
	a.steps(down, 503)

	a.all(buggy(a.t), 500)
}

// buggy is a server whose clock panics, in the handlers.
func buggy(t *testing.T) *kit {
	return newKit(t, 1, func(k *kit) {
		k.c.Now = func() time.Time { panic("a secret: 12345678") }
	})
}

func TestPanicIsAnAnswerAndItsValueIsNotLogged(t *testing.T) {
	k := buggy(t)
	k.expect(k.do(http.MethodGet, "/v1/jwks.json", nil), 500, "internal")
	if log := k.logs.String(); !strings.Contains(log, "internal error") || !strings.Contains(log, "chatd.(*Server)") || strings.Contains(log, "12345678") {
		t.Error(log)
	}
	k.expect(k.do(http.MethodGet, "/v1/jwks.json", nil), 500, "internal")
}
