package fakedrive

import (
	"strings"
	"testing"
	"time"
)

// In the package: what it tests is not exported, and the server can only be
// asked about one query at a time.

func rowOf(name string) row {
	at := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	f := &file{id: "f", mime: "text/plain", created: at}
	return row{file: f, place: place{name: name, parent: "p", modified: at}}
}

func same(id string) string { return id }

func TestQuery(t *testing.T) {
	for q, want := range map[string]bool{
		"":                                      true,
		"name='A'":                              true,
		"name = 'b'":                            false,
		"name!='a'":                             false,
		"name contains ''":                      true,
		"not name='a'":                          false,
		"'p' in parents":                        true,
		"'q' in parents":                        false,
		"trashed=false":                         true,
		"trashed!=false":                        false,
		"mimeType!='text/html'":                 true,
		"modifiedTime > '2026-01-01T00:00:00'":  true,
		"createdTime <= '2026-01-01T23:59:59Z'": false,
		"(name='b' or name='a') and trashed=false":                          true,
		"trashed=true or (not trashed=true and not (name='b'))":             true,
		"trashed=false and ('p' in parents) and mimeType!='application/x'":  true,
		"trashed=false and ('q' in parents or 'p' in parents) and name='x'": false,
	} {
		parsed, err := parseQuery(q, same)
		if err != nil {
			t.Errorf("%s: %v", q, err)
		} else if got := parsed.holds(rowOf("a")); got != want {
			t.Errorf("%s = %v", q, got)
		}
	}
	parsed, err := parseQuery(`name='it\'s \\ it'`, same)
	if err != nil || !parsed.holds(rowOf(`it's \ it`)) || !parsed.named {
		t.Errorf("an escaped name: %v", err)
	}
}

func TestQueryRefused(t *testing.T) {
	for _, q := range []string{
		"name", "name=", "name='a", "name='a' and", "(name='a'", "name='a')", "'p' in", "'p' out parents", "colour='red'",
		"name < 'a'", "trashed='true'", "modifiedTime > 'now'", "name='a' name='b'", "=", "not",
		strings.Repeat("(", 100) + "trashed=true" + strings.Repeat(")", 100), strings.Repeat(" ", maxQuery+1),
	} {
		if _, err := parseQuery(q, same); err == nil {
			t.Errorf("%.40s was understood", q)
		}
	}
}

func TestMaskRefused(t *testing.T) {
	for _, text := range []string{"", ",", "a,", "a(", "a(b", "a)b", "a()", "a//b", strings.Repeat("a(", 100), strings.Repeat("a/", 100) + "a", strings.Repeat("a", maxMask+1)} {
		if _, err := parseMask(text); err == nil {
			t.Errorf("%.40s was understood", text)
		}
	}
}

func TestContentRange(t *testing.T) {
	for text, want := range map[string]contentRange{
		"bytes 0-9/10": {last: 9, total: 10}, "bytes 5-9/*": {first: 5, last: 9, total: -1},
		"bytes */10": {total: 10, query: true}, "bytes */*": {total: -1, query: true},
	} {
		if got, err := parseContentRange(text); err != nil || got != want {
			t.Errorf("%s = %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "bytes", "bytes 1-2", "bytes 2-1/5", "bytes 0-5/5", "bytes -1-2/5", "bits 0-1/2", "bytes 0-/5", "bytes 0-99999999999999999999/*", "bytes 0-1/x"} {
		if got, err := parseContentRange(text); err == nil {
			t.Errorf("%q = %+v", text, got)
		}
	}
}

// FuzzParameters: whatever a client sends is understood or refused.
func FuzzParameters(f *testing.F) {
	f.Add("trashed=false and ('p' in parents or 'q' in parents) and (name='x')")
	f.Add("files(id,owners/me),nextPageToken")
	f.Add("bytes 0-9/10")
	f.Fuzz(func(t *testing.T, text string) {
		if q, err := parseQuery(text, same); err == nil {
			q.holds(rowOf("a"))
		}
		if m, err := parseMask(text); err == nil {
			m.apply(map[string]any{"files": []map[string]any{{"id": "x"}}})
		}
		if c, err := parseContentRange(text); err == nil && !c.query && c.last < c.first {
			t.Errorf("%q = %+v", text, c)
		}
	})
}
