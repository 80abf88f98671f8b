package backup

import (
	"fmt"
	"path"
	"strings"
)

// A matcher holds patterns for paths. A pattern without a slash matches a name in any folder; one with a slash matches
// from the top. `*`, `?` and `[…]` match within a name as in [path.Match], `**` any number of folders. What lies below a folder that
// matches, matches. Only one goroutine may use it.
type matcher struct {
	patterns [][]string
	hit      []bool // whether each has matched
}

func newMatcher(patterns []string) (*matcher, error) {
	m := &matcher{}
	for _, p := range patterns {
		clean := strings.Trim(p, "/")
		if _, err := path.Match(clean, ""); err != nil || clean == "" {
			return nil, &PatternError{p}
		}
		parts := strings.Split(clean, "/")
		if len(parts) == 1 && !strings.HasPrefix(p, "/") {
			parts = append([]string{"**"}, parts...)
		}
		m.patterns = append(m.patterns, parts)
	}
	m.hit = make([]bool, len(m.patterns))
	return m, nil
}

// A PatternError says which pattern cannot be understood.
type PatternError struct{ Pattern string }

func (e *PatternError) Error() string { return fmt.Sprintf("backup: bad pattern %q", e.Pattern) }

// match reports whether the path, or a folder it lies in, matches.
func (m *matcher) match(p string) (found bool) {
	if len(m.patterns) == 0 || p == "" {
		return false
	}
	names := strings.Split(p, "/")
	for i, pattern := range m.patterns {
		if (!found || !m.hit[i]) && matchAbove(pattern, names) {
			found, m.hit[i] = true, true
		}
	}
	return found
}

// idle gives those of the patterns, as they were written, that have matched nothing.
func (m *matcher) idle(written []string) (idle []string) {
	for i, hit := range m.hit {
		if !hit {
			idle = append(idle, written[i])
		}
	}
	return idle
}

func matchAbove(pattern, names []string) bool {
	for n := 1; n <= len(names); n++ {
		if matchParts(pattern, names[:n]) {
			return true
		}
	}
	return false
}

func matchParts(pattern, names []string) bool {
	if len(pattern) == 0 {
		return len(names) == 0
	}
	if pattern[0] == "**" {
		for skip := 0; skip <= len(names); skip++ {
			if matchParts(pattern[1:], names[skip:]) {
				return true
			}
		}
		return false
	}
	if len(names) == 0 {
		return false
	}
	ok, err := path.Match(pattern[0], names[0])
	return err == nil && ok && matchParts(pattern[1:], names[1:])
}
