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
	"strings"
	"testing"
	"time"

	"keepsake.example/fleet"
)

// serverCard is what devnet gives to clients.
type serverCard struct {
	URL    string
	Others []string
	Fleet  string
	CA     string
}

func readCard(t *testing.T, dir string) (card serverCard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "card.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &card); err != nil {
		t.Fatal(err)
	}
	return card
}

// bundle fetches the fleet's bundle from a chatd as a client that has the server
// card, and nothing else.
func bundle(t *testing.T, card serverCard, url string) *fleet.Bundle {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(card.CA)) {
		t.Fatal("no certificate in the card")
	}
	c := http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer c.CloseIdleConnections()
	r, err := c.Get(url + "/v1/bundle")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %v", url, r.Status, err)
	}
	id, err := fleet.ParseID(card.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fleet.Open(body, id)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestServesTheFleetOfItsCardAndLeavesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	n, err := start(t.Context(), options{dir: dir, listen: "127.0.0.1:0", waits: time.Second, replicas: 1}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	card := readCard(t, dir)
	b := bundle(t, card, card.URL)
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

// A fleet of three answers while one is stopped, at both its chatds, and takes it
// back.
func TestFleetAnswersWithoutOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "net")
	n, err := start(t.Context(), options{dir: dir, listen: "127.0.0.1:0", waits: time.Second, replicas: 3}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	card := readCard(t, dir)
	if len(card.Others) != 1 {
		t.Fatalf("%d more chatds on the card", len(card.Others))
	}
	type line struct{ typed, answer string }
	for _, l := range []line{
		{"stop 1", "away"}, {"stop 1", "is that already"}, {"status", "leader"}, {"start 1", "follower"}, {"stop 9", "no replica"}, {"stop all", "no replica"}, {"explode", "type stop N"},
	} {
		var out bytes.Buffer
		if err := n.obey(t.Context(), l.typed, &out); err != nil {
			out.WriteString(err.Error())
		}
		if !strings.Contains(out.String(), l.answer) {
			t.Errorf("%s: %s", l.typed, out.String())
		}
		for _, url := range []string{card.URL, card.Others[0]} {
			if b := bundle(t, card, url); len(b.Keys) == 0 {
				t.Errorf("%s: %s: no keys", l.typed, url)
			}
		}
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
	if _, err := start(t.Context(), options{dir: dir, listen: "0.0.0.0:0", replicas: 1}, io.Discard); err == nil {
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
	if code := run(context.Background(), []string{"--dir", dir}, strings.NewReader(""), &out, &errs); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"surplus"}, {"--waits", "-1s"}, {"--waits", "25h"}, {"--nothing"}, {"--replicas", "2"}, {"--replicas", "9"}} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), args, strings.NewReader(""), &out, &errs); code != 2 || errs.Len() == 0 {
			t.Errorf("%q: exit code %d, %q", args, code, errs.String())
		}
	}
}
