package rclone_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/servertest"
)

// A bucket that is not there is no cloud that is out of reach: who waits, waits in vain. With
// an opened store it is otherwise: somebody may have unmounted the disk under it.
func TestNoBucket(t *testing.T) {
	front, at := before(t, servertest.RcloneS3(t))
	s := create(t, at)
	for _, c := range []bool{false, true} {
		elsewhere := config(at)
		elsewhere.Root, elsewhere.Create = path.Join("no-such-bucket", "x"), c
		_, err := rclone.Open(t.Context(), elsewhere)
		if !errors.Is(err, cloud.ErrNotExist) || !strings.Contains(err.Error(), "no-such-bucket") {
			t.Errorf("create %v: Open = %v, want ErrNotExist and the name", c, err)
		}
	}
	front.set(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("<Error><Code>NoSuchBucket</Code></Error>"))
		return true
	})
	wantKind(t, "Put", s.Put(t.Context(), "data/aa", strings.NewReader("a"), 1), cloud.ErrUnreachable)
	wantKind(t, "List", s.List(t.Context(), "data/", func(cloud.Info) error { return nil }), cloud.ErrUnreachable)
}

// A bucket in another region, and a server without TLS, are told.
func TestWrongDoor(t *testing.T) {
	front, at := before(t, servertest.RcloneS3(t))
	for _, status := range []int{http.StatusMovedPermanently, http.StatusBadRequest} {
		front.set(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("X-Amz-Bucket-Region", "eu-7")
			w.WriteHeader(status)
			return true
		})
		_, err := rclone.Open(t.Context(), config(at))
		if !errors.Is(err, cloud.ErrDenied) || !strings.Contains(err.Error(), "--region eu-7") {
			t.Errorf("%d: Open = %v, want ErrDenied and the region", status, err)
		}
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	address := "https" + strings.TrimPrefix(server.URL, "http")
	for _, at := range []servertest.Server{at, {Backend: "webdav", Root: "x", Options: map[string]string{}}} {
		at.Options["endpoint"], at.Options["url"] = address, address
		_, err := rclone.Open(t.Context(), config(at))
		if !errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), "speaks http, not https") {
			t.Errorf("%s: Open = %v, want to be told what it speaks", at.Backend, err)
		}
	}
}
