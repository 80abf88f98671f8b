//go:build !windows

package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/cloud/rclone/fakedrive"
	"keepsake.example/internal/mounttest"
)

func newGoogle(t *testing.T) (*fakedrive.Server, *world) {
	t.Helper()
	mounttest.Port(t, 53682) // rclone's, at which the browser ends: no other's connection is to come from it
	g, err := fakedrive.Start(fakedrive.Config{Dir: t.TempDir(), Quota: 15e9})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	w := newWorld(t, "HTTPS_PROXY="+g.Proxy(), "SSL_CERT_FILE="+g.CA())
	write(t, filepath.Join(w.home, "client"), fakedrive.ClientSecret+"\n")
	return g, w
}

// google signs in without questions.
func (w *world) google(login string, more ...string) result {
	w.t.Helper()
	args := append([]string{"login", login, "--client-id", fakedrive.ClientID, "--client-secret-file", filepath.Join(w.home, "client")}, more...)
	return w.run(args...)
}

// A person signs in to Google Drive in the browser of this computer, with a client id typed.
func TestGoogleInTheBrowser(t *testing.T) {
	g, w := newGoogle(t)
	p := w.sit("login", "gdrive")
	p.see("files that it makes itself")
	p.see("rclone's shared client id is\nbeing retired")
	p.see("Your client id (empty for rclone's shared one): ")
	p.enter(fakedrive.ClientID)
	p.see("Its client secret: ")
	p.enter(fakedrive.ClientSecret)
	p.see("http://127.0.0.1:53682/auth?state=")
	p.see("Signed in to Google Drive as gdrive.")
	p.see("keepsake cloud check gdrive:Keepsake")
	p.ends(0)
	p.hides(fakedrive.ClientSecret)
	w.pageSays("<h1>Signed in</h1>")
	got := w.check("gdrive:Keepsake")
	if got.Room == nil || got.Room.Total != 15e9 {
		t.Errorf("room %+v", got.Room)
	}
	if names := g.Names("Keepsake"); len(names) != 0 {
		t.Errorf("check left %v", names)
	}
	if r := g.Refused(); len(r) > 0 {
		t.Errorf("it asked %v", r)
	}
}

// carry is a person with another computer: it follows the address that is on the screen, and gives
// the address at which the browser there ended.
func carry(t *testing.T, g *fakedrive.Server, p *screen) string {
	t.Helper()
	p.see("open this address and sign in:")
	address := strings.TrimSpace(p.see("At the end"))
	if !strings.HasPrefix(address, "https://accounts.google.com/") {
		t.Fatalf("the address shown is %q", address)
	}
	browser := g.Browser()
	resp, err := browser.Transport.RoundTrip(request(t, address))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ended, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	p.see("Paste it here (nothing is shown): ")
	return ended.String()
}

// On a computer without a browser the answer is carried by hand.
func TestGoogleHeadless(t *testing.T) {
	g, w := newGoogle(t)
	client := filepath.Join(w.home, "client")
	args := []string{"login", "gdrive@work", "--headless", "--client-id", fakedrive.ClientID, "--client-secret-file", client}
	p := w.sit(args...)
	ended := carry(t, g, p)
	p.enter("http://example.org/what?is=this")
	p.see("no code in it")
	p.see("Paste it here")
	p.enter(ended)
	p.see("Signed in to Google Drive as gdrive@work.")
	p.ends(0)
	p.hides(query(t, ended, "code"), fakedrive.ClientSecret)
	w.check("gdrive@work:Some/Folder")
	w.want(w.run("check", "gdrive:Some/Folder"), 16, "keepsake cloud login gdrive")

	// An answer of another sign-in is refused.
	p = w.sit(args...)
	carry(t, g, p)
	p.enter(ended)
	p.see("belongs to another sign-in")
	p.ends(16)

	// What "rclone authorize" prints is taken too.
	p = w.sit(args...)
	carry(t, g, p)
	token := g.SignIn("drive.file")
	p.enter(token)
	p.see("Signed in")
	p.ends(0)
	p.hides(token[:40])
	w.check("gdrive@work:Some/Folder")

	// Ctrl-C while it waits, and three times nonsense.
	p = w.sit(args...)
	p.see("Paste it here")
	p.ctrl.WriteString("\x03")
	p.ends(130)
	p = w.sit(args...)
	for range 3 {
		p.see("Paste it here")
		p.enter("nonsense")
	}
	p.ends(2)
	w.check("gdrive@work:Some/Folder") // what was there is still there
}

// The person says no at Google's page; the client's secret is wrong.
func TestGoogleRefuses(t *testing.T) {
	g, w := newGoogle(t)
	g.DenyConsent(true)
	w.want(w.google("gdrive"), 16, "refused", "consent was not given", "hint: nothing was changed")
	w.pageSays("<h1>Not signed in</h1>")
	g.DenyConsent(false)
	write(t, filepath.Join(w.home, "client"), "another secret")
	w.want(w.google("gdrive"), 16, "the client id or its secret is wrong")
	if files := w.files(); len(files) != 0 {
		t.Errorf("a sign-in that failed is kept: %v", files)
	}
}

// The hidden folder: what is there is not seen in the Drive.
func TestGoogleAppData(t *testing.T) {
	g, w := newGoogle(t)
	w.want(w.google("gdrive", "--app-data"), 0, "Google deletes all of it when the\napp is disconnected")
	w.check("gdrive:Keepsake")
	if shown, hidden := g.Files("Keepsake"), g.Files("appDataFolder/Keepsake"); len(shown) != 0 || len(hidden) != 1 {
		t.Errorf("the Drive shows %v, and hides %v", shown, hidden)
	}
}

// Under another client id files are not seen, unless for the whole Drive is asked.
func TestGoogleUnderAnotherClientID(t *testing.T) {
	g, w := newGoogle(t)
	w.want(w.google("gdrive"), 0)
	w.check("gdrive:Keepsake") // leaves the folder
	other := []string{"login", "gdrive", "--client-id", "other", "--client-secret-file", filepath.Join(w.home, "client")}
	w.want(w.run(append(other, "--all-files", "--app-data")...), 2)
	w.want(w.run(other...), 0, "Another client id does\nnot see them")
	w.check("gdrive:Keepsake")
	if all := g.Files("Keepsake"); len(all) != 2 { // of the same name, as the first is not seen
		t.Errorf("%v", all)
	}
	w.want(w.run(append(other, "--all-files")...), 0, "your whole Drive")
	w.check("gdrive:Keepsake/y")
	if all := g.Files("Keepsake"); len(all) != 2 {
		t.Errorf("%v", all)
	}
}

// An expired token is refreshed and written back; one that was revoked is told, with what to do.
func TestGoogleTokens(t *testing.T) {
	g, w := newGoogle(t)
	w.want(w.google("gdrive"), 0)
	before := w.tokenOf("gdrive")
	g.ExpireTokens() // the clock here says that it is good
	w.check("gdrive:Keepsake")
	after := w.tokenOf("gdrive")
	if after["access_token"] == before["access_token"] || after["refresh_token"] != before["refresh_token"] {
		t.Errorf("the token refreshed was not kept")
	}
	g.Revoke()
	r := w.want(w.run("check", "gdrive:Keepsake"), 16, "revoked", "keepsake cloud login gdrive")
	if strings.Contains(r.err, after["refresh_token"].(string)) {
		t.Errorf("the error shows the token:\n%s", r.err)
	}
	w.want(w.google("gdrive"), 0)
	w.check("gdrive:Keepsake")
}

// What the environment says to rclone neither ends the checking of certificates nor prints tokens.
func TestRclonesEnvironment(t *testing.T) {
	g, w := newGoogle(t)
	said := []string{"RCLONE_NO_CHECK_CERTIFICATE=true", "RCLONE_DUMP=headers,bodies,auth", "RCLONE_LOG_LEVEL=DEBUG", "RCLONE_VERBOSE=2"}
	w.env = append(w.env, said...)
	r := w.want(w.google("gdrive"), 0)
	if text := r.out + r.err; strings.Contains(text, fakedrive.ClientSecret) || strings.Contains(text, "DEBUG") {
		t.Errorf("it prints what rclone was told to:\n%s", text)
	}
	stranger := newWorld(t, append(said, "HTTPS_PROXY="+g.Proxy())...)
	write(t, filepath.Join(stranger.home, "client"), fakedrive.ClientSecret)
	p := stranger.sit("login", "gdrive", "--headless", "--client-id", fakedrive.ClientID, "--client-secret-file", filepath.Join(stranger.home, "client"))
	p.see("Paste it here")
	p.enter(g.SignIn("drive.file"))
	p.see("certificate")
	p.ends(8)
}

// A file that is damaged, or that others can read, is not used.
func TestDamagedFiles(t *testing.T) {
	_, w := newGoogle(t)
	w.want(w.google("gdrive"), 0)
	file := w.files()[0]
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	w.want(w.run("check", "gdrive:Keepsake"), 16, "others can read", "chmod 600")
	w.want(w.run("list"), 0, "others can read")
	text, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, text[:len(text)/2], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.want(w.run("check", "gdrive:Keepsake"), 5, "damaged", "keepsake cloud login gdrive")
	w.want(w.run("list"), 0, "damaged")
	w.want(w.run("logout", "gdrive", "--yes"), 0, "https://myaccount.google.com/connections")
	w.want(w.run("list"), 0, "No sign-in is kept")
	w.want(w.run("logout", "gdrive", "--yes"), 16)
}

// tokenOf reads the token of a sign-in that is kept in a file.
func (w *world) tokenOf(login string) map[string]any {
	w.t.Helper()
	var f struct {
		Login   string
		Options map[string]string
	}
	var token map[string]any
	for _, file := range w.files() {
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &f)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if f.Login == login {
			if err := json.Unmarshal([]byte(f.Options["token"]), &token); err != nil {
				w.t.Fatal(err)
			}
			return token
		}
	}
	w.t.Fatalf("no sign-in %q", login)
	return nil
}

func query(t *testing.T, address, key string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Query().Get(key) == "" {
		t.Fatalf("%s has no %s, %v", address, key, err)
	}
	return u.Query().Get(key)
}

// The port of the answer is in use: by another sign-in, most likely.
func TestPortInUse(t *testing.T) {
	g, w := newGoogle(t)
	_ = g
	first := w.sit("login", "gdrive", "--headless", "--client-id", "x", "--client-secret-file", filepath.Join(w.home, "client"))
	first.see("Paste it here")
	w.want(w.google("gdrive"), 7, "port 53682")
	first.ctrl.WriteString("\x03")
	first.ends(130)
}

func request(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// pageSays looks at the page the browser ended at. rclone's listener is closed as soon as it has
// the answer, now and then before the page is out: then there is none.
func (w *world) pageSays(text string) {
	w.t.Helper()
	page, err := os.ReadFile(filepath.Join(w.home, "page"))
	if err == nil && len(page) > 0 && !strings.Contains(string(page), text) {
		w.t.Errorf("the browser shows %q", page)
	}
}
