package chatd

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"keepsake.example/chatd/limit"
	"keepsake.example/internal/crowd"
)

// visit is one request on its way, with what its log line will say.
type visit struct {
	from    netip.Addr
	account string // hashed, "" while not known
}

// A handler answers a request, or says why not before it has written anything.
type handler func(w http.ResponseWriter, r *http.Request, v *visit) *refusal

// Handler serves clients: the routes of the roles that this server has.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(method, pattern, name string, h handler) { mux.Handle(pattern, s.route(method, name, h)) }
	if s.relay != nil {
		handle(http.MethodPost, "/v1/vault", "vault", s.serveVault)
		handle(http.MethodGet, "/v1/bundle", "bundle", s.serveBundle)
	}
	if s.c.Issuer != nil {
		handle(http.MethodPost, "/v1/login", "login", s.serveLogin)
		handle(http.MethodPost, "/v1/login/{login}", "code", s.serveCode)
		handle(http.MethodPost, "/v1/token", "token", s.serveToken)
		handle(http.MethodGet, "/v1/jwks.json", "jwks", s.serveJWKS)
		handle(http.MethodGet, "/.well-known/openid-configuration", "discovery", s.serveDiscovery)
	}
	handle("", "/", "none", func(http.ResponseWriter, *http.Request, *visit) *refusal { return refPath })
	return mux
}

// route does for a route what all have in common.
func (s *Server) route(method, name string, h handler) http.Handler {
	seconds := s.m.seconds.WithLabelValues(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out := &answer{ResponseWriter: w, status: http.StatusOK}
		out.Header().Set("Cache-Control", "no-store")
		out.Header().Set("X-Content-Type-Options", "nosniff")
		v := &visit{}
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			v.from = from.Addr()
		}
		refused := s.guarded(h, method, out, r, v)
		if refused != nil {
			refused.write(out)
			s.m.refused.WithLabelValues(refused.reason()).Inc()
		}
		took := time.Since(began)
		seconds.Observe(took.Seconds())
		s.m.requests.WithLabelValues(name, strconv.Itoa(out.status)).Inc()
		s.logVisit(name, out.status, took, v, refused)
	})
}

func (s *Server) logVisit(name string, status int, took time.Duration, v *visit, refused *refusal) {
	attrs := []slog.Attr{slog.String("route", name), slog.Int("status", status), slog.Duration("took", took), slog.String("from", s.from(v))}
	if v.account != "" {
		attrs = append(attrs, slog.String("account", v.account))
	}
	if refused != nil {
		attrs = append(attrs, slog.String("refused", refused.reason()))
	}
	s.c.Log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}

// from names the client's network in logs.
func (s *Server) from(v *visit) string {
	return s.c.Names.name("address", crowd.Network(v.from).String())
}

// guarded runs a handler after the checks that every route has, and turns a
// panic into an answer: net/http would log its value, which can be anything.
func (s *Server) guarded(h handler, method string, w *answer, r *http.Request, v *visit) (refused *refusal) {
	defer func() {
		if p := recover(); p != nil {
			s.m.panics.Inc()
			s.c.Log.Error("internal error", "at", panicPlace())
			if refused = refBug; w.wrote {
				panic(http.ErrAbortHandler) // half an answer must not look like one
			}
		}
	}()
	if wait, ok := s.addresses.Allow(limit.Key(crowd.Network(v.from).Addr().As16()), s.c.Now()); !ok {
		return refRate(wait, "address")
	}
	if method != "" && r.Method != method {
		w.Header().Set("Allow", method)
		return refMethod
	}
	return h(w, r, v)
}

// panicPlace names the functions a panic came through, without their arguments.
func panicPlace() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	var where []string
	for more := true; more && len(where) < 6; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			where = append(where, f.Function+":"+strconv.Itoa(f.Line))
		}
	}
	return strings.Join(where, ", ")
}

// answer notes the status.
type answer struct {
	http.ResponseWriter
	status int
	wrote  bool
}

// WriteHeader notes the status and sends it.
func (a *answer) WriteHeader(status int) {
	a.status, a.wrote = status, true
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController and MaxBytesReader reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
