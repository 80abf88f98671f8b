package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"keepsake.example/fleet"
)

// get fetches from the network as a client that has the server card, and nothing else.
func get(t *testing.T, dir, path string) (id string, body []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "card.json"))
	if err != nil {
		t.Fatal(err)
	}
	var card struct{ URL, Fleet, CA string }
	if err := json.Unmarshal(text, &card); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(card.CA)) {
		t.Fatal("no certificate in the card")
	}
	c := http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer c.CloseIdleConnections()
	r, err := c.Get(card.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err = io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", path, r.Status, err)
	}
	return card.Fleet, body
}

func TestServesTheFleetOfItsCardAndLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	n, err := start(t.Context(), options{dir: dir, listen: "127.0.0.1:0", waits: time.Second}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	text, data := get(t, dir, "/v1/bundle")
	id, err := fleet.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fleet.Open(data, id)
	if err != nil {
		t.Fatal(err)
	}
	if !b.Policy.Insecure {
		t.Error("a development vault that does not say it is insecure")
	}
	if got := b.Policy.Waits[3]; got != 1000 {
		t.Errorf("wait after the fourth attempt: %d ms", got)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}

func TestRefusesToBeReachedFromElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	if _, err := start(t.Context(), options{dir: dir, listen: "0.0.0.0:0"}, io.Discard); err == nil {
		t.Error("listens for everybody")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("left behind: %v", err)
	}
}

func TestTakesNoFolderThatIsInUse(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"--dir", dir}, &out, &errs); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"surplus"}, {"--waits", "-1s"}, {"--waits", "25h"}, {"--nothing"}} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), args, &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, %q", args, code, errs.String())
		}
	}
}
