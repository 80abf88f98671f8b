package fakedrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

const maxJSON = 1 << 20 // bytes of metadata

// api is www.googleapis.com.
func (s *Server) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /drive/v3/about", s.signedIn(OpAbout, s.about))
	mux.HandleFunc("GET /drive/v3/files", s.signedIn(OpList, s.list))
	mux.HandleFunc("POST /drive/v3/files", s.signedIn(OpCreate, s.create))
	mux.HandleFunc("GET /drive/v3/files/{id}", s.getFile)
	mux.HandleFunc("PATCH /drive/v3/files/{id}", s.signedIn(OpUpdate, s.update))
	mux.HandleFunc("DELETE /drive/v3/files/{id}", s.signedIn(OpDelete, s.deleteFile))
	mux.HandleFunc("DELETE /drive/v3/files/trash", s.signedIn(OpEmptyTrash, s.emptyTrash))
	mux.HandleFunc("POST /upload/drive/v3/files", s.upload)
	mux.HandleFunc("PUT /upload/drive/v3/files", s.upload)
	mux.HandleFunc("PATCH /upload/drive/v3/files/{id}", s.upload)
	mux.HandleFunc("PUT /upload/drive/v3/files/{id}", s.upload)
	mux.HandleFunc("/", s.foreign)
	return mux
}

// foreign answers what is not modelled.
func (s *Server) foreign(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.count.Foreign = append(s.count.Foreign, r.Method+" "+r.Host+r.URL.Path)
	s.mu.Unlock()
	refusal{Code: 501, Reason: "notImplemented", Message: "fakedrive does not model this request"}.answer(w)
}

// An operation does what an app asks and answers, or says why not.
type operation func(w http.ResponseWriter, r *http.Request, g *grant) error

// signedIn is the way of every request: counted, subject to faults, then to
// the app's rights.
func (s *Server) signedIn(op string, do operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f := s.judge(op, r)
		if f.suffer(w, r) {
			return
		}
		if f.CutAnswer {
			w = &cutAnswer{w, f.At}
		}
		g, err := s.authorize(r)
		if err == nil {
			err = do(w, r, g)
		}
		answerError(w, err)
		if f.CutAnswer {
			panic(http.ErrAbortHandler) // shorter than At: cut all the same
		}
	}
}

func answerError(w http.ResponseWriter, err error) {
	var e refusal
	switch {
	case err == nil:
	case errors.As(err, &e):
		e.answer(w)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		panic(http.ErrAbortHandler) // the request broke off
	default:
		refusal{Code: 500, Reason: "internalError", Message: err.Error()}.answer(w)
	}
}

// answerFile sends what was asked for of a file. Callers do not hold s.mu.
func (s *Server) answerFile(w http.ResponseWriter, r *http.Request, f *file) error {
	m, err := fields(r, fileMask)
	if err != nil {
		return err
	}
	s.mu.Lock()
	resource := s.resource(f, f.now())
	s.mu.Unlock()
	answerJSON(w, http.StatusOK, m.apply(resource))
	return nil
}

func fields(r *http.Request, otherwise mask) (mask, error) {
	text := r.URL.Query().Get("fields")
	if text == "" {
		return otherwise, nil
	}
	m, err := parseMask(text)
	if err != nil {
		return nil, refusal{Code: 400, Reason: "invalidParameter", Message: "Invalid field selection " + text, Location: "fields", Type: "parameter"}
	}
	return m, nil
}

func (s *Server) about(w http.ResponseWriter, r *http.Request, g *grant) error {
	m, err := fields(r, nil)
	if err != nil {
		return err
	}
	if m == nil {
		return errFields
	}
	s.mu.Lock()
	used, trash := s.used()
	quota := map[string]any{"usage": fmt.Sprint(used), "usageInDrive": fmt.Sprint(used), "usageInDriveTrash": fmt.Sprint(trash)}
	if s.config.Quota > 0 { // "This will not be present if the user has unlimited storage."
		quota["limit"] = fmt.Sprint(s.config.Quota)
	}
	s.mu.Unlock()
	answerJSON(w, http.StatusOK, m.apply(map[string]any{
		"kind": "drive#about", "storageQuota": quota, "maxUploadSize": "5242880000000",
		"user":          map[string]any{"kind": "drive#user", "displayName": "A Person", "me": true, "emailAddress": "person@example.com"},
		"exportFormats": map[string]any{}, "importFormats": map[string]any{},
	}))
	return nil
}

func readJSON(r io.Reader, v any) error {
	body, err := io.ReadAll(io.LimitReader(r, maxJSON+1))
	switch {
	case err != nil:
		return err
	case len(body) > maxJSON || len(body) > 0 && json.Unmarshal(body, v) != nil:
		return refusal{Code: 400, Reason: "parseError", Message: "Parse Error"}
	}
	return nil
}

// parent finds the folder a new file is to lie in. Callers hold s.mu.
func (s *Server) parent(m metadata, g *grant) (*file, error) {
	id := "root"
	switch len(m.Parents) {
	case 0:
	case 1:
		id = m.Parents[0]
	default:
		return nil, refusal{Code: 403, Reason: "teamDrivesParentLimit", Message: "A file cannot have more than one parent."}
	}
	var in *file
	if id == "root" { // an app that may not see My Drive may put files there
		in = s.files[s.root]
	} else if in = s.resolve(id, g); in == nil && id == s.root {
		in = s.files[s.root]
	}
	switch {
	case in == nil && id == spaceAppData:
		return nil, errScope
	case in == nil || in.mime != folderType:
		return nil, notFound(id)
	case !g.mayWrite(in.space):
		return nil, errScope
	}
	return in, nil
}

// settle puts a new file where its metadata says. Callers hold s.mu.
func (s *Server) settle(f *file, m metadata, in *file, g *grant) {
	name := "Untitled"
	if m.Name != nil {
		name = *m.Name
	}
	modified := m.ModifiedTime
	if modified.IsZero() {
		modified = s.config.Now()
	}
	f.space, f.app = in.space, g.client
	s.add(f, place{name: name, parent: in.id, modified: modified})
}

// create makes folders, and files without content.
func (s *Server) create(w http.ResponseWriter, r *http.Request, g *grant) error {
	var m metadata
	if err := readJSON(r.Body, &m); err != nil {
		return err
	}
	s.mu.Lock()
	in, err := s.parent(m, g)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	f := &file{id: s.id("1"), mime: m.MimeType}
	if m.MimeType != folderType {
		b, err := newBlob(s.contentPath(f.id))
		if err != nil {
			s.mu.Unlock()
			return err
		}
		b.close()
		f = b.made(f.id, m.MimeType)
	}
	s.settle(f, m, in, g)
	s.mu.Unlock()
	return s.answerFile(w, r, f)
}

// seen is a file for an operation on its id.
func (s *Server) seen(id string, g *grant) (*file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.resolve(id, g)
	if f == nil {
		return nil, notFound(id)
	}
	return f, nil
}

func (s *Server) update(w http.ResponseWriter, r *http.Request, g *grant) error {
	var m metadata
	if err := readJSON(r.Body, &m); err != nil {
		return err
	}
	f, err := s.seen(r.PathValue("id"), g)
	if err != nil {
		return err
	}
	if err := s.change(f, m, r, g); err != nil {
		return err
	}
	return s.answerFile(w, r, f)
}

func (s *Server) change(f *file, m metadata, r *http.Request, g *grant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	add, remove := r.URL.Query().Get("addParents"), r.URL.Query().Get("removeParents")
	switch {
	case !g.mayWrite(f.space):
		return errScope
	case m.Trashed != nil && f.space == spaceAppData:
		return errAppData
	}
	to := s.resolve(add, g)
	switch {
	case add != "" && (to == nil || to.mime != folderType):
		return notFound(add)
	case to != nil && to.space != f.space:
		return errAppMove
	case to != nil && f.now().parent != to.id && !slices.Contains(strings.Split(remove, ","), f.now().parent):
		return badRequest("Increasing the number of parents is not allowed")
	}
	f.move(s.config.Now(), func(p *place) {
		p.modified = s.config.Now()
		if m.Name != nil {
			p.name = *m.Name
		}
		if !m.ModifiedTime.IsZero() {
			p.modified = m.ModifiedTime
		}
		if m.Trashed != nil {
			p.trashed = *m.Trashed
		}
		if to != nil {
			p.parent = to.id
		}
	})
	return nil
}

// deleteFile deletes for good, past the trash.
func (s *Server) deleteFile(w http.ResponseWriter, r *http.Request, g *grant) error {
	f, err := s.seen(r.PathValue("id"), g)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !g.mayWrite(f.space) || f.now().parent == "" {
		return errScope
	}
	s.remove(f)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) emptyTrash(w http.ResponseWriter, r *http.Request, g *grant) error {
	if !g.may("drive") {
		return errScope
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.order {
		if p := f.now(); p.trashed && !p.gone {
			s.remove(f)
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
