package account_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"keepsake.example/cloud/rclone/account"
)

// The listener closes when it has the code, with or without a page, whole or not: the sign-in has not failed
// by that. One that is not there has not got it.
func TestDeliverToAListenerThatHangsUp(t *testing.T) {
	for what, page := range map[string]string{
		"nothing": "", "a cut page": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nyou may",
		"a page": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	} {
		for _, reset := range []bool{false, true} {
			got := make(chan string, 1)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- r.URL.Query().Get("code")
				c, _, _ := http.NewResponseController(w).Hijack()
				io.WriteString(c, page)
				if reset {
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}))
			if err := account.Deliver(t.Context(), s.URL+"/auth?state=x", url.Values{"code": {"7"}}); err != nil || <-got != "7" {
				t.Errorf("%s, reset %v: %v", what, reset, err)
			}
			s.Close()
			if err := account.Deliver(t.Context(), s.URL, nil); err == nil {
				t.Error("delivered to nobody")
			}
		}
	}
}
