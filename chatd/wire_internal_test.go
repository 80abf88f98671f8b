package chatd

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

// Whatever a client sends, as a body, as an Authorization header and as a part
// of a path: what is accepted has the sizes that the rest relies on.
func FuzzRequests(f *testing.F) {
	proof := strings.Repeat("A", 86)
	for _, seed := range []string{
		`{"handle":"ann@example.com","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		`{"code":"12345678","proof":"` + proof + `"}`, `{"refresh":"x","proof":"` + proof + `"}`, "Bearer abc", "00112233445566778899aabbccddeeff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var l loginRequest
		if decode([]byte(text), &l) == nil && l.valid() && len(l.Key) != 32 {
			t.Error("a key of another length")
		}
		var c codeRequest
		if decode([]byte(text), &c) == nil && c.valid() && (len(c.Code) != 8 || len(c.Proof) != 64) {
			t.Error("a code of another length")
		}
		var r refreshRequest
		if decode([]byte(text), &r) == nil && r.valid() && (r.Refresh == "" || len(r.Proof) != 64) {
			t.Error("no refresh token")
		}
		if raw, ok := bearer(http.Header{"Authorization": {text}}); ok && (len(raw) >= len(text) || !strings.HasSuffix(text, raw)) {
			t.Errorf("%q from %q", raw, text)
		}
		if id, ok := parseLogin(text); ok && hex.EncodeToString(id[:]) != text {
			t.Errorf("%x from %q", id, text)
		}
	})
}
