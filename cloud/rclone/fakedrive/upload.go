package fakedrive

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
)

// upload tells the kinds of upload apart (manage-uploads).
func (s *Server) upload(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch kind := q.Get("uploadType"); {
	case q.Get("upload_id") != "":
		s.sessionRequest(w, r)
	case kind == "resumable":
		s.signedIn(OpUploadStart, s.startSession)(w, r)
	case kind == "multipart":
		s.signedIn(OpMultipart, s.uploadMultipart)(w, r)
	case kind == "media":
		s.signedIn(OpMultipart, func(w http.ResponseWriter, r *http.Request, g *grant) error {
			return s.receive(w, r, g, metadata{}, r.Header.Get("Content-Type"), r.Body)
		})(w, r)
	default:
		s.foreign(w, r)
	}
}

// uploadMultipart is one request with metadata and content
// (multipart/related, RFC 2387).
func (s *Server) uploadMultipart(w http.ResponseWriter, r *http.Request, g *grant) error {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return badRequest("Missing multipart boundary")
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	first, err := parts.NextPart()
	if err != nil {
		return malformed(err)
	}
	var m metadata
	if err := readJSON(first, &m); err != nil {
		return err
	}
	second, err := parts.NextPart()
	if err != nil {
		return malformed(err)
	}
	return s.receive(w, r, g, m, second.Header.Get("Content-Type"), second)
}

// malformed tells a body that is no multipart from one that broke off.
func malformed(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return badRequest("Malformed multipart body.")
}

// receive stores content that comes in one request: all of it, or nothing if
// the request breaks off.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, g *grant, m metadata, contentType string, content io.Reader) error {
	target, err := s.target(r, g, m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	b, err := newBlob(s.contentPath(s.id("in-")))
	s.mu.Unlock()
	if err != nil {
		return err
	}
	n, err := io.Copy(blobWriter{b}, content)
	s.sent(n)
	if err == nil { // the end of the request is not yet the end of its content
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		b.drop()
		return err
	}
	f, err := s.finish(b, target, m, contentType, g)
	if err != nil {
		return err
	}
	return s.answerFile(w, r, f)
}

type blobWriter struct{ *blob }

func (b blobWriter) Write(p []byte) (int, error) { return len(p), b.keep(p) }

func (s *Server) sent(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count.Sent += n
}

// target is the file whose content is replaced, nil for a new one. What would
// be refused when all has come is refused at once.
func (s *Server) target(r *http.Request, g *grant, m metadata) (*file, error) {
	if id := r.PathValue("id"); id != "" {
		f, err := s.seen(id, g)
		if err == nil && !g.mayWrite(f.space) {
			err = errScope
		}
		return f, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.parent(m, g)
	return nil, err
}

// finish makes a file of content that has come, if there is room.
func (s *Server) finish(b *blob, target *file, m metadata, contentType string, g *grant) (*file, error) {
	defer b.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fits(b.size); err != nil {
		b.drop()
		return nil, err
	}
	if m.MimeType != "" {
		contentType = m.MimeType
	}
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	if target != nil {
		s.replace(target, b.made(target.id, contentType), m)
		return target, nil
	}
	in, err := s.parent(m, g)
	if err != nil {
		b.drop()
		return nil, err
	}
	f := b.made(s.id("1"), contentType)
	s.settle(f, m, in, g)
	return f, nil
}

// fits refuses so many bytes when they do not fit. Callers hold s.mu.
func (s *Server) fits(bytes int64) error {
	if used, _ := s.used(); s.config.Quota > 0 && used+bytes > s.config.Quota {
		return errFull
	}
	return nil
}

func (s *Server) replace(f, with *file, m metadata) {
	f.size, f.md5, f.sha1, f.sha2, f.content, f.mime = with.size, with.md5, with.sha1, with.sha2, with.content, with.mime
	f.move(s.config.Now(), func(p *place) {
		p.modified = m.ModifiedTime
		if m.ModifiedTime.IsZero() {
			p.modified = s.config.Now()
		}
		if m.Name != nil {
			p.name = *m.Name
		}
	})
}

// startSession opens a resumable upload.
func (s *Server) startSession(w http.ResponseWriter, r *http.Request, g *grant) error {
	var m metadata
	if err := readJSON(r.Body, &m); err != nil {
		return err
	}
	target, err := s.target(r, g, m)
	if err != nil {
		return err
	}
	total := int64(-1)
	if text := r.Header.Get("X-Upload-Content-Length"); text != "" {
		if total, err = strconv.ParseInt(text, 10, 64); err != nil || total < 0 {
			return badRequest("Invalid X-Upload-Content-Length")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fits(max(total, 0)); err != nil {
		return err
	}
	u := &session{
		id: s.id("ABPtcPq"), target: target, meta: m, grant: g, total: total,
		mime: r.Header.Get("X-Upload-Content-Type"), began: s.config.Now(),
	}
	if u.blob, err = newBlob(s.contentPath(s.id("in-"))); err != nil {
		return err
	}
	s.sessions[u.id] = u
	w.Header().Set("Location", sessionURI(r.URL, u.id))
	w.Header().Set("X-GUploader-UploadID", u.id)
	w.WriteHeader(http.StatusOK)
	return nil
}

// sessionURI carries all the request asked for, so that the last answer of the
// session is what the first request wanted.
func sessionURI(u *url.URL, id string) string {
	q := u.Query()
	q.Set("upload_id", id)
	return fmt.Sprintf("https://www.googleapis.com%s?%s", u.Path, q.Encode())
}
