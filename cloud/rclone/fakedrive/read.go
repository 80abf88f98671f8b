package fakedrive

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// list is files.list.
func (s *Server) list(w http.ResponseWriter, r *http.Request, g *grant) error {
	q := r.URL.Query()
	m, err := fields(r, listMask)
	if err != nil {
		return err
	}
	spaces := q.Get("spaces")
	if spaces == "" {
		spaces = spaceDrive
	}
	for space := range strings.SplitSeq(spaces, ",") {
		if space != spaceDrive && space != spaceAppData {
			return invalid("spaces")
		}
		if !g.sees(space) {
			return errSpaces
		}
	}
	size, err := pageSize(q.Get("pageSize"))
	if err != nil {
		return err
	}
	page, next, err := s.page(q.Get("q"), spaces, q.Get("pageToken"), size, g)
	if err != nil {
		return err
	}
	answer := map[string]any{"kind": "drive#fileList", "incompleteSearch": false, "files": page}
	if next != "" {
		answer["nextPageToken"] = next
	}
	answerJSON(w, http.StatusOK, m.apply(answer))
	return nil
}

func pageSize(text string) (int, error) {
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, invalid("pageSize")
	}
	return min(n, maxPage), nil
}

// page finds the rows after a page token, which is a position in the order in
// which files were made, and of no meaning to clients.
func (s *Server) page(q, spaces, after string, size int, g *grant) (rows []map[string]any, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parsed, err := parseQuery(q, func(id string) string {
		if f := s.resolve(id, g); f != nil {
			return f.id
		}
		if id == "root" {
			return s.root
		}
		return id
	})
	if err != nil {
		return nil, "", invalid("q")
	}
	from, err := s.position(after)
	if err != nil {
		return nil, "", err
	}
	lag := s.lag.Folders
	if parsed.named {
		lag = s.lag.Names
	}
	then := s.config.Now().Add(-lag)
	rows = []map[string]any{}
	for i := from; i < len(s.order); i++ {
		f := s.order[i]
		p, there := f.at(then)
		if !there || !strings.Contains(spaces, f.space) || !g.maySee(f, s.root) || !parsed.holds(row{f, p, s.trashed(p)}) {
			continue
		}
		if len(rows) == size {
			return rows, s.pageToken(i), nil
		}
		rows = append(rows, s.resource(f, p))
	}
	return rows, "", nil
}

// pageToken names the page that starts at a position, or, with RepeatRows, one
// before it.
func (s *Server) pageToken(position int) string {
	if s.repeat && position > 0 {
		position--
	}
	return fmt.Sprintf("~!!~%d", position)
}

func (s *Server) position(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(token, "~!!~"))
	if err != nil || n < 0 || n > len(s.order) {
		return 0, invalid("pageToken")
	}
	return n, nil
}

// getFile is files.get: metadata, or with alt=media content.
func (s *Server) getFile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("alt") == "media" {
		s.signedIn(OpDownload, s.download)(w, r)
		return
	}
	s.signedIn(OpGet, func(w http.ResponseWriter, r *http.Request, g *grant) error {
		f, err := s.seen(r.PathValue("id"), g)
		if err != nil {
			return err
		}
		return s.answerFile(w, r, f)
	})(w, r)
}

func (s *Server) download(w http.ResponseWriter, r *http.Request, g *grant) error {
	f, err := s.seen(r.PathValue("id"), g)
	if err != nil {
		return err
	}
	s.mu.Lock()
	mime, size, path := f.mime, f.size, f.content
	modified := f.now().modified
	s.mu.Unlock()
	if path == "" {
		return errNoContent
	}
	if !satisfiable(r.Header.Get("Range"), size) {
		return errRange
	}
	content, err := os.Open(path)
	if err != nil {
		return notFound(f.id) // deleted since
	}
	defer content.Close()
	w.Header().Set("Content-Type", mime)
	http.ServeContent(&countedAnswer{w, s}, r, "", modified, content)
	return nil
}

// satisfiable says whether a range of one part starts within the content.
// Drive refuses every range of an empty file (rclone, backend/drive:
// httpResponse).
func satisfiable(header string, size int64) bool {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return true
	}
	first, _, _ := strings.Cut(spec, "-")
	if first == "" {
		return size > 0
	}
	start, err := strconv.ParseInt(first, 10, 64)
	return err != nil || start < size
}

// countedAnswer counts the bytes of contents that leave.
type countedAnswer struct {
	http.ResponseWriter
	s *Server
}

func (w *countedAnswer) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.s.mu.Lock()
	w.s.count.Received += int64(n)
	w.s.mu.Unlock()
	return n, err
}
