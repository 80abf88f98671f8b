package servertest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// versity is a second S3 server, of other people's making than rclone's.
const versity = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// Versitygw is an S3 gateway over a folder. Where it is not in PATH it is built, once for this user, which takes ten
// minutes: for long tests.
func Versitygw(t testing.TB) Server {
	t.Helper()
	path, err := exec.LookPath("versitygw")
	if err != nil {
		path = build(t)
	}
	dir, addr := folder(t), "127.0.0.1:"+freePort(t)
	if err := os.Mkdir(filepath.Join(dir, bucket), 0o700); err != nil {
		t.Fatalf("making a bucket: %v", err)
	}
	start(t, addr, exec.Command(path, "--access", user, "--secret", password, "--region", "us-east-1", "--port", addr, "--quiet", "posix", dir))
	return s3(addr, dir, "keepsake")
}

func build(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("looking for a folder to build versitygw in: %v", err)
	}
	bin := filepath.Join(cache, "keepsake-tests")
	path := filepath.Join(bin, "versitygw")
	if isFile(path) {
		return path
	}
	c := exec.Command("go", "install", versity)
	c.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building versitygw: %v\n%s", err, out)
	}
	return path
}
