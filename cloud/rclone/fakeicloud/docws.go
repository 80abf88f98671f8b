package fakeicloud

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxFile bounds what one upload keeps in memory; nothing Keepsake stores is
// as large.
const maxFile = 64 << 20

// content is bytes that were uploaded, whether a file came of them or not.
type content struct {
	data []byte
	size int64
	sum  string // fileChecksum
	key  string // wrappingKey
}

// upload is a place that upload/web promised.
type upload struct {
	account  *account
	document string
	size     int64
}

// download is a URL that is good for a while.
type download struct {
	content *content
	until   time.Time
}

// linkLife is how long a download's URL is good. Apple's number is not known;
// the URL carries its end as e=.
const linkLife = time.Hour

func (s *Server) docws() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ws/{zone}/upload/web", s.inside(s.uploadWeb))
	mux.HandleFunc("POST /ws/{zone}/update/documents", s.inside(s.updateDocuments))
	mux.HandleFunc("GET /ws/{zone}/download/by_id", s.inside(s.downloadByID))
	mux.HandleFunc("POST /ws/{zone}/list/lookup_by_path", s.inside(s.lookupByPath))
	return mux
}

func checkZone(r *http.Request) *refusal {
	if r.PathValue("zone") != zone {
		return &refusal{status: http.StatusNotFound, code: "ZONE_NOT_FOUND", reason: "zone not found"}
	}
	return nil
}

func (s *Server) uploadWeb(r *http.Request, a *account) (any, *refusal) {
	var in struct {
		Filename string      `json:"filename"`
		Size     json.Number `json:"size"`
		Type     string      `json:"type"`
	}
	if no := checkZone(r); no != nil {
		return nil, no
	}
	err := decode(r, &in)
	size, sizeErr := in.Size.Int64()
	if err != nil || sizeErr != nil || size < 0 || in.Filename == "" || in.Type != "FILE" {
		return nil, badRequest("not a file")
	}
	if a.drive.used()+size > a.Quota {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, code: "QUOTA_EXCEEDED", reason: "Quota exceeded"}
	}
	u := &upload{account: a, document: newID(), size: size}
	path := "/" + token() + "/singleFileUpload"
	s.uploads[path] = u
	return []object{{"document_id": u.document, "url": "https://p31-contentws.icloud.com:443" + path + "?tk=" + token()}}, nil
}

// putContent takes the bytes of one upload. The server is not locked while
// they come.
func (s *Server) putContent(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	u := s.uploads[r.URL.Path]
	s.mu.Unlock()
	if u == nil || r.Method != http.MethodPost {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	data, err := body(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received += int64(len(data))
	if err != nil || int64(len(data)) != u.size {
		reply(w, http.StatusBadRequest, object{"error": "size does not match"})
		return
	}
	delete(s.uploads, r.URL.Path) // a URL takes one file
	sum := sha1.Sum(data)
	c := &content{data: data, size: u.size, key: base64.StdEncoding.EncodeToString(random(16))}
	c.sum = base64.StdEncoding.EncodeToString(append([]byte{1}, sum[:]...))
	s.contents[u.document+c.sum] = c
	single := object{"referenceChecksum": c.sum, "fileChecksum": c.sum, "size": c.size, "wrappingKey": c.key}
	if u.size > 0 {
		single["receipt"] = token()
	}
	reply(w, http.StatusOK, object{"singleFile": single})
}

// body reads what was uploaded: raw, or the first part of a form.
func body(r *http.Request) ([]byte, error) {
	in := io.Reader(r.Body)
	if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		part, err := multipart.NewReader(r.Body, params["boundary"]).NextPart()
		if err != nil {
			return nil, err
		}
		in = part
	}
	data, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, fmt.Errorf("fakeicloud: a file of more than %d bytes", maxFile)
	}
	return data, err
}

// added is a request that makes a file of uploaded bytes.
type added struct {
	Command       string `json:"command"`
	DocumentID    string `json:"document_id"`
	AllowConflict bool   `json:"allow_conflict"`
	Mtime         int64  `json:"mtime"` // milliseconds
	Data          struct {
		Signature   string `json:"signature"`
		WrappingKey string `json:"wrapping_key"`
		Size        int64  `json:"size"`
	} `json:"data"`
	Path struct {
		Path   string `json:"path"`
		Folder string `json:"starting_document_id"`
	} `json:"path"`
}

// updateDocuments is the moment a file is seen, whole.
func (s *Server) updateDocuments(r *http.Request, a *account) (any, *refusal) {
	var in added
	if no := checkZone(r); no != nil {
		return nil, no
	}
	if err := decode(r, &in); err != nil || in.Command != "add_file" || in.Path.Path == "" || strings.Contains(in.Path.Path, "/") {
		return nil, badRequest("not a file to add")
	}
	c := s.contents[in.DocumentID+in.Data.Signature]
	if c == nil || c.key != in.Data.WrappingKey || c.size != in.Data.Size {
		return nil, badRequest("no such upload")
	}
	folder := a.drive.items[in.Path.Folder]
	if folder == nil || !folder.folder || !folder.there() {
		return nil, &refusal{
			status: http.StatusPreconditionFailed, code: "VALIDATING_REFERENCE_ERROR",
			reason: "Request has out of order children to be chained but the parents were missing",
		}
	}
	if a.drive.items[in.DocumentID] != nil { // the same request again, after its answer was lost
		return documents(a.drive.items[in.DocumentID], c), nil
	}
	name := in.Path.Path
	if !a.Duplicates {
		name = a.drive.free(folder, name)
	}
	if name != in.Path.Path && !in.AllowConflict {
		return nil, &refusal{status: http.StatusConflict, code: "EXISTS", reason: "the name is taken"}
	}
	i := a.drive.add(&item{id: in.DocumentID, parent: folder, name: name, content: c, modified: time.UnixMilli(in.Mtime)})
	return documents(i, c), nil
}

func documents(i *item, c *content) object {
	ok := object{"status_code": 0, "error_message": ""}
	return object{"status": ok, "results": []object{{"status": ok, "operation_id": nil, "document": object{
		"status": ok, "document_id": i.id, "item_id": "CJC_" + i.id, "etag": i.tag(), "parent_id": i.parent.id,
		"name": i.name, "type": i.kind(), "deleted": false, "mtime": i.modified.UnixMilli(), "btime": i.modified.UnixMilli(),
		"size": c.size, "zone": zone,
		"data":       object{"signature": c.sum, "size": c.size, "wrapping_key": c.key, "reference_signature": c.sum},
		"file_flags": object{"is_executable": true, "is_writable": true, "is_hidden": false},
	}}}}
}

func (s *Server) downloadByID(r *http.Request, a *account) (any, *refusal) {
	if no := checkZone(r); no != nil {
		return nil, no
	}
	i := a.drive.items[r.URL.Query().Get("document_id")]
	if i == nil || i.folder || !i.there() {
		return nil, notFound("no such document")
	}
	path := "/B/" + token() + "/" + i.name
	s.downloads[path] = download{content: i.content, until: s.now().Add(linkLife)}
	link := url.URL{Scheme: "https", Host: "cvws.icloud-content.com", Path: path, RawQuery: fmt.Sprintf("o=%s&v=1&x=3&e=%d&p=31", token(), s.now().Add(linkLife).Unix())}
	return object{"document_id": i.id, "item_id": "CJC_" + i.id, "owner_dsid": 1, "double_etag": i.tag(), "data_token": object{
		"url": link.String(), "token": token(), "signature": i.content.sum, "wrapping_key": i.content.key, "reference_signature": i.content.sum,
	}}, nil
}

// getContent needs no cookies: who has the URL has the file.
func (s *Server) getContent(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	d, ok := s.downloads[r.URL.Path]
	s.mu.Unlock()
	if !ok || s.now().After(d.until) {
		http.Error(w, "gone", http.StatusGone)
		return
	}
	http.ServeContent(&measured{ResponseWriter: w, s: s}, r, "", time.Time{}, strings.NewReader(string(d.content.data)))
}

// measured counts the bytes of objects that were sent.
type measured struct {
	http.ResponseWriter
	s *Server
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.s.mu.Lock()
	m.s.sent += int64(n)
	m.s.mu.Unlock()
	return n, err
}

func (s *Server) lookupByPath(r *http.Request, a *account) (any, *refusal) {
	var path string
	if err := decode(r, &path); err != nil {
		return nil, badRequest("not a path")
	}
	at := a.drive.items[rootID]
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if at = a.drive.named(at, name); at == nil {
			return nil, notFound("no such path")
		}
	}
	return []object{a.drive.describe(at)}, nil
}

func (s *Server) move(r *http.Request, a *account) (any, *refusal) {
	var in struct {
		To    string  `json:"destinationDrivewsId"`
		Items []asked `json:"items"`
	}
	if err := decode(r, &in); err != nil || len(in.Items) == 0 {
		return nil, badRequest("no items")
	}
	to := a.drive.find(in.To)
	if to == nil || !to.folder {
		return nil, notFound("no such folder")
	}
	list := []object{}
	for _, want := range in.Items {
		i := a.drive.find(want.Drivewsid)
		switch {
		case i == nil:
			list = append(list, object{"drivewsid": want.Drivewsid, "status": "ID_INVALID"})
			continue
		case want.Etag != i.tag():
			list = append(list, object{"drivewsid": want.Drivewsid, "etag": i.tag(), "status": "ETAG_CONFLICT"})
			continue
		}
		i.parent, i.name = to, a.drive.free(to, i.name)
		a.drive.touch(i)
		list = append(list, a.drive.describe(i))
	}
	return object{"items": list}, nil
}
