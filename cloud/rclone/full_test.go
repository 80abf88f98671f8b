package rclone_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone/servertest"
)

// An S3 server without room says so in many ways. What names it is full at once; a fault
// that it does not name may be that too, and is told as the server's own.
func TestServerWithoutRoom(t *testing.T) {
	front, at := before(t, servertest.RcloneS3(t))
	s := create(t, at)
	for _, c := range []struct {
		status        int
		code, message string
		want          error
	}{
		{507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.", cloud.ErrFull},
		{507, "InternalError", "", cloud.ErrFull},
		{507, "", "", cloud.ErrFull},
		{403, "QuotaExceeded", "", cloud.ErrFull},
		{400, "XMinioStorageFull", "", cloud.ErrFull},
		{403, "InsufficientStorageSpace", "", cloud.ErrFull},
		{403, "AccessDenied", "Cannot upload files, storage cap exceeded.", cloud.ErrFull},
		{500, "InternalError", "We encountered an internal error: cause(write /data/x: no space left on device)", cloud.ErrFull},
		{500, "InternalError", "Internal Error", cloud.ErrUnreachable},
		{500, "", "", cloud.ErrUnreachable},
		{403, "AccessDenied", "Access Denied.", cloud.ErrDenied},
	} {
		front.set(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut {
				return false
			}
			w.WriteHeader(c.status)
			if c.code != "" {
				fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", c.code, c.message)
			}
			return true
		})
		err := s.Put(t.Context(), "data/aa", strings.NewReader("a"), 1)
		if !errors.Is(err, c.want) {
			t.Errorf("%d %s %q is %v, want %v", c.status, c.code, c.message, err, c.want)
		}
		if fault := strings.Contains(err.Error(), "its disk may be full"); fault != (c.want == cloud.ErrUnreachable) || fault && strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("%d %s %q says: %v", c.status, c.code, c.message, err)
		}
	}
}

// Many WebDAV servers answer for a full disk that they take no files. They are asked for the
// room, if they tell.
func TestWebDAVWithoutRoom(t *testing.T) {
	front, at := before(t, servertest.RcloneWebDAV(t))
	s := create(t, at)
	for quota, c := range map[string]struct {
		want error
		says string
	}{"1000": {cloud.ErrFull, "1000 bytes are free"}, "": {cloud.ErrDenied, "or its disk is full"}, "1000000000": {cloud.ErrDenied, "or its disk is full"}} {
		front.set(func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPut:
				w.WriteHeader(http.StatusMethodNotAllowed)
			case r.Method == "PROPFIND" && r.Header.Get("Depth") == "0" && r.ContentLength > 0:
				body, _ := io.ReadAll(r.Body)
				if r.Body = io.NopCloser(bytes.NewReader(body)); !bytes.Contains(body, []byte("quota")) {
					return false
				}
				w.WriteHeader(http.StatusMultiStatus)
				told := ""
				if quota != "" {
					told = "<D:quota-available-bytes>" + quota + "</D:quota-available-bytes>"
				}
				fmt.Fprintf(w, `<D:multistatus xmlns:D="DAV:"><D:response><D:href>/</D:href><D:propstat><D:prop>%s</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response></D:multistatus>`, told)
			default:
				return false
			}
			return true
		})
		err := s.Put(t.Context(), "data/aa", strings.NewReader("a"), 1)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("with %q bytes free: %v, want %v and %q", quota, err, c.want, c.says)
		}
	}
}
