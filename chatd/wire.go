package chatd

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"keepsake.example/token"
)

const octets = "application/octet-stream"

// maxJSON is how many bytes a JSON request may have: the longest handle or
// refresh token with key and proof have under 600.
const maxJSON = 2048

// A refusal is every answer that is not a success: a status, a word of a closed
// list for programs, and nothing of what was found inside.
type refusal struct {
	status int
	word   string
	after  time.Duration // Retry-After, in whole seconds rounded up
	why    string        // for the log and the metrics: "" means word
}

// The refusals. doc/chatd-openapi.yaml lists their words.
var (
	refFormat    = &refusal{status: http.StatusBadRequest, word: "format"}
	refToken     = &refusal{status: http.StatusUnauthorized, word: "token"}
	refDenied    = &refusal{status: http.StatusForbidden, word: "denied"}
	refPath      = &refusal{status: http.StatusNotFound, word: "path"}
	refKey       = &refusal{status: http.StatusNotFound, word: "key"}
	refMethod    = &refusal{status: http.StatusMethodNotAllowed, word: "method"}
	refTooLarge  = &refusal{status: http.StatusRequestEntityTooLarge, word: "size"}
	refType      = &refusal{status: http.StatusUnsupportedMediaType, word: "type"}
	refBug       = &refusal{status: http.StatusInternalServerError, word: "internal"}
	refAnswer    = &refusal{status: http.StatusBadGateway, word: "vault"}
	refBusy      = &refusal{status: http.StatusServiceUnavailable, word: "busy", after: time.Second}
	refNoVault   = &refusal{status: http.StatusServiceUnavailable, word: "vault", after: time.Second}
	refNoAudit   = &refusal{status: http.StatusServiceUnavailable, word: "audit", after: time.Second}
	refNoStore   = &refusal{status: http.StatusServiceUnavailable, word: "store", after: time.Second}
	refRateWords = "rate"
)

func refRate(wait time.Duration, of string) *refusal {
	return &refusal{status: http.StatusTooManyRequests, word: refRateWords, after: wait, why: "rate-" + of}
}

func (r *refusal) reason() string {
	if r.why != "" {
		return r.why
	}
	return r.word
}

func (r *refusal) write(w http.ResponseWriter) {
	if r.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((r.after+time.Second-1)/time.Second)))
	}
	if r.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`) // RFC 6750 §3
	}
	writeJSON(w, r.status, map[string]string{"error": r.word})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("chatd: internal error: " + err.Error()) // plain structs of strings
	}
	write(w, status, "application/json", b)
}

func write(w http.ResponseWriter, status int, kind string, b []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b) // an error is the client's connection, which is gone
}

// readBody reads a body of the given type and of at most most bytes.
func readBody(w http.ResponseWriter, r *http.Request, kind string, most int64) ([]byte, *refusal) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != kind {
		return nil, refType
	}
	if r.ContentLength > most {
		return nil, refTooLarge
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refTooLarge
	case err != nil:
		return nil, refFormat // cut off, or not in time
	}
	return b, nil
}

// decode reads one JSON object without members that are not known.
func decode(b []byte, v any) *refusal {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil {
		return refFormat
	}
	if _, err := d.Token(); err != io.EOF {
		return refFormat
	}
	return nil
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) *refusal {
	b, refused := readBody(w, r, "application/json", maxJSON)
	if refused != nil {
		return refused
	}
	return decode(b, v)
}

// bearer gives the token of an Authorization header (RFC 6750 §2.1).
func bearer(h http.Header) (string, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 || len(values[0]) > len("Bearer ")+token.MaxSize {
		return "", false
	}
	scheme, raw, ok := strings.Cut(values[0], " ")
	return raw, ok && strings.EqualFold(scheme, "Bearer")
}

// The bodies of the issuer's requests and answers.
type (
	loginRequest struct {
		Handle string      `json:"handle"`
		Key    base64Bytes `json:"key"`
	}
	loginAnswer struct {
		Login string `json:"login"`
	}
	codeRequest struct {
		Code  string      `json:"code"`
		Proof base64Bytes `json:"proof"`
	}
	refreshRequest struct {
		Refresh string      `json:"refresh"`
		Proof   base64Bytes `json:"proof"`
	}
	tokensAnswer struct {
		Refresh string    `json:"refresh"`
		Tokens  tokenPair `json:"tokens"`
		Expires int64     `json:"expires"` // Unix seconds
	}
	tokenPair struct {
		Chatd string `json:"chatd"`
		Vault string `json:"vault"`
	}
)

// base64Bytes is base64url without padding, in its one form.
type base64Bytes []byte

// UnmarshalText reads the text form.
func (b *base64Bytes) UnmarshalText(text []byte) (err error) {
	if bytes.ContainsAny(text, "\r\n") { // which the decoder passes over
		return errors.New("chatd: not base64url")
	}
	*b, err = base64.RawURLEncoding.Strict().DecodeString(string(text))
	return err
}

func (r *loginRequest) valid() bool { return len(r.Key) == ed25519.PublicKeySize }
func (r *codeRequest) valid() bool {
	return len(r.Code) == 8 && strings.Trim(r.Code, "0123456789") == "" && len(r.Proof) == ed25519.SignatureSize
}
func (r *refreshRequest) valid() bool {
	return r.Refresh != "" && len(r.Proof) == ed25519.SignatureSize
}

// parseLogin reads a login id of a path: 32 hexadecimal digits, in lower case.
func parseLogin(s string) (id [16]byte, ok bool) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, false
	}
	return [16]byte(b), true
}
