package servertest

import (
	"os"
	"path/filepath"
	"testing"

	_ "github.com/rclone/rclone/backend/local" // what rclone's servers serve
	_ "github.com/rclone/rclone/cmd/serve/s3"
	_ "github.com/rclone/rclone/cmd/serve/webdav"
	"github.com/rclone/rclone/fs/config/obscure"
	"github.com/rclone/rclone/fs/rc"
)

const (
	user     = "ada"
	password = "correct horse"
	bucket   = "backups"
)

// RcloneS3 is rclone's own S3 server, with a bucket.
func RcloneS3(t testing.TB) Server {
	t.Helper()
	return rcloneS3(t, user+","+password)
}

// RcloneS3Open is one that lets anybody in, and checks no signature.
func RcloneS3Open(t testing.TB) Server {
	t.Helper()
	return rcloneS3(t)
}

func rcloneS3(t testing.TB, keys ...string) Server {
	t.Helper()
	dir := folder(t)
	if err := os.Mkdir(filepath.Join(dir, bucket), 0o700); err != nil {
		t.Fatalf("making a bucket: %v", err)
	}
	addr := serve(t, rc.Params{"type": "s3", "fs": dir, "addr": "127.0.0.1:0", "auth_key": keys})
	return s3(addr, dir, "keepsake")
}

func s3(addr, dir, prefix string) Server {
	return Server{
		Backend: "s3", Root: bucket + "/" + prefix, Addr: addr, Folder: filepath.Join(dir, bucket, prefix),
		Options: map[string]string{
			"provider": "Other", "endpoint": "http://" + addr, "region": "us-east-1",
			"access_key_id": user, "secret_access_key": password,
		},
	}
}

// RcloneWebDAV is rclone's own WebDAV server.
func RcloneWebDAV(t testing.TB) Server {
	t.Helper()
	dir := folder(t)
	addr := serve(t, rc.Params{"type": "webdav", "fs": dir, "addr": "127.0.0.1:0", "user": user, "pass": password})
	return webdav(t, addr, "http://"+addr, dir)
}

func webdav(t testing.TB, addr, url, dir string) Server {
	t.Helper()
	hidden, err := obscure.Obscure(password)
	if err != nil {
		t.Fatalf("obscuring a password: %v", err)
	}
	return Server{
		Backend: "webdav", Root: "keepsake", Addr: addr, Folder: filepath.Join(dir, "keepsake"),
		Options: map[string]string{"url": url, "vendor": "other", "user": user, "pass": hidden},
	}
}

// serve starts one of rclone's servers the way its remote control does.
func serve(t testing.TB, what rc.Params) (addr string) {
	t.Helper()
	out, err := rc.Calls.Get("serve/start").Fn(t.Context(), what)
	if err != nil {
		t.Fatalf("starting rclone's server: %v", err)
	}
	id, _ := out.GetString("id")
	t.Cleanup(func() {
		if _, err := rc.Calls.Get("serve/stop").Fn(t.Context(), rc.Params{"id": id}); err != nil {
			t.Errorf("stopping rclone's server: %v", err)
		}
	})
	addr, err = out.GetString("addr")
	if err != nil {
		t.Fatalf("starting rclone's server: %v", err)
	}
	return addr
}
