package fakeicloud_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud/rclone/fakeicloud"
)

// web is a client of the parts of the API that rclone does not use, or not in
// this way: pyicloud's.
type web struct {
	t       *testing.T
	client  *http.Client
	cookies string
	last    reply  // update/documents
	set     string // cookies of the last answer that had any
}

type reply map[string]any

const (
	drivews = "https://p31-drivews.icloud.com:443/"
	docws   = "https://p31-docws.icloud.com:443/ws/com.apple.CloudDocs/"
	root    = "FOLDER::com.apple.CloudDocs::root"
)

func browse(t *testing.T, s *fakeicloud.Server) *web {
	t.Helper()
	m := options(password)
	signIn(t, s, m)
	c := s.Client()
	t.Cleanup(c.CloseIdleConnections)
	return &web{t: t, client: c, cookies: m["cookies"]}
}

// call posts JSON, or gets when there is none, and gives the status and the
// answer, the first of a list.
func (b *web) call(address string, in any) (int, reply) {
	b.t.Helper()
	method, body := http.MethodGet, []byte(nil)
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			b.t.Fatal(err)
		}
		method = http.MethodPost
	}
	return b.send(method, address, "application/json", bytes.NewReader(body))
}

func (b *web) send(method, address, kind string, body io.Reader) (int, reply) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Cookie", b.cookies)
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if all := resp.Cookies(); len(all) > 0 {
		b.set = ""
		for _, c := range all {
			b.set += c.Name + "=" + c.Value + "; "
		}
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var one reply
	if list := []reply(nil); json.Unmarshal(raw, &list) == nil && len(list) > 0 {
		one = list[0]
	} else if json.Unmarshal(raw, &one) != nil {
		one = reply{"text": string(raw)}
	}
	return resp.StatusCode, one
}

// item gives the only item of an answer's list.
func (r reply) item(list string) reply {
	all, _ := r[list].([]any)
	if len(all) != 1 {
		return nil
	}
	one, _ := all[0].(map[string]any)
	return one
}

// upload stores a file by pyicloud's way and gives the last answer.
func (b *web) upload(name string, data []byte) (int, reply) {
	b.t.Helper()
	status, place := b.call(docws+"upload/web", reply{"filename": name, "type": "FILE", "content_type": "", "size": len(data)})
	if status != http.StatusOK {
		return status, place
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile(name, name)
	if err != nil {
		b.t.Fatal(err)
	}
	part.Write(data)
	w.Close()
	status, done := b.send(http.MethodPost, place["url"].(string), w.FormDataContentType(), &form)
	single, _ := done["singleFile"].(map[string]any)
	if status != http.StatusOK || single == nil || (single["receipt"] != nil) != (len(data) > 0) {
		b.t.Fatalf("uploading %d bytes: %d %v", len(data), status, done)
	}
	b.last = reply{
		"command": "add_file", "document_id": place["document_id"], "allow_conflict": false, "mtime": 1_700_000_000_000,
		"path": reply{"path": name, "starting_document_id": "root"},
		"data": reply{"signature": single["fileChecksum"], "wrapping_key": single["wrappingKey"], "size": single["size"]},
	}
	return b.call(docws+"update/documents", b.last)
}

func TestWebFiles(t *testing.T) {
	s := start(t)
	b := browse(t, s)
	if status, r := b.upload("a.txt", []byte("hello")); status != http.StatusOK {
		t.Fatalf("%d %v", status, r)
	}
	if status, r := b.upload("A.TXT", nil); status != http.StatusConflict || r["serverErrorCode"] != "EXISTS" {
		t.Errorf("a second file without allow_conflict: %d %v", status, r)
	}
	_, r := b.call(drivews+"retrieveItemDetailsInFolders", []reply{{"drivewsid": root, "partialData": false}})
	file := r.item("items")
	if file["name"] != "a" || file["extension"] != "txt" || file["size"] != 5.0 || file["dateModified"] != "2023-11-14T22:13:20Z" {
		t.Fatalf("listed %v", r)
	}
	id := file["drivewsid"].(string)
	_, r = b.call(drivews+"renameItems", reply{"items": []reply{{"drivewsid": id, "etag": "old", "name": "b.txt"}}})
	if r.item("items")["status"] != "ETAG_CONFLICT" {
		t.Errorf("renaming by an old etag: %v", r)
	}
	_, r = b.call(drivews+"renameItems", reply{"items": []reply{{"drivewsid": id, "etag": file["etag"], "name": "b.txt"}}})
	etag := r.item("items")["etag"]
	if r.item("items")["status"] != "OK" || s.Files(person)["b.txt"] != 5 {
		t.Errorf("renaming: %v", r)
	}
	_, r = b.call(drivews+"deleteItems", reply{"items": []reply{{"drivewsid": id, "etag": etag}}})
	if r.item("items")["status"] != "OK" || len(s.Files(person)) != 0 || len(s.Trash(person)) != 0 || s.Used(person) != 0 {
		t.Errorf("deleting for good: %v", r)
	}
	if status, r := b.call(docws+"download/by_id?document_id="+strings.TrimPrefix(id, "FILE::com.apple.CloudDocs::"), nil); status != http.StatusNotFound {
		t.Errorf("downloading a deleted file: %d %v", status, r)
	}
}

func TestWebFolders(t *testing.T) {
	s := start(t)
	b := browse(t, s)
	_, r := b.call(drivews+"createFolders", reply{"destinationDrivewsId": root, "folders": []reply{{"clientId": "x", "name": "F"}}})
	folder := r.item("folders")
	if folder["status"] != "OK" {
		t.Fatalf("a folder: %v", r)
	}
	if _, r = b.call(drivews+"createFolders", reply{"destinationDrivewsId": root, "folders": []reply{{"clientId": "x", "name": "f"}}}); r.item("folders")["status"] != "UNKNOWN" {
		t.Errorf("a folder that is there: %v", r)
	}
	b.upload("a", []byte("1"))
	if status, r := b.call(docws+"update/documents", b.last); status != http.StatusOK || len(s.Files(person)) != 1 {
		t.Errorf("the same request again: %d %v, files %v", status, r, s.Files(person))
	}
	if !s.Remove(person, "F") || s.Remove(person, "F") {
		t.Error("a person could not remove the folder once")
	}
	_, r = b.call(drivews+"retrieveItemDetailsInFolders", []reply{{"drivewsid": folder["drivewsid"]}})
	if r["status"] != "ID_INVALID" || r["items"] != nil {
		t.Errorf("a folder that is gone: %v", r)
	}
	b.last["path"] = reply{"path": "x", "starting_document_id": strings.TrimPrefix(folder["drivewsid"].(string), "FOLDER::com.apple.CloudDocs::")}
	if status, r := b.call(docws+"update/documents", b.last); status != http.StatusPreconditionFailed {
		t.Errorf("a file in a folder that is gone: %d %v", status, r)
	}
	if status, _ := b.call(docws+"list/lookup_by_path", "F"); status != http.StatusNotFound {
		t.Errorf("its path is found: %d", status)
	}
}

func TestWebRefusals(t *testing.T) {
	s := start(t)
	b := browse(t, s)
	for address, in := range map[string]any{
		drivews + "createFolders":    reply{"destinationDrivewsId": "FOLDER::com.apple.CloudDocs::none", "folders": []reply{{"name": "x"}}},
		drivews + "moveItems":        reply{"items": []reply{}},
		docws + "upload/web":         reply{"filename": "x", "type": "FILE", "size": -1},
		docws + "update/documents":   reply{"command": "add_file", "document_id": "x", "path": reply{"path": "../x"}},
		drivews + "moveItemsToTrash": "text",
		strings.Replace(docws, "com.apple.CloudDocs", "other", 1) + "upload/web": reply{"filename": "x", "type": "FILE", "size": 1},
	} {
		if status, r := b.call(address, in); status < 400 || r["serverErrorCode"] == nil {
			t.Errorf("%s answered %d %v", address, status, r)
		}
	}
	s.Lock(person, true)
	if status, r := b.call(drivews+"retrieveItemDetails", []reply{}); status != http.StatusMisdirectedRequest || r["error"] != 2.0 {
		t.Errorf("of a locked account: %d %v", status, r)
	}
	s.Lock(person, false)
	b.cookies = ""
	if status, r := b.call(drivews+"retrieveItemDetails", []reply{}); status != http.StatusMisdirectedRequest || r["error"] != 1.0 {
		t.Errorf("without cookies: %d %v", status, r)
	}
}

func TestWebLag(t *testing.T) {
	s := start(t)
	b := browse(t, s)
	s.SetLag(time.Hour)
	b.upload("a", []byte("1"))
	count := func() any {
		_, r := b.call(drivews+"retrieveItemDetailsInFolders", []reply{{"drivewsid": root}})
		return r["numberOfItems"]
	}
	if n := count(); n != 0.0 {
		t.Errorf("a listing that lags shows %v files", n)
	}
	s.SetLag(0)
	if n := count(); n != 1.0 {
		t.Errorf("a listing shows %v files, want one", n)
	}
	s.SetLag(time.Hour)
	s.Freeze(person)
	s.Remove(person, "a")
	if n := count(); n != 1.0 {
		t.Errorf("a frozen listing shows %v files, want the one that was there", n)
	}
}

// TestWebInterrupted: an upload whose size is wrong leaves nothing, and a lost
// answer of update/documents may be asked for again.
func TestWebInterrupted(t *testing.T) {
	s := start(t)
	b := browse(t, s)
	_, place := b.call(docws+"upload/web", reply{"filename": "x", "type": "FILE", "size": 10})
	if status, _ := b.send(http.MethodPost, place["url"].(string), "application/json", strings.NewReader("short")); status != http.StatusBadRequest {
		t.Errorf("five bytes of ten: %d", status)
	}
	if status, _ := b.send(http.MethodPost, place["url"].(string), "application/json", strings.NewReader("0123456789")); status != http.StatusOK {
		t.Errorf("all ten: %d", status)
	}
	if len(s.Files(person)) != 0 {
		t.Errorf("files %v before update/documents", s.Files(person))
	}
	lost := 1
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if lost > 0 && strings.HasSuffix(r.URL.Path, "/update/documents") {
			lost--
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	f := open(t, signedIn(t, s), "")
	put(t, f, "y", []byte("1"))
	if n := s.Stats().Requests["POST documents"]; n != 2 || s.Files(person)["y"] != 1 {
		t.Errorf("%d requests, files %v", n, s.Files(person))
	}
}

// TestWebHalfSignedIn: neither cookies without the second factor nor those
// without the device's approval open anything.
func TestWebHalfSignedIn(t *testing.T) {
	s := start(t, fakeicloud.Account{AppleID: person, Password: password, Protected: true})
	b := browse(t, s)
	if status, r := b.call(drivews+"retrieveItemDetails", []reply{}); status != http.StatusLocked {
		t.Errorf("without the cookie of protected data: %d %v", status, r)
	}
	m := options(password)
	if _, err := step(t, m, "", ""); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(m["_auth_session"])
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	b.cookies = ""
	status, r := b.call("https://setup.icloud.com/setup/ws/1/accountLogin", reply{"dsWebAuthToken": state["t"]})
	if status != http.StatusOK || r["hsaChallengeRequired"] != true {
		t.Fatalf("with a password alone: %d %v", status, r)
	}
	b.cookies = b.set
	if status, r := b.call(drivews+"retrieveItemDetails", []reply{}); status != http.StatusMisdirectedRequest {
		t.Errorf("with a password alone the drive answers %d %v", status, r)
	}
	if status, r := b.call("https://idmsa.apple.com/appleauth/auth/2sv/trust", nil); status != http.StatusUnauthorized {
		t.Errorf("trust without a sign-in: %d %v", status, r)
	}
}
