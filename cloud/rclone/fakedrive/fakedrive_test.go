package fakedrive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/cloud/rclone/fakedrive"
)

const (
	filesURL  = "https://www.googleapis.com/drive/v3/files"
	uploadURL = "https://www.googleapis.com/upload/drive/v3/files"
)

// app is an app of the person's, as its developer would write it.
type app struct {
	t      *testing.T
	server *fakedrive.Server
	client *http.Client
	bearer string
}

func start(t *testing.T, c fakedrive.Config, scopes ...string) *app {
	t.Helper()
	c.Dir = t.TempDir()
	s, err := fakedrive.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	a := &app{t: t, server: s, client: s.Browser()}
	a.bearer = access(t, s.SignIn(scopes...))
	return a
}

func access(t *testing.T, token string) string {
	t.Helper()
	var blob struct {
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(token), &blob); err != nil {
		t.Fatal(err)
	}
	return blob.Access
}

// send makes a request; headers are "Name: value".
func (a *app) send(method, url string, body []byte, headers ...string) (*http.Response, []byte) {
	a.t.Helper()
	resp, content, err := a.try(method, url, body, headers...)
	if err != nil {
		a.t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp, content
}

func (a *app) try(method, url string, body []byte, headers ...string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.bearer)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := a.client.Transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	return resp, content, err
}

// want makes a request, checks the status, and decodes the answer.
func (a *app) want(status int, method, url string, body []byte, headers ...string) map[string]any {
	a.t.Helper()
	resp, content := a.send(method, url, body, headers...)
	if resp.StatusCode != status {
		a.t.Fatalf("%s %s = %d %s, want %d", method, url, resp.StatusCode, content, status)
	}
	var answer map[string]any
	_ = json.Unmarshal(content, &answer) // some answers have no body
	return answer
}

func reason(answer map[string]any) string {
	e, _ := answer["error"].(map[string]any)
	list, _ := e["errors"].([]any)
	if len(list) == 0 {
		return ""
	}
	first, _ := list[0].(map[string]any)
	text, _ := first["reason"].(string)
	return text
}

func (a *app) folder(name, parent string) string {
	a.t.Helper()
	body := fmt.Sprintf(`{"name":%q,"mimeType":"application/vnd.google-apps.folder","parents":[%q]}`, name, parent)
	return a.want(200, "POST", filesURL, []byte(body))["id"].(string)
}

func multipartBody(meta string, content []byte) (body []byte, contentType string) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "--x\r\nContent-Type: application/json\r\n\r\n%s\r\n--x\r\nContent-Type: text/plain\r\n\r\n", meta)
	b.Write(content)
	b.WriteString("\r\n--x--\r\n")
	return b.Bytes(), "Content-Type: multipart/related; boundary=x"
}

func (a *app) file(name, parent string, content []byte) string {
	a.t.Helper()
	body, header := multipartBody(fmt.Sprintf(`{"name":%q,"parents":[%q]}`, name, parent), content)
	return a.want(200, "POST", uploadURL+"?uploadType=multipart", body, header)["id"].(string)
}

// names lists the names a query finds, page by page.
func (a *app) names(q string, more ...string) []string {
	a.t.Helper()
	v := url.Values{"q": {q}}
	for _, m := range more {
		name, value, _ := strings.Cut(m, "=")
		v.Set(name, value)
	}
	found := []string{}
	for {
		answer := a.want(200, "GET", filesURL+"?"+v.Encode(), nil)
		for _, f := range answer["files"].([]any) {
			found = append(found, f.(map[string]any)["name"].(string))
		}
		next, more := answer["nextPageToken"].(string)
		if !more {
			return found
		}
		v.Set("pageToken", next)
	}
}

func (a *app) wantNames(q string, want ...string) {
	a.t.Helper()
	if got := a.names(q); !cmp.Equal(got, append([]string{}, want...)) {
		a.t.Errorf("names of %s = %q, want %q", q, got, want)
	}
}

func TestNamesAreNotUnique(t *testing.T) {
	a := start(t, fakedrive.Config{})
	in := a.folder("in", "root")
	one, two := a.file("x", in, []byte("one")), a.file("x", in, []byte("two"))
	if one == two {
		t.Fatal("the second create replaced the first")
	}
	a.wantNames("'"+in+"' in parents and name = 'X'", "x", "x")
	if _, got := a.send("GET", filesURL+"/"+one+"?alt=media", nil); string(got) != "one" {
		t.Errorf("the first holds %q", got)
	}
	if got := len(a.server.Files("in/x")); got != 2 {
		t.Errorf("%d files are there", got)
	}
}

func TestPagesAndFields(t *testing.T) {
	a := start(t, fakedrive.Config{})
	for i := range 5 {
		a.file(fmt.Sprint(i), "root", nil)
	}
	want := []string{"0", "1", "2", "3", "4"}
	if got := a.names("trashed=false", "pageSize=2"); !cmp.Equal(got, want) {
		t.Errorf("pages of two give %q", got)
	}
	a.server.RepeatRows(true)
	if got := a.names("trashed=false", "pageSize=3"); !cmp.Equal(got, []string{"0", "1", "2", "2", "3", "4"}) {
		t.Errorf("repeated rows: %q", got)
	}
	answer := a.want(200, "GET", filesURL+"?pageSize=1", nil)
	first := answer["files"].([]any)[0].(map[string]any)
	if _, has := first["size"]; has || first["mimeType"] == nil {
		t.Errorf("without fields a row is %v", first)
	}
	answer = a.want(200, "GET", filesURL+"?pageSize=1&fields=files(size,md5Checksum)", nil)
	if diff := cmp.Diff(answer, map[string]any{"files": []any{map[string]any{"size": "0", "md5Checksum": "d41d8cd98f00b204e9800998ecf8427e"}}}); diff != "" {
		t.Error(diff)
	}
	a.want(400, "GET", "https://www.googleapis.com/drive/v3/about", nil)
	a.want(400, "GET", filesURL+"?fields=files(", nil)
	a.want(400, "GET", filesURL+"?pageToken=none", nil)
	a.want(400, "GET", filesURL+"?q=name", nil)
}

// TestLag moves a clock: what is made or deleted shows late in listings, later
// by name, and at once by id.
func TestLag(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	a := start(t, fakedrive.Config{Now: func() time.Time { return now }})
	a.server.SetLag(fakedrive.Lag{Folders: time.Minute, Names: 2 * time.Minute})
	id := a.file("x", "root", []byte("1"))
	a.want(200, "GET", filesURL+"/"+id, nil)
	a.wantNames("'root' in parents")
	now = now.Add(time.Minute)
	a.wantNames("'root' in parents", "x")
	a.wantNames("name='x'")
	now = now.Add(time.Minute)
	a.wantNames("name='x'", "x")
	a.want(204, "DELETE", filesURL+"/"+id, nil)
	a.wantNames("'root' in parents", "x")
	a.want(404, "GET", filesURL+"/"+id+"?alt=media", nil)
	now = now.Add(time.Minute)
	a.wantNames("'root' in parents")
	a.wantNames("name='x'", "x")
}

func TestTrash(t *testing.T) {
	a := start(t, fakedrive.Config{Quota: 10})
	in := a.folder("in", "root")
	a.file("x", in, []byte("12345678"))
	a.want(200, "PATCH", filesURL+"/"+in, []byte(`{"trashed":true}`))
	a.wantNames("trashed=false")
	a.wantNames("trashed=true", "in", "x")
	a.wantNames("", "in", "x")
	body, header := multipartBody(`{}`, []byte("123"))
	answer := a.want(403, "POST", uploadURL+"?uploadType=multipart", body, header)
	if got := reason(answer); got != "storageQuotaExceeded" {
		t.Errorf("what is in the trash does not count: %s", got)
	}
	a.want(204, "DELETE", filesURL+"/trash", nil)
	answer = a.want(200, "GET", "https://www.googleapis.com/drive/v3/about?fields=storageQuota/usage,storageQuota/limit", nil)
	if diff := cmp.Diff(answer, map[string]any{"storageQuota": map[string]any{"usage": "0", "limit": "10"}}); diff != "" {
		t.Error(diff)
	}
}

func TestRanges(t *testing.T) {
	a := start(t, fakedrive.Config{})
	id, empty := a.file("x", "root", []byte("0123456789")), a.file("e", "root", nil)
	for _, c := range []struct {
		id, header string
		status     int
		body       string
	}{
		{id, "bytes=2-4", 206, "234"}, {id, "bytes=8-", 206, "89"}, {id, "bytes=-3", 206, "789"},
		{id, "bytes=10-", 416, ""}, {empty, "bytes=0-", 416, ""}, {empty, "", 200, ""},
	} {
		resp, body := a.send("GET", filesURL+"/"+c.id+"?alt=media", nil, "Range: "+c.header)
		if resp.StatusCode != c.status || c.status < 300 && string(body) != c.body {
			t.Errorf("range %s = %d %q, want %d %q", c.header, resp.StatusCode, body, c.status, c.body)
		}
	}
	if got := a.server.Counters().Received; got != 3+2+3 {
		t.Errorf("%d bytes of content counted", got)
	}
}

func TestAppDataFolder(t *testing.T) {
	a := start(t, fakedrive.Config{}, "drive.appdata")
	id := a.file("x", "appDataFolder", []byte("1"))
	if got := a.names("'appDataFolder' in parents", "spaces=appDataFolder"); !cmp.Equal(got, []string{"x"}) {
		t.Errorf("in the hidden folder: %q", got)
	}
	if got := reason(a.want(403, "GET", filesURL, nil)); got != "insufficientScopes" {
		t.Errorf("the other space: %s", got)
	}
	if got := reason(a.want(403, "PATCH", filesURL+"/"+id, []byte(`{"trashed":true}`))); got != "notSupportedForAppDataFolderFiles" {
		t.Errorf("trashing: %s", got)
	}
	a.bearer = access(t, a.server.SignIn("drive"))
	a.wantNames("")
	a.want(404, "GET", filesURL+"/"+id, nil)
	a.want(204, "DELETE", filesURL+"/"+a.file("y", "root", nil), nil)
}

func TestScopes(t *testing.T) {
	a := start(t, fakedrive.Config{})
	a.file("of-another", "root", nil)
	a.bearer = access(t, a.server.SignIn("drive.readonly"))
	a.wantNames("", "of-another")
	body, header := multipartBody(`{}`, nil)
	a.want(403, "POST", uploadURL+"?uploadType=multipart", body, header)
	a.bearer = access(t, a.server.SignIn("drive.file"))
	a.want(404, "GET", filesURL+"/root", nil)
	a.file("mine", "root", nil)
	a.wantNames("'root' in parents", "of-another", "mine") // one client id: both are its own
}

func TestForeign(t *testing.T) {
	a := start(t, fakedrive.Config{})
	a.want(501, "GET", "https://www.googleapis.com/drive/v3/changes", nil)
	if got := a.server.Counters().Foreign; !cmp.Equal(got, []string{"GET www.googleapis.com/drive/v3/changes"}) {
		t.Errorf("foreign requests: %q", got)
	}
}
