//go:build !windows

package main

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"keepsake.example/cloud/rclone/servertest"
)

const (
	serverUser   = "ada"           // of package servers
	serverSecret = "correct horse" // likewise
)

// To S3 with a key typed, wrong first.
func TestS3(t *testing.T) {
	t.Parallel()
	s := servertest.RcloneS3(t)
	w := newWorld(t)
	dest := "s3+http://" + s.Addr + "/backups/some/place"
	w.want(w.run("check", dest), 16, "not signed in", "hint: sign in with: keepsake cloud login s3+http://"+s.Addr)
	p := w.sit("login", dest, "--region", "us-east-1")
	p.see("Access key id: ")
	p.enter(serverUser)
	p.see("Secret access key: ")
	p.enter("wrong")
	p.see("not accepted")
	p.see("Secret access key: ")
	p.enter(serverSecret)
	p.see("Signed in to S3 as s3+http://" + s.Addr)
	p.see("Try it with: keepsake cloud check " + dest)
	p.ends(0)
	p.hides("wrong\r", serverSecret)
	got := w.check(dest)
	if got.Destination != dest || got.Requests == 0 || got.Parallel < 2 {
		t.Errorf("%+v", got)
	}
	left, err := filepath.Glob(s.Folder + "/../*/*")
	if err != nil || len(left) != 0 {
		t.Errorf("check left %v, %v", left, err)
	}
	w.want(w.run("check", "s3+http://"+s.Addr+"/nobucket/x"), 4, "there is no bucket nobucket")
	w.want(w.run("list"), 0, "s3+http://"+s.Addr, "file")
	w.want(w.run("logout", "s3+http://"+s.Addr), 2, "no terminal", "--yes")
	p = w.sit("logout", "s3+http://"+s.Addr)
	p.see("Forget the sign-in s3+http://" + s.Addr + "? [y/N] ")
	p.enter("")
	p.ends(2)
	w.check(dest)
	w.want(w.run("logout", "s3+http://"+s.Addr, "--yes"), 0, "Signed out", "delete the access key")
	w.want(w.run("check", dest), 16, "not signed in")
}

// Secrets come from files where there is nobody to ask, and from the environment.
func TestS3WithoutATerminal(t *testing.T) {
	t.Parallel()
	s := servertest.RcloneS3(t)
	w := newWorld(t)
	login := "s3+http://" + s.Addr
	file := filepath.Join(w.home, "secret")
	write(t, file, serverSecret+"\n")
	w.want(w.run("login", login, "--user", serverUser), 2, "no terminal", "hint:")
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", filepath.Join(w.home, "absent")), 4)
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", file, "--store", "pocket"), 2)
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", file, "--store", "keyring"), 16, "keyring", "--store file")
	r := w.want(w.run("login", login, "--user", serverUser, "--secret-file", file, "--json"), 0, `"kept": "file"`, `"tried": true`)
	if strings.Contains(r.out+r.err, serverSecret) {
		t.Errorf("the secret is printed: %s%s", r.out, r.err)
	}
	w.check(login + "/backups/p")
	write(t, file, "wrong")
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", file), 16, "does not accept")
	w.check(login + "/backups/p") // the sign-in before is still there

	w = newWorld(t, "AWS_ACCESS_KEY_ID="+serverUser, "AWS_SECRET_ACCESS_KEY="+serverSecret)
	w.want(w.run("login", login, "--from-environment"), 0)
	for _, f := range w.files() {
		if text, err := os.ReadFile(f); err != nil || strings.Contains(string(text), serverSecret) {
			t.Errorf("%v\n%s", err, text)
		}
	}
	w.check(login + "/backups/p")
}

// A key for one bucket must not list all buckets: that it is good is found out with the bucket.
func TestS3KeyOfOneBucket(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
	}))
	defer server.Close()
	w := newWorld(t)
	login := "s3+" + server.URL
	file := filepath.Join(w.home, "secret")
	write(t, file, serverSecret)
	w.want(w.run("login", login+"/bucket", "--user", serverUser, "--secret-file", file), 16, "AccessDenied")
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", file), 0, "not tried yet")
	w.want(w.run("check", login+"/bucket"), 16, "denied")
}

// A remote of the person's own rclone is used by its name, and its configuration stays as it is.
func TestRemoteOfRclone(t *testing.T) {
	t.Parallel()
	s := servertest.RcloneWebDAV(t)
	w := newWorld(t)
	conf := filepath.Join(w.home, "config", "rclone", "rclone.conf")
	if err := os.MkdirAll(filepath.Dir(conf), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "[mine]\ntype = webdav\nurl = " + s.Options["url"] + "\nvendor = other\nuser = " + serverUser + "\npass = " + s.Options["pass"] + "\n"
	write(t, conf, text)
	w.check("rclone:mine:a/b")
	w.check("mine:a/b")
	w.want(w.run("check", "yours:a/b"), 2, `rclone has no remote "yours"`)
	w.want(w.run("login", "mine:"), 2, "nothing to sign in to")
	if now, err := os.ReadFile(conf); err != nil || string(now) != text {
		t.Errorf("rclone.conf is now %q, %v", now, err)
	}
	elsewhere := filepath.Join(w.home, "elsewhere.conf")
	write(t, elsewhere, strings.ReplaceAll(text, "[mine]", "[other]"))
	w.env = append(w.env, "RCLONE_CONFIG="+elsewhere)
	w.check("other:a/b")
	w.want(w.run("check", "mine:a/b"), 2, `rclone has no remote "mine"`)
}

// A folder is checked too, and nothing is left in it.
func TestCheckFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	w.want(w.run("check", dir), 0, "This cloud can hold backups.")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	file := filepath.Join(dir, "file")
	write(t, file, "x")
	if r := w.run("check", file); r.code == 0 || r.err == "" {
		t.Errorf("%+v", r)
	}
}

// To a real WebDAV server, and to rclone's.
func TestWebDAV(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]servertest.Server{"rclone": servertest.RcloneWebDAV(t), "Apache": servertest.Apache(t)} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			login := "webdav+http://" + s.Addr
			p := w.sit("login", login)
			p.see("User: ")
			p.enter(serverUser)
			p.see("Password: ")
			for range 2 {
				p.enter("wrong")
				p.see("Password: ")
			}
			p.enter("wrong again")
			p.see("does not accept")
			p.see("hint: try again: keepsake cloud login " + login)
			p.ends(16)
			if files := w.files(); len(files) != 0 {
				t.Errorf("a sign-in that failed is kept: %v", files)
			}
			p = w.sit("login", login, "--user", serverUser)
			p.see("Password: ")
			p.enter(serverSecret)
			p.see("Signed in to WebDAV")
			p.ends(0)
			p.hides(serverSecret)
			w.check(login + "/keepsake/deep er")
		})
	}
}

// To a real sshd: its key is asked for once, and never accepted when it changes.
func TestSFTP(t *testing.T) {
	t.Parallel()
	s := servertest.SSHD(t)
	w := newWorld(t)
	login := "sftp://" + s.Options["user"] + "@" + s.Addr
	p := w.sit("login", login, "--key-file", s.Options["key_file"])
	p.see("has never met " + s.Addr)
	p.see("SHA256:")
	p.see("Is it the same? [y/N] ")
	p.enter("n")
	p.ends(2)
	p = w.sit("login", login)
	p.see("Is it the same? [y/N] ")
	p.enter("y")
	p.see("Key file (empty to type a password): ")
	p.enter(s.Options["key_file"])
	p.see("Signed in to SFTP as " + login)
	p.ends(0)
	dest := login + filepath.ToSlash(s.Folder)
	w.check(dest)

	// Known already: not asked.
	ssh := filepath.Join(w.home, ".ssh")
	if err := os.Mkdir(ssh, 0o700); err != nil {
		t.Fatal(err)
	}
	known, err := os.ReadFile(s.Options["known_hosts_file"])
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(ssh, "known_hosts"), string(known))
	w.want(w.run("login", login, "--key-file", s.Options["key_file"]), 0)
	w.check(dest)

	// The server of another: its key is not that of known_hosts, nor that of the account.
	other := servertest.SSHD(t)
	write(t, filepath.Join(ssh, "known_hosts"), strings.ReplaceAll(string(known), s.Options["port"], other.Options["port"]))
	r := w.run("login", strings.ReplaceAll(login, s.Addr, other.Addr), "--key-file", s.Options["key_file"])
	w.want(r, 16, "another host key", "somebody may be between")
	w.want(w.run("login", login, "--key-file", s.Options["key_file"], "--host-key", "SHA256:abc"), 16, "another host key")

	write(t, filepath.Join(ssh, "known_hosts"), string(known))

	// A key the server does not know, a file that is none.
	w.want(w.run("login", login, "--key-file", other.Options["key_file"]), 16)
	w.want(w.run("login", login, "--key-file", s.Options["known_hosts_file"]), 16, "no private key")
}

// A key with a passphrase, and one that only the SSH agent has.
func TestSFTPKeys(t *testing.T) {
	t.Parallel()
	s := servertest.SSHD(t)
	w := newWorld(t)
	login := "sftp://" + s.Options["user"] + "@" + s.Addr
	known := []string{"--known-hosts", s.Options["known_hosts_file"]}
	locked := filepath.Join(w.home, "locked")
	lockKey(t, s.Options["key_file"], locked, "open sesame")
	p := w.sit(append([]string{"login", login, "--key-file", locked}, known...)...)
	p.see("Passphrase of " + locked + ": ")
	p.enter("open barley")
	p.see("not accepted")
	p.see("Passphrase of ")
	p.enter("open sesame")
	p.see("Signed in to SFTP")
	p.ends(0)
	p.hides("open sesame", "open barley")
	w.check(login + s.Folder)

	w.want(w.run(append([]string{"login", login, "--agent"}, known...)...), 1, "ssh-agent")
	socket := filepath.Join(w.home, "agent")
	agent := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Process.Kill(); agent.Wait() })
	w.env = append(w.env, "SSH_AUTH_SOCK="+socket)
	add := func() error {
		cmd := exec.CommandContext(t.Context(), "ssh-add", s.Options["key_file"])
		cmd.Env = w.env
		return cmd.Run()
	}
	for add() != nil && t.Context().Err() == nil {
		time.Sleep(10 * time.Millisecond) // until it listens
	}
	w.want(w.run(append([]string{"login", login, "--agent"}, known...)...), 0)
	w.check(login + s.Folder)
}

// lockKey writes a private key under a passphrase, as ssh-keygen does today.
func lockKey(t *testing.T, from, to, passphrase string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(pem.EncodeToMemory(block)))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
