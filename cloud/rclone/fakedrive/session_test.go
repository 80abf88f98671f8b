package fakedrive_test

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud/rclone/fakedrive"
)

const unit = 256 << 10

// session begins a resumable upload of so many bytes.
func (a *app) session(name string, size int64) string {
	a.t.Helper()
	resp, body := a.send("POST", uploadURL+"?uploadType=resumable&fields=id,size,md5Checksum",
		fmt.Appendf(nil, `{"name":%q}`, name), fmt.Sprintf("X-Upload-Content-Length: %d", size))
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Location"), uploadURL) {
		a.t.Fatalf("starting a session: %d %s", resp.StatusCode, body)
	}
	return resp.Header.Get("Location")
}

func bytesOf(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func span(first, last, total int) string {
	return fmt.Sprintf("Content-Range: bytes %d-%d/%d", first, last, total)
}

// wantKept asks a session how far it is.
func (a *app) wantKept(uri string, total, kept int) {
	a.t.Helper()
	resp, _ := a.send("PUT", uri, nil, fmt.Sprintf("Content-Range: bytes */%d", total))
	want := fmt.Sprintf("bytes=0-%d", kept-1)
	if kept == 0 {
		want = ""
	}
	if got := resp.Header.Get("Range"); resp.StatusCode != 308 || got != want {
		a.t.Errorf("the session says %d %q, want 308 %q", resp.StatusCode, got, want)
	}
}

func (a *app) wantDone(answer map[string]any, content []byte) {
	a.t.Helper()
	sum := md5.Sum(content)
	if answer["md5Checksum"] != hex.EncodeToString(sum[:]) {
		a.t.Errorf("the file is %v", answer)
	}
}

func TestSession(t *testing.T) {
	a := start(t, fakedrive.Config{})
	content := bytesOf(2*unit + 100)
	total := len(content)
	uri := a.session("x", int64(total))
	a.wantKept(uri, total, 0)
	a.want(308, "PUT", uri, content[:unit+5], span(0, unit+4, total)) // no multiple: the rest is dropped
	a.wantKept(uri, total, unit)
	resp, body := a.send("PUT", uri, content[unit+5:], span(unit+5, total-1, total))
	if resp.StatusCode != 503 || !strings.Contains(string(body), "exceeds already uploaded size of 262144 byte(s)") {
		t.Errorf("a chunk too far: %d %s", resp.StatusCode, body)
	}
	a.want(400, "PUT", uri, content[unit:], span(unit, total-1, total+1))
	a.want(400, "PUT", uri, content[unit:], "Content-Range: bytes 5-4/7")
	a.wantDone(a.want(200, "PUT", uri, content[100:], span(100, total-1, total)), content) // bytes sent again are passed over
	a.wantDone(a.want(200, "PUT", uri, nil, "Content-Range: bytes */*"), content)
	if got := a.server.Files("x"); len(got) != 1 || got[0].Size != int64(total) {
		t.Errorf("there is %v", got)
	}
}

// TestSessionBroken cuts a session's request at bytes of every kind: the
// server keeps whole blocks, and the rest can follow.
func TestSessionBroken(t *testing.T) {
	a := start(t, fakedrive.Config{})
	content := bytesOf(2*unit + 77)
	total := len(content)
	for _, at := range []int{0, 1, unit - 1, unit, unit + 1, 2 * unit, total - 1} {
		uri := a.session(fmt.Sprint("cut-", at), int64(total))
		a.server.Inject(fakedrive.First(1, fakedrive.OpUploadChunk, fakedrive.Fault{Cut: true, At: int64(at)}))
		if resp, body, err := a.try("PUT", uri, content); err == nil {
			t.Fatalf("cut at %d: %d %s", at, resp.StatusCode, body)
		}
		kept := at / unit * unit
		a.wantKept(uri, total, kept)
		a.wantDone(a.want(200, "PUT", uri, content[kept:], span(kept, total-1, total)), content)
	}
}

func TestSessionAnswerLost(t *testing.T) {
	a := start(t, fakedrive.Config{})
	content := bytesOf(100)
	uri := a.session("x", 100)
	a.server.Inject(fakedrive.First(1, fakedrive.OpUploadChunk, fakedrive.Fault{CutAnswer: true}))
	if resp, _, err := a.try("PUT", uri, content); err == nil {
		t.Fatalf("the answer came: %d", resp.StatusCode)
	}
	a.wantDone(a.want(200, "PUT", uri, nil, "Content-Range: bytes */100"), content)
	if got := a.server.Files("x"); len(got) != 1 {
		t.Errorf("%d files are there", len(got))
	}
}

func TestSessionKeepsLess(t *testing.T) {
	a := start(t, fakedrive.Config{})
	content := bytesOf(3 * unit)
	uri := a.session("x", int64(len(content)))
	a.server.Inject(fakedrive.First(1, fakedrive.OpUploadChunk, fakedrive.Fault{KeepLess: true, At: 2*unit + 9}))
	resp, _ := a.send("PUT", uri, content)
	if got := resp.Header.Get("Range"); resp.StatusCode != 308 || got != fmt.Sprintf("bytes=0-%d", 2*unit-1) {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
}

func TestSessionLost(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := start(t, fakedrive.Config{Now: func() time.Time { return now }, TokenLife: 1000 * time.Hour})
	uri := a.session("x", 10)
	a.server.Inject(fakedrive.First(1, fakedrive.OpUploadChunk, fakedrive.Fault{Lose: true}))
	a.want(404, "PUT", uri, bytesOf(10))
	uri = a.session("x", 10)
	now = now.Add(8 * 24 * time.Hour)
	a.want(404, "PUT", uri, bytesOf(10))
	uri = a.session("x", 10)
	a.server.LoseSessions()
	a.want(404, "PUT", uri, bytesOf(10))
	if got := a.server.Files("x"); len(got) != 0 {
		t.Errorf("%d files are there", len(got))
	}
}

func TestSessionQuota(t *testing.T) {
	a := start(t, fakedrive.Config{Quota: 50})
	answer := a.want(403, "POST", uploadURL+"?uploadType=resumable", []byte(`{}`), "X-Upload-Content-Length: 51")
	if got := reason(answer); got != "storageQuotaExceeded" {
		t.Errorf("at the start: %s", got)
	}
	uri := a.session("x", 40)
	a.file("y", "root", bytesOf(20))
	if got := reason(a.want(403, "PUT", uri, bytesOf(40))); got != "storageQuotaExceeded" {
		t.Errorf("at the end: %s", got)
	}
}

// TestSessionAuthority: the URI is enough, but a bad Authorization is refused.
func TestSessionAuthority(t *testing.T) {
	a := start(t, fakedrive.Config{})
	uri := a.session("x", 10)
	a.server.ExpireTokens()
	if got := reason(a.want(401, "PUT", uri, bytesOf(10))); got != "authError" {
		t.Errorf("an expired token: %s", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), "PUT", uri, bytes.NewReader(bytesOf(10)))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := a.client.Do(req)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("without a token: %v %v", resp, err)
	}
	resp.Body.Close()
}

func TestMultipartBroken(t *testing.T) {
	a := start(t, fakedrive.Config{})
	body, header := multipartBody(`{"name":"x"}`, bytesOf(1000))
	for _, at := range []int{0, 1, 100, len(body) - 1} {
		a.server.Inject(fakedrive.First(1, fakedrive.OpMultipart, fakedrive.Fault{Cut: true, At: int64(at)}))
		if resp, _, err := a.try("POST", uploadURL+"?uploadType=multipart", body, header); err == nil {
			t.Errorf("cut at %d: %d", at, resp.StatusCode)
		}
	}
	a.want(400, "POST", uploadURL+"?uploadType=multipart", []byte("nothing"), header)
	a.want(400, "POST", uploadURL+"?uploadType=multipart", body)
	if got := a.server.Files("x"); len(got) != 0 {
		t.Errorf("%d files are there", len(got))
	}
}

func TestReplaceContent(t *testing.T) {
	a := start(t, fakedrive.Config{})
	id := a.file("x", "root", []byte("old"))
	a.want(200, "PATCH", uploadURL+"/"+id+"?uploadType=media", []byte("new"))
	if _, got := a.send("GET", filesURL+"/"+id+"?alt=media", nil); string(got) != "new" {
		t.Errorf("it holds %q", got)
	}
	if got := a.server.Files("x"); len(got) != 1 || got[0].ID != id {
		t.Errorf("there is %v", got)
	}
}
