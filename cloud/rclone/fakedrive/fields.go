package fakedrive

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A mask is the parameter fields: "a,b(c,d),e/f", "*" for all (partial
// responses). A nil mask below a name is all of it.
type mask map[string]mask

const maxMask = 8 << 10 // bytes

var errMask = errors.New("fakedrive: malformed fields")

func parseMask(text string) (mask, error) {
	if len(text) > maxMask {
		return nil, fmt.Errorf("%w: %d bytes", errMask, len(text))
	}
	m, rest, err := maskList(text, 0)
	if err == nil && rest != "" {
		err = fmt.Errorf("%w: %q is left", errMask, rest)
	}
	return m, err
}

func maskList(text string, depth int) (m mask, rest string, err error) {
	if depth > maxDepth {
		return nil, "", fmt.Errorf("%w: too deep", errMask)
	}
	m = mask{}
	for {
		var name string
		var below mask
		if name, below, text, err = maskItem(text, depth); err != nil {
			return nil, "", err
		}
		if old := m[name]; old != nil && below != nil {
			for k, v := range below {
				old[k] = v
			}
		} else {
			m[name] = below
		}
		after, more := strings.CutPrefix(text, ",")
		if !more {
			return m, text, nil
		}
		text = after
	}
}

func maskItem(text string, depth int) (name string, below mask, rest string, err error) {
	n := strings.IndexAny(text, ",()/")
	if n < 0 {
		n = len(text)
	}
	name, text = strings.TrimSpace(text[:n]), text[n:]
	switch {
	case name == "":
		return "", nil, "", fmt.Errorf("%w: a name is empty", errMask)
	case strings.HasPrefix(text, "/"):
		if depth > maxDepth {
			return "", nil, "", fmt.Errorf("%w: too deep", errMask)
		}
		inner, deeper, rest, err := maskItem(text[1:], depth+1)
		return name, mask{inner: deeper}, rest, err
	case strings.HasPrefix(text, "("):
		below, text, err = maskList(text[1:], depth+1)
		after, closed := strings.CutPrefix(text, ")")
		if err == nil && !closed {
			err = fmt.Errorf("%w: a bracket is not closed", errMask)
		}
		return name, below, after, err
	}
	return name, nil, text, nil
}

// apply keeps of an answer what was asked for.
func (m mask) apply(v any) any {
	if _, all := m["*"]; m == nil || all {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		kept := make(map[string]any)
		for name, below := range m {
			if inner, there := v[name]; there {
				kept[name] = below.apply(inner)
			}
		}
		return kept
	case []map[string]any:
		kept := make([]any, 0, len(v))
		for _, inner := range v {
			kept = append(kept, m.apply(inner))
		}
		return kept
	}
	return v
}

// Without fields version 3 of the API answers little.
var (
	fileMask = mask{"kind": nil, "id": nil, "name": nil, "mimeType": nil, "resourceKey": nil}
	listMask = mask{"kind": nil, "incompleteSearch": nil, "nextPageToken": nil, "files": fileMask}
)

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// resource is a file as the API describes it. Callers hold s.mu.
func (s *Server) resource(f *file, p place) map[string]any {
	r := map[string]any{
		"kind": "drive#file", "id": f.id, "name": p.name, "mimeType": f.mime,
		"createdTime":  f.created.UTC().Format(timeFormat),
		"modifiedTime": p.modified.UTC().Format(timeFormat),
		"trashed":      s.trashed(p), "explicitlyTrashed": p.trashed,
		"spaces": []string{f.space}, "version": fmt.Sprint(f.version), "ownedByMe": true,
		"owners": []map[string]any{{"kind": "drive#user", "me": true, "emailAddress": "person@example.com"}},
	}
	if p.parent != "" {
		r["parents"] = []string{p.parent}
	}
	if f.mime != folderType {
		size := fmt.Sprint(f.size) // 64-bit numbers are strings in Google's JSON
		r["size"], r["quotaBytesUsed"] = size, size
		r["md5Checksum"], r["sha1Checksum"], r["sha256Checksum"] = f.md5, f.sha1, f.sha2
	}
	return r
}

// metadata is what a request may say of a file.
type metadata struct {
	ID           string    `json:"id"`
	Name         *string   `json:"name"`
	MimeType     string    `json:"mimeType"`
	Parents      []string  `json:"parents"`
	ModifiedTime time.Time `json:"modifiedTime"`
	Trashed      *bool     `json:"trashed"`
}
