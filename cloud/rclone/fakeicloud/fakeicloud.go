package fakeicloud

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"keepsake.example/cloud/rclone/fakenet"
)

// Account is one person's.
type Account struct {
	AppleID  string // lower case
	Password string
	// Protocol is how the password is hashed first: "s2k" (the default) or
	// "s2k_fo".
	Protocol string
	// Phones are the trusted numbers. NoDevices: there is no trusted device,
	// codes come by text message alone.
	Phones    []string
	NoDevices bool
	// Quota is the room in bytes; 0 is 5 GB, what everybody has for nothing.
	Quota int64
	// Protected: Advanced Data Protection is on, and a device must approve.
	Protected bool
	// NoDrive: the account has no iCloud Drive (its terms were never accepted).
	NoDrive bool
	// Conflict409: a right code is answered with 409, as since mid-2026.
	Conflict409 bool
	// Duplicates: a second file of one name keeps it.
	Duplicates bool
}

// Server is iCloud. Its methods may be called concurrently.
type Server struct {
	net *fakenet.Net
	now func() time.Time

	mu        sync.Mutex
	accounts  map[string]*account
	logins    map[string]*login   // by X-Apple-ID-Session-Id
	tokens    map[string]*login   // by X-Apple-Session-Token
	sessions  map[string]*session // by X-APPLE-WEBAUTH-TOKEN
	uploads   map[string]*upload  // by the upload's URL path
	contents  map[string]*content // by fileChecksum
	downloads map[string]download // by the download's URL path
	lag       time.Duration
	throttled []throttle
	intercept func(w http.ResponseWriter, r *http.Request) bool
	counts    map[string]int
	sent      int64
	received  int64
}

// account is what the server keeps of an Account.
type account struct {
	Account
	salt     []byte
	verifier []byte
	dsid     string
	code     string // that is shown now
	text     string // that was sent as a text message last
	trust    map[string]bool
	wrong    int // passwords in a row
	locked   bool
	approved bool // a device approved of web access to protected data
	drive    *drive
}

// tries is how many wrong passwords in a row are answered before the server
// turns the door-keeper on. Apple's number is not known.
const tries = 5

// Start starts iCloud with these accounts. The certificate authority to trust
// is written to dir.
func Start(dir string, accounts ...Account) (*Server, error) {
	s := &Server{
		now:       time.Now,
		accounts:  map[string]*account{},
		logins:    map[string]*login{},
		tokens:    map[string]*login{},
		sessions:  map[string]*session{},
		uploads:   map[string]*upload{},
		contents:  map[string]*content{},
		downloads: map[string]download{},
		counts:    map[string]int{},
	}
	for _, a := range accounts {
		if err := s.add(a); err != nil {
			return nil, err
		}
	}
	n, err := fakenet.Start(dir, map[string]http.Handler{
		"www.icloud.com":           s.counted(http.NotFoundHandler()), // where rclone turns to when it has no address
		"idmsa.apple.com":          s.counted(s.idmsa()),
		"setup.icloud.com":         s.counted(s.setup()),
		"p31-drivews.icloud.com":   s.counted(s.drivews()),
		"p31-docws.icloud.com":     s.counted(s.docws()),
		"p31-contentws.icloud.com": s.counted(http.HandlerFunc(s.putContent)),
		"cvws.icloud-content.com":  s.counted(http.HandlerFunc(s.getContent)),
	})
	if err != nil {
		return nil, err
	}
	s.net = n
	return s, nil
}

func (s *Server) add(a Account) error {
	if a.AppleID == "" || a.AppleID != strings.ToLower(a.AppleID) {
		return fmt.Errorf("fakeicloud: %q is not an Apple ID in lower case", a.AppleID)
	}
	if a.Protocol == "" {
		a.Protocol = "s2k"
	}
	if a.Quota == 0 {
		a.Quota = 5e9
	}
	salt := random(16)
	key, err := stretch(a.Password, salt, a.Protocol)
	if err != nil {
		return err
	}
	s.accounts[a.AppleID] = &account{
		Account:  a,
		salt:     salt,
		verifier: verifier(salt, key),
		dsid:     fmt.Sprint(1_000_000_000 + len(s.accounts)),
		trust:    map[string]bool{},
		drive:    newDrive(s.now),
	}
	return nil
}

// Proxy is the URL of the HTTP proxy that leads here.
func (s *Server) Proxy() string { return s.net.Proxy() }

// CA is the file with the certificate authority to trust (PEM).
func (s *Server) CA() string { return s.net.CA() }

// Client is a browser on this network.
func (s *Server) Client() *http.Client { return s.net.Client() }

// Refused lists the hosts that were asked for and are not iCloud's.
func (s *Server) Refused() []string { return s.net.Refused() }

// Close ends all connections.
func (s *Server) Close() error { return s.net.Close() }

// counted counts a request by method and path, lets tests break it, and
// serves it.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.counts[operation(r)]++
		intercept := s.intercept
		s.mu.Unlock()
		if intercept != nil && intercept(w, r) {
			return
		}
		if s.refuseThrottled(w, r) {
			return
		}
		h.ServeHTTP(w, r)
	})
}

// operation names a request by what it does: the last part of its path, but
// for content, where that is random.
func operation(r *http.Request) string {
	switch {
	case strings.HasPrefix(r.Host, "cvws."):
		return r.Method + " content"
	case strings.HasPrefix(r.Host, "p31-contentws."):
		return r.Method + " singleFileUpload"
	}
	return r.Method + " " + r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
}
