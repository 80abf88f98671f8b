package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"keepsake.example/cloud"
)

// A Request is what the other end asks to be opened.
type Request struct {
	Destination cloud.Destination // never a path
	Create      bool              // make the place first when it is not there
	LimitUpload string            // as in Options: not checked
}

// OpenFunc opens the store of a request; ctx bounds only that.
type OpenFunc func(ctx context.Context, r Request) (cloud.Store, error)

// Serve answers requests that come from in until it ends or ctx does, and has the
// store from open, which is called once; a store that is an io.Closer is closed.
// out must carry nothing else: a program that has libraries which print should
// point os.Stdout elsewhere. It is nil when in ended.
func Serve(ctx context.Context, in io.Reader, out io.Writer, open OpenFunc) error {
	s := &server{open: open}
	err := serveHTTP(ctx, in, out, s.handler())
	s.running.Wait()
	if c, ok := s.store.(io.Closer); ok {
		c.Close()
	}
	return err
}

// serveHTTP serves one connection. When it ends, so do the contexts of requests.
func serveHTTP(ctx context.Context, in io.Reader, out io.Writer, handler http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h := &http.Server{
		Handler:        handler,
		Protocols:      protocols,
		HTTP2:          serverHTTP2,
		MaxHeaderBytes: 64 << 10,
		BaseContext:    func(net.Listener) context.Context { return ctx },
	}
	conn := newConn(in, out)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := h.Serve(&onlyOne{conn: conn}); !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cloud/process: serving: %w", err)
	}
	return nil
}

// The windows of all uploads that may wait for a place fit that of the connection,
// or the one that has a place could not go on.
var serverHTTP2 = &http.HTTP2Config{
	MaxConcurrentStreams:          100,
	MaxReadFrameSize:              256 << 10,
	MaxReceiveBufferPerConnection: 4<<20 - 1,
	MaxReceiveBufferPerStream:     (4<<20 - 1) / MaxParallel,
}

// server is the serving end of one connection.
type server struct {
	open    OpenFunc
	running sync.WaitGroup // handlers

	mu      sync.Mutex
	store   cloud.Store
	uploads chan []byte // one buffer for each upload at a time
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, greeting) })
	mux.HandleFunc("POST /open", s.openStore)
	mux.HandleFunc("PUT /object/{name...}", s.with(s.put))
	mux.HandleFunc("GET /object/{name...}", s.with(s.get))
	mux.HandleFunc("DELETE /object/{name...}", s.with(s.remove))
	mux.HandleFunc("GET /stat/{name...}", s.with(s.stat))
	mux.HandleFunc("GET /list", s.with(s.list))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Done()
		mux.ServeHTTP(w, r)
	})
}

// openStore opens the store, once.
func (s *server) openStore(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOpening))
	request, wireErr := decodeOpen(data)
	if s.store != nil || err != nil || wireErr != nil {
		http.Error(w, "opened already, or not as the protocol has it", http.StatusBadRequest)
		return
	}
	a := &ending{w: w, s: s}
	a.run(func() error {
		store, err := s.open(r.Context(), request)
		if err != nil {
			return err
		}
		traits := cloud.TraitsOf(store)
		traits.Parallel, traits.Lag = min(traits.Parallel, MaxParallel), min(traits.Lag, maxLag)
		s.uploads = make(chan []byte, parallel(traits))
		for range cap(s.uploads) {
			s.uploads <- nil
		}
		s.store = store
		return json.NewEncoder(a).Encode(traits)
	})
}

// request is one request of an opened store.
type request struct {
	*http.Request
	store cloud.Store
	name  string
}

// with runs f for a request of the store. What f writes to the ending is the body
// of the answer, and its error how it ends.
func (s *server) with(f func(w *ending, r request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		store := s.store
		s.mu.Unlock()
		if store == nil {
			http.Error(w, "not opened", http.StatusBadRequest)
			return
		}
		a := &ending{w: w, s: s}
		a.run(func() error { return f(a, request{r, store, r.PathValue("name")}) })
	}
}

// ending is an answer on its way: what is written to it, and then how it ended.
type ending struct {
	w       http.ResponseWriter
	s       *server
	written bool
}

func (a *ending) Write(p []byte) (int, error) {
	if !a.written {
		a.written = true
		a.w.Header().Set("Trailer", headerEnd+", "+headerCounters)
	}
	return a.w.Write(p)
}

// run tells how f ended: in the head of an answer without a body, else behind it.
// A panic of a library is an error of the request, not the end of the process.
func (a *ending) run(f func() error) {
	err := guard(f)
	a.w.Header().Set(headerEnd, encodeEnd(err))
	if a.s.store != nil {
		a.w.Header().Set(headerCounters, encodeCounters(cloud.CountersOf(a.s.store)))
	}
}

func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error of the program that reaches the cloud: %v", p)
		}
	}()
	return f()
}
