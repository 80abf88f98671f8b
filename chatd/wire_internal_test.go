package chatd

import (
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
)

func FuzzIssuerRequests(f *testing.F) {
	f.Add([]byte(`{"handle":"ann@example.com","key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`))
	f.Add([]byte(`{"code":"12345678","proof":"` + strings.Repeat("A", 86) + `"}`))
	f.Add([]byte(`{"refresh":"x","proof":"` + strings.Repeat("A", 86) + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var l loginRequest
		if decode(b, &l) == nil && l.valid() && len(l.Key) != 32 {
			t.Error("a key of another length")
		}
		var c codeRequest
		if decode(b, &c) == nil && c.valid() && (len(c.Code) != 8 || len(c.Proof) != 64) {
			t.Error("a code of another length")
		}
		var r refreshRequest
		if decode(b, &r) == nil && r.valid() && (r.Refresh == "" || len(r.Proof) != 64) {
			t.Error("no refresh token")
		}
	})
}

func FuzzBearerAndLogin(f *testing.F) {
	f.Add("Bearer abc", "00112233445566778899aabbccddeeff")
	f.Fuzz(func(t *testing.T, header, login string) {
		if raw, ok := bearer(http.Header{"Authorization": {header}}); ok && (len(raw) > len(header) || !strings.HasSuffix(header, raw)) {
			t.Errorf("%q from %q", raw, header)
		}
		if id, ok := parseLogin(login); ok && hex.EncodeToString(id[:]) != login {
			t.Errorf("%x from %q", id, login)
		}
	})
}
