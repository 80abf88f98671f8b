package rclone_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rcloneconfig "github.com/rclone/rclone/fs/config"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/rc"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/servertest"
)

// rcloneConf makes rclone's configuration file for one test.
func rcloneConf(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rclone.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := rcloneconfig.GetConfigPath()
	if err := rcloneconfig.SetConfigPath(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rcloneconfig.SetConfigPath(old) })
	return path
}

func TestFromRemote(t *testing.T) {
	path := rcloneConf(t, "[disk]\ntype = local\n\n[box]\ntype = dropbox\ntoken = old\n\n[veil]\ntype = crypt\n")
	c, err := rclone.FromRemote("disk", filepath.Join(t.TempDir(), "keepsake"))
	if err != nil {
		t.Fatal(err)
	}
	c.Create = true
	put(t, open(t, c), "data/aa", []byte("a"))

	box, err := rclone.FromRemote("box", "Backups")
	if err != nil || box.Backend != "dropbox" || box.Root != "Backups" {
		t.Fatalf("FromRemote = %+v, %v", box, err)
	}
	box.Mapper.Set("token", "new")
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "token = new") || !strings.Contains(string(text), "[veil]") {
		t.Errorf("after a token was refreshed the file holds %q, %v", text, err)
	}

	if _, err := rclone.FromRemote("none", ""); !errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("FromRemote of none = %v, want ErrNotExist", err)
	}
	if _, err := rclone.FromRemote("veil", ""); err == nil || !strings.Contains(err.Error(), `"crypt"`) {
		t.Errorf("FromRemote of another kind = %v, want it to name it", err)
	}
}

// Nothing is asked for on standard input.
func TestEncryptedRemotes(t *testing.T) {
	rcloneConf(t, "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nb5Uk6zmQkwTGIHnZJeQYbDGNo0sLHTY=\n")
	t.Setenv("RCLONE_CONFIG_PASS", "")
	if _, err := rclone.FromRemote("disk", ""); err == nil || errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("FromRemote = %v, want an error that says why", err)
	}
}

// rate is the limit that rclone holds to.
func rate(t *testing.T) string {
	t.Helper()
	out, err := rc.Calls.Get("core/bwlimit").Fn(t.Context(), rc.Params{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := out.GetString("rate")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestLimitUpload(t *testing.T) {
	for _, c := range []struct{ limit, want string }{{"1M", "1Mi:off"}, {"25:00,512k", ""}, {"00:00,512k 23:59,512k", "512Ki:off"}, {"", "off"}, {"much", ""}} {
		limited := config(local(t))
		limited.Create, limited.Network.LimitUpload = true, c.limit
		s, err := rclone.Open(t.Context(), limited)
		if err == nil {
			s.Close()
		}
		if (err == nil) != (c.want != "") {
			t.Errorf("Open with the limit %q: %v", c.limit, err)
		}
		if got := rate(t); c.want != "" && got != c.want {
			t.Errorf("with the limit %q it is %q, want %q", c.limit, got, c.want)
		}
	}
}

func TestUnknownBackend(t *testing.T) {
	if _, err := rclone.Open(t.Context(), rclone.Config{Backend: "ftp"}); err == nil || !strings.Contains(err.Error(), `"ftp"`) {
		t.Errorf("Open = %v, want it to name the kind", err)
	}
}

// A host whose key is not the one that is known is refused.
func TestWrongHostKey(t *testing.T) {
	at, other := servertest.SSHD(t), servertest.SSHD(t)
	known, err := os.ReadFile(other.Options["known_hosts_file"])
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(known), ":"+other.Options["port"], ":"+at.Options["port"], 1)
	if err := os.WriteFile(at.Options["known_hosts_file"], []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = rclone.Open(t.Context(), config(at))
	wantKind(t, "Open", err, cloud.ErrDenied)
	if !strings.Contains(err.Error(), "another host key") {
		t.Errorf("it says %v", err)
	}
	at.Options["host_keys"] = strings.SplitN(string(known), " ", 2)[1]
	delete(at.Options, "known_hosts_file")
	_, err = rclone.Open(t.Context(), config(at))
	wantKind(t, "Open with the key of another pinned", err, cloud.ErrDenied)
	if text := err.Error(); !strings.Contains(text, "another host key") || strings.Contains(text, "--sftp") {
		t.Errorf("it says %s", text)
	}
}

// Where one key is pinned, a server that shows a key of another algorithm is refused too; where none is, the first is pinned.
func TestPinnedHostKeyOfAnotherAlgorithm(t *testing.T) {
	at := servertest.SSHD(t) // with an Ed25519 key
	delete(at.Options, "known_hosts_file")
	at.Options["host_keys"] = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBK49Ibd82OT3jow5WHdQAv2WiAqPncX7Ko9uZB+wQ67jLqgk66bbGDHp4sXqCqpVkt/+K0pVLLsK4FwzkIkZvEo=" // nobody's
	kept := configmap.Simple{}
	c := config(at)
	c.Create, c.Mapper = true, kept
	_, err := rclone.Open(t.Context(), c)
	wantKind(t, "Open with another key pinned", err, cloud.ErrDenied)
	if !strings.Contains(err.Error(), "another host key") {
		t.Errorf("it says %v", err)
	}
	if len(kept) > 0 {
		t.Errorf("it keeps %v", kept)
	}
	delete(at.Options, "host_keys")
	put(t, open(t, c), "data/aa", []byte("a"))
	if !strings.HasPrefix(kept["host_keys"], "ssh-ed25519 ") {
		t.Errorf("met for the first time, it keeps %v", kept)
	}
}

func TestErrorsHideSecrets(t *testing.T) {
	err := rclone.Classify(t.Context(), "onedrive", errors.New(`Put "https://ada:hunter2@host.example/up?tempauth=s3cr3t&x=1": EOF`))
	if text := err.Error(); strings.Contains(text, "s3cr3t") || strings.Contains(text, "hunter2") || !strings.Contains(text, "host.example/up") {
		t.Errorf("the error says %s", text)
	}
}
