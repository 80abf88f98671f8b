package rclone_test

import (
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/servertest"
	"keepsake.example/cloud/retry"
)

func local(t testing.TB) servertest.Server {
	dir := t.TempDir()
	return servertest.Server{Backend: "local", Root: dir, Folder: dir}
}

// conformance runs the suite on one server, each check in a folder of its own.
// Over S3 what passes by itself is tried again, as keepsake does: rclone's
// server says InternalError now and then to the first Puts into a folder.
func conformance(t *testing.T, start func(testing.TB) servertest.Server) {
	t.Parallel()
	server := start(t)
	n := 0
	cloudtest.Run(t, func(t *testing.T) cloud.Store {
		n++
		at := server
		at.Root += "/" + strconv.Itoa(n)
		at.Folder = filepath.Join(at.Folder, strconv.Itoa(n))
		if at.Backend == "s3" {
			return retry.New(create(t, at), retry.Options{Patience: time.Minute})
		}
		return create(t, at)
	})
}

func TestFolder(t *testing.T)       { conformance(t, local) }
func TestRcloneS3(t *testing.T)     { conformance(t, servertest.RcloneS3) }
func TestRcloneWebDAV(t *testing.T) { conformance(t, servertest.RcloneWebDAV) }
func TestApache(t *testing.T)       { conformance(t, servertest.Apache) }
func TestOpenSSH(t *testing.T)      { conformance(t, servertest.SSHD) }

func config(at servertest.Server) rclone.Config {
	return rclone.Config{Backend: at.Backend, Root: at.Root, Options: at.Options}
}

func create(t testing.TB, at servertest.Server) *rclone.Store {
	t.Helper()
	c := config(at)
	c.Create = true
	return open(t, c)
}

func open(t testing.TB, c rclone.Config) *rclone.Store {
	t.Helper()
	s, err := rclone.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}
