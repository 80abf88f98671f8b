package fakedrive

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"keepsake.example/cloud/rclone/fakenet"
)

// Config says what the fake is like. Only Dir must be given.
type Config struct {
	// Dir is an empty folder: the contents of files lie there, and the
	// certificate of the authority that clients are to trust.
	Dir string
	// Now is the server's clock, time.Now if nil. A test that moves its own
	// clock need not wait for a lag.
	Now func() time.Time
	// TokenLife is how long an access token is good for, an hour (less a
	// second, as Google says it) if zero.
	TokenLife time.Duration
	// Quota is the room in the person's storage in bytes; 0 is unlimited.
	Quota int64
}

// Server is a fake Google Drive of one person. Its methods may be called
// concurrently, also while requests run.
type Server struct {
	config Config
	net    *fakenet.Net

	mu       sync.Mutex // guards all below
	files    map[string]*file
	order    []*file // oldest first
	root     string  // id of My Drive
	rooms    map[string]string
	sessions map[string]*session
	consents map[string]consent
	grants   map[string]*grant // by refresh token
	tokens   map[string]*token // by access token
	deny     bool
	lag      Lag
	repeat   bool
	rule     Rule
	count    Counters
	made     int // ids so far
}

// Start starts a server and the network on which it is Google.
func Start(c Config) (*Server, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TokenLife == 0 {
		c.TokenLife = time.Hour - time.Second
	}
	s := &Server{
		config:   c,
		files:    make(map[string]*file),
		rooms:    make(map[string]string),
		sessions: make(map[string]*session),
		consents: make(map[string]consent),
		grants:   make(map[string]*grant),
		tokens:   make(map[string]*token),
		count:    Counters{Requests: make(map[string]int)},
	}
	s.root = s.room("My Drive", spaceDrive, "").id
	if err := os.Mkdir(filepath.Join(c.Dir, "contents"), 0o700); err != nil {
		return nil, fmt.Errorf("fakedrive: making the folder for contents: %w", err)
	}
	var err error
	s.net, err = fakenet.Start(c.Dir, map[string]http.Handler{
		"www.googleapis.com":    s.api(),
		"oauth2.googleapis.com": s.tokenEndpoint(),
		"accounts.google.com":   s.consentPages(),
	})
	if err != nil {
		return nil, fmt.Errorf("fakedrive: %w", err)
	}
	return s, nil
}

// Proxy is the URL of the HTTP proxy behind which the server is Google.
func (s *Server) Proxy() string { return s.net.Proxy() }

// CA is the file with the certificate (PEM) that clients must trust.
func (s *Server) CA() string { return s.net.CA() }

// Browser is a browser on the same network, for the consent page.
func (s *Server) Browser() *http.Client { return s.net.Client() }

// Refused lists the hosts clients asked for that are not Google's.
func (s *Server) Refused() []string { return s.net.Refused() }

// Close ends all connections and forgets the contents.
func (s *Server) Close() error {
	return errors.Join(s.net.Close(), os.RemoveAll(filepath.Join(s.config.Dir, "contents")))
}

// Counters are what the server was asked.
type Counters struct {
	Requests map[string]int // by operation: the constants Op…
	Sent     int64          // bytes of contents that arrived, those of broken requests included
	Received int64          // bytes of contents that left
	// Foreign lists requests the fake does not model; each was answered 501.
	Foreign []string
}

// Total is the number of requests.
func (c Counters) Total() int {
	n := 0
	for _, of := range c.Requests {
		n += of
	}
	return n
}

// Counters counts since the start or the last Reset.
func (s *Server) Counters() Counters {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.count
	c.Requests = make(map[string]int, len(s.count.Requests))
	for op, n := range s.count.Requests {
		c.Requests[op] = n
	}
	return c
}

// Reset sets the counters to zero.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count = Counters{Requests: make(map[string]int)}
}

// id makes an identifier. Callers hold s.mu.
func (s *Server) id(kind string) string {
	s.made++
	return fmt.Sprintf("%s%s%06d", kind, "AkeepsakefakeQ", s.made)
}
