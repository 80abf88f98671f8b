package vaultd

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// What a member says of itself is shown to operators, in tables and as it is: it holds nothing
// that a terminal obeys, no second line, and not too much.
func TestReportOfALiarIsPlain(t *testing.T) {
	lie := "leader\x1b[2J\n3  ams2\u009b2J\u202e\xff"
	text, err := json.Marshal(Report{Role: lie, Anchor: lie, Host: lie, Problems: []string{lie}, Groups: []GroupReport{{Role: lie}}, Lacking: []Lacking{{Why: lie}, {Why: strings.Repeat("x", 1<<20)}}})
	if err != nil {
		t.Fatal(err)
	}
	r := readReport(text)
	lacks, err := readStanding(append([]byte{answered}, lie...))
	if err != nil {
		t.Fatal(err)
	}
	said := append([]string{lacks, r.Role, r.Anchor, r.Host, r.Lacking[0].Why, r.Groups[0].Role}, r.Problems...)
	if slices.ContainsFunc(said, func(s string) bool { return s != "leader?[2J?3  ams2?2J??" }) {
		t.Errorf("told %q", said)
	}
	if n := len(r.Lacking[1].Why); n > maxHearsay {
		t.Errorf("told %d bytes", n)
	}
	if readReport([]byte("[]")) != nil {
		t.Error("what is no report was taken for one")
	}
}
