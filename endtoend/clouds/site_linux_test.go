package clouds_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keepsake.example/cloud/faulty"
	"keepsake.example/internal/mounttest"
)

const (
	serverUser   = "ada"
	serverSecret = "correct-horse"
	bucket       = "backups"
)

// site is a cloud: a real server, its folder on the disk, and the way to it.
type site struct {
	*faulty.Proxy
	scheme string // how a destination starts: "s3+http://", "sftp://me@"
	path   string // how it goes on after the address
	folder string // where its objects are
	key    string // file of the secret that opens it
}

func (s *site) dest() string  { return s.scheme + s.Addr() + s.path }
func (s *site) login() string { return s.scheme + s.Addr() }

// s3 is rclone's S3 server, with a bucket.
func s3(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, bucket), 0o700))
	addr := freeAddr(t)
	serve(t, addr, program("rclone"), "serve", "s3", dir, "--addr", addr, "--auth-key", serverUser+","+serverSecret, "--config", "/dev/null")
	return &site{Proxy: proxy(t, faulty.HTTP, addr), scheme: "s3+http://", path: "/" + bucket + "/mine", folder: filepath.Join(dir, bucket, "mine"), key: secretFile(t)}
}

// webdav is rclone's WebDAV server.
func webdav(t *testing.T) *site {
	t.Helper()
	dir := t.TempDir()
	addr := freeAddr(t)
	serve(t, addr, program("rclone"), "serve", "webdav", dir, "--addr", addr, "--user", serverUser, "--pass", serverSecret, "--config", "/dev/null")
	return &site{Proxy: proxy(t, faulty.HTTP, addr), scheme: "webdav+http://", path: "/mine", folder: filepath.Join(dir, "mine"), key: secretFile(t)}
}

// ssh is OpenSSH's server.
func ssh(t *testing.T) *site {
	t.Helper()
	sshd := "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		mounttest.Missing(t, "sshd is not here: apt install openssh-server")
	}
	if os.Getuid() == 0 { // Debian's service makes it, and there is none here
		check(t, os.MkdirAll("/run/sshd", 0o755))
	}
	dir := t.TempDir()
	for _, name := range []string{"host", "mine"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput()
		if err != nil {
			t.Fatalf("making a key: %v\n%s", err, out)
		}
	}
	addr := freeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	conf := fmt.Sprintf("Port %s\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/mine.pub\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\nSubsystem sftp internal-sftp\nMaxStartups 100\n", port, dir, dir)
	check(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600))
	serve(t, addr, sshd, "-D", "-e", "-f", filepath.Join(dir, "conf"))
	folder := filepath.Join(dir, "files")
	return &site{Proxy: proxy(t, faulty.TCP, addr), scheme: "sftp://" + must(user.Current()).Username + "@", path: folder, folder: folder, key: filepath.Join(dir, "mine")}
}

func proxy(t *testing.T, listen func(string) (*faulty.Proxy, error), target string) *faulty.Proxy {
	t.Helper()
	p, err := listen(target)
	check(t, err)
	t.Cleanup(func() { check(t, p.Close()) })
	return p
}

func secretFile(t *testing.T) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(f, []byte(serverSecret+"\n"), 0o600))
	return f
}

func freeAddr(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", mounttest.Port(t, 0))
}

// serve runs a server until the test ends, or the process of the tests does, and
// waits until it listens.
func serve(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	out := &buffer{}
	c.Stdout, c.Stderr = out, out
	home := t.TempDir()
	c.Env = []string{"HOME=" + home, "PATH=/usr/bin:/bin", "XDG_CACHE_HOME=" + home}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	check(t, c.Start())
	ended := make(chan struct{})
	go func() { c.Wait(); close(ended) }() // how it ended does not matter
	t.Cleanup(func() { c.Process.Kill(); <-ended })
	await(t, name+" to listen", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", name, out)
		default:
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// patience bounds every wait for something that must happen. It is no measure of
// anything: the machine may be busy.
const patience = 3 * time.Minute

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// buffer is what a process prints, while a test reads it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// stored is what lies in the cloud: objects and bytes. Leaves with a dot are what an
// interrupted upload left behind, which only WebDAV and SFTP have, for a day.
func (s *site) stored(t *testing.T) (objects int, bytes int64) {
	t.Helper()
	check(t, filepath.WalkDir(s.folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(d.Name(), ".") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		objects, bytes = objects+1, bytes+info.Size()
		return nil
	}))
	return objects, bytes
}
