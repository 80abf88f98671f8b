package fakeicloud

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// Code is the six digits that the account's trusted devices show now; "" if
// none were asked for.
func (s *Server) Code(appleID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[appleID].code
}

// Text is the code in the text message sent last.
func (s *Server) Text(appleID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[appleID].text
}

// EndSessions makes all cookies worthless, as signing out everywhere does and
// as time does. Trust tokens stay good.
func (s *Server) EndSessions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// EndTrust makes all sessions and trust tokens worthless, as thirty days do:
// the next sign-in needs a code.
func (s *Server) EndTrust() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
	for _, a := range s.accounts {
		clear(a.trust)
	}
}

// Lock locks an account for security reasons, or unlocks it.
func (s *Server) Lock(appleID string, locked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[appleID].locked = locked
	s.accounts[appleID].wrong = 0
}

// Approve is what a person does on a device to let the web see data under
// Advanced Data Protection.
func (s *Server) Approve(appleID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[appleID].approved = true
}

// SetPassword changes a password; sessions and trust end, as they do at Apple.
func (s *Server) SetPassword(appleID, password string) error {
	s.EndTrust()
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[appleID]
	key, err := stretch(password, a.salt, a.Protocol)
	if err != nil {
		return err
	}
	a.Password, a.verifier, a.wrong = password, verifier(a.salt, key), 0
	return nil
}

// SetQuota sets an account's room in bytes.
func (s *Server) SetQuota(appleID string, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[appleID].Quota = bytes
}

// Used is what counts against the quota: deleted files, too.
func (s *Server) Used(appleID string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accounts[appleID].drive.used()
}

// SetLag lets listings show folders as they were this long ago.
func (s *Server) SetLag(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = d
}

// Freeze lets listings show folders as they are now, whatever happens, until Thaw.
func (s *Server) Freeze(appleID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[appleID].drive.frozen = s.now()
}

// Thaw ends Freeze.
func (s *Server) Thaw(appleID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[appleID].drive.frozen = time.Time{}
}

// throttle refuses some requests.
type throttle struct {
	operation string
	left      int
	status    int
	after     int
}

// Throttle refuses the next n requests of an operation, such as
// "POST singleFileUpload", or of all ("") that are not about signing in, with
// 429 or 503, and asks to wait some seconds in the body, as CloudKit does.
func (s *Server) Throttle(operation string, n, status, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttled = append(s.throttled, throttle{operation, n, status, after})
}

func (s *Server) refuseThrottled(w http.ResponseWriter, r *http.Request) bool {
	if r.Host == "idmsa.apple.com" || strings.HasPrefix(r.Host, "setup.") {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.throttled {
		t := &s.throttled[i]
		if t.left > 0 && (t.operation == "" || t.operation == operation(r)) {
			t.left--
			no := &refusal{status: t.status, code: "THROTTLED", reason: "Request throttled", after: t.after}
			no.send(w)
			return true
		}
	}
	return false
}

// Intercept lets a test answer requests itself: fn is asked first, and true
// means that it has answered. nil ends it.
func (s *Server) Intercept(fn func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = fn
}

// Stats are what a server was asked.
type Stats struct {
	// Requests counts by method and what is asked: "POST createFolders",
	// "POST singleFileUpload", "GET content".
	Requests map[string]int
	Sent     int64 // bytes of objects
	Received int64 // bytes of objects
}

// Total is the number of requests.
func (s Stats) Total() (n int) {
	for _, c := range s.Requests {
		n += c
	}
	return n
}

// Stats tells what was asked since Start or the last ResetStats.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Requests: maps.Clone(s.counts), Sent: s.sent, Received: s.received}
}

// ResetStats counts from nothing again.
func (s *Server) ResetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.counts)
	s.sent, s.received = 0, 0
}

// Files are the sizes of an account's files by path; those of one name once
// only.
func (s *Server) Files(appleID string) map[string]int64 { return s.files(appleID, false) }

// Trash are the sizes of an account's recently deleted files, by where they were.
func (s *Server) Trash(appleID string) map[string]int64 { return s.files(appleID, true) }

func (s *Server) files(appleID string, trashed bool) map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int64{}
	for _, i := range s.accounts[appleID].drive.items {
		if !i.folder && !i.erased && i.there() != trashed {
			all[i.path()] = i.size()
		}
	}
	return all
}

// Remove moves a file or folder to the trash, as the person may do on a
// device; false if there is none.
func (s *Server) Remove(appleID, path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.accounts[appleID].drive
	for _, i := range d.items {
		if i.parent != nil && i.there() && i.path() == path {
			d.trash(i)
			return true
		}
	}
	return false
}
