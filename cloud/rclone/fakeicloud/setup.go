package fakeicloud

import (
	"net/http"
	"strings"
)

// session is what a browser's cookies stand for.
type session struct {
	account *account
	trusted bool
	pcs     bool // has the cookie for protected documents
}

const (
	cookieToken = "X-APPLE-WEBAUTH-TOKEN"
	cookieUser  = "X-APPLE-WEBAUTH-USER"
	cookiePCS   = "X-APPLE-WEBAUTH-PCS-Documents"
)

func (s *Server) setup() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /setup/ws/1/accountLogin", s.accountLogin)
	mux.HandleFunc("POST /setup/ws/1/validate", s.validate)
	mux.HandleFunc("POST /setup/ws/1/requestPCS", s.requestPCS)
	return mux
}

func (s *Server) accountLogin(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Token string `json:"dsWebAuthToken"`
		Trust string `json:"trustToken"`
	}
	err := decode(r, &in)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.tokens[in.Token]
	if err != nil || l == nil {
		reply(w, http.StatusBadRequest, object{"success": false, "error": "Invalid Session Token"})
		return
	}
	delete(s.tokens, in.Token)
	one := &session{account: l.account, trusted: l.passed || l.account.trust[in.Trust]}
	id := "v=2:t=" + token()
	s.sessions[id] = one
	setCookie(w, cookieToken, id)
	setCookie(w, cookieUser, "v=1:s=0:d="+l.account.dsid)
	setCookie(w, "X-APPLE-WEBAUTH-VALIDATE", "v=1:t="+token())
	reply(w, http.StatusOK, one.info())
}

func setCookie(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Domain: ".icloud.com", Path: "/", Secure: true, HttpOnly: true})
}

// info is what the pages learn of an account: a small part of pyicloud's
// LOGIN_WORKING and LOGIN_2FA.
func (one *session) info() object {
	service := func(name string) object {
		return object{"url": "https://p31-" + name + ".icloud.com:443", "status": "active", "pcsRequired": one.account.Protected}
	}
	services := object{"account": service("setup"), "ckdatabasews": service("ckdatabasews")}
	if !one.account.NoDrive {
		services["drivews"], services["docws"] = service("drivews"), service("docws")
	}
	return object{
		"dsInfo": object{
			"dsid": one.account.dsid, "appleId": one.account.AppleID, "hsaVersion": 2, "hsaEnabled": true,
			"locked": false, "countryCode": "USA", "isHideMyEmailFeatureAvailable": true,
		},
		"webservices": services, "hsaTrustedBrowser": one.trusted, "hsaChallengeRequired": !one.trusted,
		"isExtendedLogin": true, "pcsEnabled": true, "version": 2,
	}
}

// session finds whose cookies a request carries, and answers those that have none.
func (s *Server) session(w http.ResponseWriter, r *http.Request) *session {
	cookie, err := r.Cookie(cookieToken)
	if err != nil {
		reply(w, http.StatusMisdirectedRequest, object{"reason": "Missing X-APPLE-WEBAUTH-TOKEN cookie", "error": 1})
		return nil
	}
	one := s.sessions[strings.Trim(cookie.Value, `"`)]
	if one == nil || one.account.locked {
		reply(w, http.StatusMisdirectedRequest, object{"reason": "Invalid global session", "error": 2})
		return nil
	}
	return one
}

func (s *Server) validate(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.session(w, r); one != nil {
		reply(w, http.StatusOK, one.info())
	}
}

func (s *Server) requestPCS(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.session(w, r)
	if one == nil {
		return
	}
	if !one.account.approved {
		reply(w, http.StatusOK, object{"status": "pending", "message": "Requested the device to upload cookies."})
		return
	}
	one.pcs = true
	setCookie(w, cookiePCS, token())
	reply(w, http.StatusOK, object{"status": "success", "message": "Cookies attached."})
}

// inside serves requests of the drive, with the server locked: fn answers by
// what it returns.
func (s *Server) inside(fn func(r *http.Request, a *account) (any, *refusal)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		one := s.session(w, r)
		if one == nil {
			return
		}
		if !one.trusted {
			reply(w, http.StatusMisdirectedRequest, object{"reason": "Missing X-APPLE-WEBAUTH-TOKEN cookie", "error": 1})
			return
		}
		if _, err := r.Cookie(cookiePCS); one.account.Protected && (err != nil || !one.pcs) {
			reply(w, http.StatusLocked, object{"reason": "Missing PCS cookies from the request", "error": 1})
			return
		}
		body, no := fn(r, one.account)
		if no != nil {
			no.send(w)
			return
		}
		reply(w, http.StatusOK, body)
	}
}

// refusal is an error as CloudKit words it.
type refusal struct {
	status int
	code   string
	reason string
	after  int // seconds
}

func (no *refusal) send(w http.ResponseWriter) {
	body := object{"uuid": token(), "serverErrorCode": no.code, "reason": no.reason}
	if no.after > 0 {
		body["retryAfter"] = no.after
	}
	reply(w, no.status, body)
}

func badRequest(reason string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "BAD_REQUEST", reason: reason}
}

func notFound(reason string) *refusal {
	return &refusal{status: http.StatusNotFound, code: "NOT_FOUND", reason: reason}
}
