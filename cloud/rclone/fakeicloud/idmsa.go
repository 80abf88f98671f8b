package fakeicloud

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
)

// widget is the client id of icloud.com's own pages (rclone's default).
const widget = "d39ba9916b7251055b22c7f910e2ea796ee65e98b2ddecea8f5dde8d9d1a815d"

// login is one sign-in under way, from authorize/signin on.
type login struct {
	id, scnt  string
	account   *account
	challenge *challenge
	proved    bool // the password
	passed    bool // the second factor, or a trust token
}

func token() string { return hex.EncodeToString(random(16)) }

func (s *Server) idmsa() http.Handler {
	mux := http.NewServeMux()
	const auth = "/appleauth/auth"
	mux.HandleFunc("GET "+auth+"/authorize/signin", s.authorize)
	mux.HandleFunc("POST "+auth+"/federate", s.during(func(w http.ResponseWriter, r *http.Request, l *login) {
		reply(w, http.StatusOK, object{"federated": false, "hasSWP": true})
	}))
	mux.HandleFunc("POST "+auth+"/signin/init", s.during(s.signinInit))
	mux.HandleFunc("POST "+auth+"/signin/complete", s.during(s.signinComplete))
	mux.HandleFunc("GET "+auth, s.proved(s.authState))
	mux.HandleFunc("PUT "+auth+"/verify/trusteddevice/securitycode", s.proved(s.pushCode))
	mux.HandleFunc("POST "+auth+"/verify/trusteddevice/securitycode", s.proved(s.checkCode))
	mux.HandleFunc("PUT "+auth+"/verify/phone", s.proved(s.sendText))
	mux.HandleFunc("POST "+auth+"/verify/phone/securitycode", s.proved(s.checkText))
	mux.HandleFunc("GET "+auth+"/2sv/trust", s.proved(s.trustBrowser))
	return mux
}

type object map[string]any

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	if body != nil && status != http.StatusNoContent {
		_ = json.NewEncoder(w).Encode(body)
	}
}

// serviceError is how idmsa.apple.com refuses.
func serviceError(w http.ResponseWriter, status int, code, message string) {
	list := []object{{"code": code, "message": message, "suppressDismissal": false}}
	reply(w, status, object{"serviceErrors": list, "service_errors": list, "hasError": true})
}

// decode reads a JSON body of a request, at most a megabyte.
func decode(r *http.Request, into any) error {
	return json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(into)
}

func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("client_id") != widget {
		serviceError(w, http.StatusUnauthorized, "-20700", "unknown client")
		return
	}
	l := &login{id: token(), scnt: token()}
	s.mu.Lock()
	s.logins[l.id] = l
	s.mu.Unlock()
	w.Header().Set("X-Apple-Auth-Attributes", token())
	l.headers(w)
	w.WriteHeader(http.StatusOK)
}

func (l *login) headers(w http.ResponseWriter) {
	w.Header().Set("scnt", l.scnt)
	w.Header().Set("X-Apple-ID-Session-Id", l.id)
}

// during finds the sign-in a request belongs to, and locks the server while it
// is served: signing in is rare.
func (s *Server) during(h func(http.ResponseWriter, *http.Request, *login)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		l := s.logins[r.Header.Get("X-Apple-ID-Session-Id")]
		if l == nil || l.scnt != r.Header.Get("scnt") || r.Header.Get("X-Apple-Widget-Key") != widget {
			serviceError(w, http.StatusUnauthorized, "-20700", "session is not known")
			return
		}
		l.headers(w)
		h(w, r, l)
	}
}

// proved serves only who has shown that they know the password.
func (s *Server) proved(h func(http.ResponseWriter, *http.Request, *login)) http.HandlerFunc {
	return s.during(func(w http.ResponseWriter, r *http.Request, l *login) {
		if !l.proved {
			serviceError(w, http.StatusUnauthorized, "-20700", "not signed in")
			return
		}
		h(w, r, l)
	})
}

func (s *Server) signinInit(w http.ResponseWriter, r *http.Request, l *login) {
	var in struct {
		A           []byte   `json:"a"`
		AccountName string   `json:"accountName"`
		Protocols   []string `json:"protocols"`
	}
	if err := decode(r, &in); err != nil {
		serviceError(w, http.StatusBadRequest, "-20000", "bad request")
		return
	}
	who := s.accounts[in.AccountName]
	if who == nil { // as good as any, and no password fits
		who = &account{Account: Account{AppleID: in.AccountName, Protocol: "s2k"}, salt: random(16), verifier: random(255)}
	}
	if who.wrong >= tries {
		overloaded(w)
		return
	}
	c, err := newChallenge(who, in.A)
	if err != nil {
		serviceError(w, http.StatusBadRequest, "-20000", err.Error())
		return
	}
	l.account, l.challenge, l.proved, l.passed = who, c, false, false
	reply(w, http.StatusOK, object{
		"iteration": rounds, "salt": who.salt, "protocol": who.Protocol,
		"b": padded(c.public), "c": l.id,
	})
}

// overloaded is what idmsa.apple.com says to those who try too often.
func overloaded(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, "<html>\n<head><title>503 Service Temporarily Unavailable</title></head>\n<body>\n"+
		"<center><h1>503 Service Temporarily Unavailable</h1></center>\n<hr><center>Apple</center>\n</body>\n</html>\n")
}

func (s *Server) signinComplete(w http.ResponseWriter, r *http.Request, l *login) {
	var in struct {
		AccountName string   `json:"accountName"`
		M1          []byte   `json:"m1"`
		M2          []byte   `json:"m2"`
		C           string   `json:"c"`
		TrustTokens []string `json:"trustTokens"`
	}
	if err := decode(r, &in); err != nil || l.challenge == nil || in.C != l.id || in.AccountName != l.account.AppleID {
		serviceError(w, http.StatusBadRequest, "-20000", "bad request")
		return
	}
	c := l.challenge
	l.challenge = nil
	if !c.proves(in.M1, in.M2) {
		l.account.wrong++
		serviceError(w, http.StatusUnauthorized, "-20101", "Check the account information you entered and try again.")
		return
	}
	l.account.wrong = 0
	if l.account.locked {
		serviceError(w, http.StatusForbidden, "-20209", "This Apple Account has been locked for security reasons.")
		return
	}
	l.proved = true
	for _, t := range in.TrustTokens {
		l.passed = l.passed || l.account.trust[t]
	}
	s.grant(w, l)
	if !l.passed {
		reply(w, http.StatusConflict, object{"authType": "hsa2"})
		return
	}
	reply(w, http.StatusOK, object{"authType": "hsa2"})
}

// grant gives the session token that accountLogin takes.
func (s *Server) grant(w http.ResponseWriter, l *login) {
	t := token()
	s.tokens[t] = l
	w.Header().Set("X-Apple-Session-Token", t)
	w.Header().Set("X-Apple-ID-Account-Country", "USA")
}

func (s *Server) authState(w http.ResponseWriter, r *http.Request, l *login) {
	var phones []object
	for i, p := range l.account.Phones {
		phones = append(phones, object{"id": i + 1, "numberWithDialCode": hidden(p), "obfuscatedNumber": hidden(p), "pushMode": "sms", "nonFTEU": false})
	}
	reply(w, http.StatusOK, object{
		"trustedPhoneNumbers": phones, "noTrustedDevices": l.account.NoDevices,
		"authenticationType": "hsa2", "hsa2Account": true, "securityCode": object{"length": 6},
	})
}

// hidden shows the last two digits of a number.
func hidden(phone string) string {
	if len(phone) < 2 {
		return "••"
	}
	return "•••• ••" + phone[len(phone)-2:]
}

func sixDigits() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic("fakeicloud: internal error: no randomness")
	}
	return fmt.Sprintf("%06d", n)
}

func (s *Server) pushCode(w http.ResponseWriter, r *http.Request, l *login) {
	if l.account.NoDevices {
		serviceError(w, http.StatusPreconditionFailed, "-28248", "no trusted devices")
		return
	}
	l.account.code = sixDigits()
	reply(w, http.StatusAccepted, object{"securityCode": object{"length": 6}})
}

type codeRequest struct {
	SecurityCode struct {
		Code string `json:"code"`
	} `json:"securityCode"`
	PhoneNumber struct {
		ID int `json:"id"`
	} `json:"phoneNumber"`
	Mode string `json:"mode"`
}

func (s *Server) checkCode(w http.ResponseWriter, r *http.Request, l *login) {
	s.check(w, r, l, &l.account.code)
}

func (s *Server) checkText(w http.ResponseWriter, r *http.Request, l *login) {
	s.check(w, r, l, &l.account.text)
}

// check compares a code and uses it up.
func (s *Server) check(w http.ResponseWriter, r *http.Request, l *login, want *string) {
	var in codeRequest
	if err := decode(r, &in); err != nil || *want == "" || in.SecurityCode.Code != *want {
		serviceError(w, http.StatusBadRequest, "-21669", "Incorrect verification code.")
		return
	}
	*want = ""
	l.passed = true
	s.grant(w, l)
	if l.account.Conflict409 {
		reply(w, http.StatusConflict, object{"securityCode": object{"valid": true}})
		return
	}
	reply(w, http.StatusNoContent, nil)
}

func (s *Server) sendText(w http.ResponseWriter, r *http.Request, l *login) {
	var in codeRequest
	if err := decode(r, &in); err != nil || in.PhoneNumber.ID < 1 || in.PhoneNumber.ID > len(l.account.Phones) {
		serviceError(w, http.StatusBadRequest, "-28248", "Verification codes can’t be sent to this phone number at this time.")
		return
	}
	l.account.text = sixDigits()
	reply(w, http.StatusOK, object{"mode": in.Mode})
}

func (s *Server) trustBrowser(w http.ResponseWriter, r *http.Request, l *login) {
	if !l.passed {
		serviceError(w, http.StatusUnauthorized, "-20700", "not verified")
		return
	}
	t := base64.StdEncoding.EncodeToString(random(24))
	l.account.trust[t] = true
	w.Header().Set("X-Apple-TwoSV-Trust-Token", t)
	s.grant(w, l)
	reply(w, http.StatusNoContent, nil)
}
