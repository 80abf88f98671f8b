package backup_test

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A repository that lands in a log line must not take its keys along.
func TestRepoRedactsItself(t *testing.T) {
	p := newPhone(t)
	r := p.open()
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "repo", r)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "repo", r)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&log, verb, r)
		fmt.Fprintf(&log, verb, struct{ R any }{r})
	}
	for _, secret := range r.Secrets() {
		for _, form := range []string{string(secret), hex.EncodeToString(secret), fmt.Sprint(secret), strings.Trim(fmt.Sprint(secret[:8]), "[]")} {
			if strings.Contains(log.String(), form) {
				t.Fatal("a key in the log")
			}
		}
	}
}
