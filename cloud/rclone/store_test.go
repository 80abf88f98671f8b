package rclone_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/servertest"
)

// each runs a test on every kind of server there is here.
func each(t *testing.T, test func(t *testing.T, at servertest.Server)) {
	on(t, []string{"folder", "s3", "webdav", "apache", "openssh"}, test)
}

func on(t *testing.T, kinds []string, test func(t *testing.T, at servertest.Server)) {
	start := map[string]func(testing.TB) servertest.Server{
		"folder": local, "s3": servertest.RcloneS3, "webdav": servertest.RcloneWebDAV, "apache": servertest.Apache, "openssh": servertest.SSHD,
	}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			at := start[kind](t)
			if kind == "folder" {
				at.Root, at.Folder = filepath.Join(at.Root, "keepsake"), filepath.Join(at.Folder, "keepsake")
			}
			test(t, at)
		})
	}
}

func wantKind(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// The room is taken away under the store's hands: nothing it says may read
// like an object that is lost, and nothing may be made where it was.
// rclone's own servers remember what was in a folder.
func TestGone(t *testing.T) {
	on(t, []string{"folder", "apache", "openssh"}, func(t *testing.T, at servertest.Server) {
		s := create(t, at)
		put(t, s, "data/aa", []byte("a"))
		if err := os.Rename(at.Folder, at.Folder+"-unmounted"); err != nil {
			t.Fatal(err)
		}
		anew, err := rclone.Open(t.Context(), config(at))
		if err == nil {
			anew.Close()
		}
		wantKind(t, "Open", err, cloud.ErrNotExist) // nobody knows that there was one
		_, err = s.Stat(t.Context(), "data/aa")
		wantKind(t, "Stat", err, cloud.ErrUnreachable)
		_, err = get(t.Context(), s, "data/aa")
		wantKind(t, "Get", err, cloud.ErrUnreachable)
		wantKind(t, "List", s.List(t.Context(), "data/", func(cloud.Info) error { return nil }), cloud.ErrUnreachable)
		wantKind(t, "Put", s.Put(t.Context(), "data/bb", bytes.NewReader(nil), 0), cloud.ErrUnreachable)
		wantKind(t, "Delete", s.Delete(t.Context(), "data/bb"), cloud.ErrUnreachable)
		if _, err := os.Stat(at.Folder); err == nil {
			t.Error("the folder is there again")
		}
	})
}

func TestOpenAnew(t *testing.T) {
	each(t, func(t *testing.T, at servertest.Server) {
		put(t, create(t, at), "snap/aa", []byte("a"))
		again := create(t, at) // finds what is there
		if err := again.Put(t.Context(), "snap/aa", strings.NewReader("b"), 1); !errors.Is(err, cloud.ErrExist) {
			t.Errorf("Put over it = %v, want ErrExist", err)
		}
		data, err := get(t.Context(), open(t, config(at)), "snap/aa")
		if err != nil || string(data) != "a" {
			t.Errorf("it holds %q, %v", data, err)
		}
	})
}

func TestForeignFilesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, at servertest.Server) {
		if err := os.MkdirAll(at.Folder, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at.Folder, 0o777); err != nil { // Apache runs as another
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at.Folder, "letter.txt"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		c := config(at)
		c.Create = true
		_, err := rclone.Open(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), `"letter.txt"`) {
			t.Errorf("Open = %v, want it to name the file", err)
		}
	})
}

// Two temporaries: one that somebody may still be writing, and one nobody is.
func TestAbandonedTemporariesAreSwept(t *testing.T) {
	at := local(t)
	s := create(t, at)
	put(t, s, "data/aa", []byte("a"))
	for name, age := range map[string]time.Duration{".tmp-old": rclone.Abandoned + time.Hour, ".tmp-new": rclone.Abandoned - time.Hour} {
		path := filepath.Join(at.Folder, "data", name)
		if err := os.WriteFile(path, []byte("part"), 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.List(t.Context(), "data/", func(cloud.Info) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := files(t, filepath.Join(at.Folder, "data")); !slices.Equal(got, []string{".tmp-new", "aa"}) {
		t.Errorf("left are %q", got)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// An upload that is cut leaves neither the object nor, when the server can
// still be asked, its beginning.
func TestCutUpload(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) servertest.Server{"s3": servertest.RcloneS3, "webdav": servertest.RcloneWebDAV, "apache": servertest.Apache} {
		t.Run(name, func(t *testing.T) {
			f, at := before(t, start(t))
			s := create(t, at)
			f.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == "PUT" {
					cut(w, r)
				}
				return false
			})
			data := bytes.Repeat([]byte("x"), 1<<20)
			err := s.Put(t.Context(), "data/aa", bytes.NewReader(data), int64(len(data)))
			wantKind(t, "Put", err, cloud.ErrUnreachable)
			f.set(nil)
			_, err = s.Stat(t.Context(), "data/aa")
			wantKind(t, "Stat", err, cloud.ErrNotExist)
			put(t, s, "data/aa", data)
		})
	}
}

func TestCutDownload(t *testing.T) {
	f, at := before(t, servertest.RcloneS3(t))
	s := create(t, at)
	put(t, s, "data/aa", bytes.Repeat([]byte("x"), 1<<20))
	f.set(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "1048576")
		w.Header().Set("Last-Modified", "Mon, 23 Nov 2026 01:00:00 GMT")
		_, _ = w.Write(make([]byte, 1000))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	data, err := get(t.Context(), s, "data/aa")
	wantKind(t, "Get", err, cloud.ErrUnreachable)
	if len(data) > 1000 {
		t.Errorf("it gave %d bytes", len(data))
	}
}

// A server that knows nothing of If-None-Match is found out, and asked first.
func TestServerThatClobbers(t *testing.T) {
	f, at := before(t, servertest.RcloneS3Open(t))
	f.set(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("If-None-Match")
		return false
	})
	s := create(t, at)
	if !s.Traits().Racy {
		t.Error("its Traits do not say that Puts may race")
	}
	put(t, s, "head/aa", []byte("first"))
	other := open(t, config(at))
	wantKind(t, "Put over an object", other.Put(t.Context(), "head/aa", strings.NewReader("second"), 6), cloud.ErrExist)
	if data, err := get(t.Context(), other, "head/aa"); err != nil || string(data) != "first" {
		t.Errorf("it holds %q, %v", data, err)
	}
}

// Answers that are none are those of a cloud that cannot be understood.
func TestNonsense(t *testing.T) {
	f, at := before(t, servertest.RcloneWebDAV(t))
	s := create(t, at)
	f.set(func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = w.Write([]byte("<html>welcome to the hotel<br></html>"))
		return true
	})
	wantKind(t, "List", s.List(t.Context(), "data/", func(cloud.Info) error { return nil }), cloud.ErrUnreachable)
}

// What S3 servers answer, of which some says when to come back.
func TestErrorsOfS3(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status     int
		code       string
		retryAfter string
		want       error
		after      time.Duration
	}{
		{503, "SlowDown", "7", cloud.ErrThrottled, 7 * time.Second},
		{503, "SlowDown", "", cloud.ErrThrottled, 0},
		{429, "", "3", cloud.ErrThrottled, 3 * time.Second},
		{500, "InternalError", "", cloud.ErrUnreachable, 0},
		{503, "ServiceUnavailable", "2", cloud.ErrUnreachable, 2 * time.Second},
		{403, "AccessDenied", "", cloud.ErrDenied, 0},
		{403, "RequestTimeTooSkewed", "", cloud.ErrDenied, 0},
		{404, "NoSuchBucket", "", cloud.ErrUnreachable, 0},
		{507, "XMinioStorageFull", "", cloud.ErrFull, 0},
		{400, "EntityTooLarge", "", cloud.ErrFull, 0},
	}
	f, at := before(t, servertest.RcloneS3(t))
	s := create(t, at)
	var errs []cloudtest.ErrorCase
	for _, c := range cases {
		answer := func(w http.ResponseWriter, r *http.Request) bool {
			if c.retryAfter != "" {
				w.Header().Set("Retry-After", c.retryAfter)
			}
			w.WriteHeader(c.status)
			_, _ = w.Write([]byte("<Error><Code>" + c.code + "</Code><Message>so it is</Message></Error>"))
			return true
		}
		// Without a body a HEAD has no code, only the status.
		errs = append(errs, cloudtest.ErrorCase{
			Name: strings.TrimSpace(http.StatusText(c.status) + " " + c.code), Want: c.want, After: c.after, Methods: []string{"Put", "Get", "List"},
			Open: func(t *testing.T) (cloud.Store, func()) {
				_ = s.Delete(t.Context(), "data/failing") // of the case before
				anew := open(t, config(at))               // rclone is slower after each failure
				f.set(answer)
				return anew, func() { f.set(nil) }
			},
		})
	}
	cloudtest.RunErrors(t, errs)
}

func TestErrorsOfWebDAV(t *testing.T) {
	t.Parallel()
	f, at := before(t, servertest.RcloneWebDAV(t))
	s := create(t, at)
	var errs []cloudtest.ErrorCase
	for status, want := range map[int]error{
		401: cloud.ErrDenied, 403: cloud.ErrDenied, 423: cloud.ErrThrottled, 429: cloud.ErrThrottled, 500: cloud.ErrUnreachable,
		502: cloud.ErrUnreachable, 503: cloud.ErrUnreachable, 507: cloud.ErrFull, 413: cloud.ErrFull,
	} {
		errs = append(errs, cloudtest.ErrorCase{
			Name: http.StatusText(status), Want: want, Methods: []string{"Put", "Stat", "Get", "List"},
			Open: func(t *testing.T) (cloud.Store, func()) {
				_ = s.Delete(t.Context(), "data/failing") // of the case before
				f.set(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true })
				return s, func() { f.set(nil) }
			},
		})
	}
	cloudtest.RunErrors(t, errs)
}

func TestDestroy(t *testing.T) {
	each(t, func(t *testing.T, at servertest.Server) {
		s := create(t, at)
		put(t, s, "data/aa", []byte("a"))
		if err := s.Destroy(t.Context()); err == nil || !strings.Contains(err.Error(), "data/aa") {
			t.Errorf("Destroy of a store that is not empty = %v, want it to name an object", err)
		}
		if err := s.Delete(t.Context(), "data/aa"); err != nil {
			t.Fatal(err)
		}
		if err := s.Destroy(t.Context()); err != nil {
			t.Errorf("Destroy: %v", err)
		}
		if left, err := os.ReadDir(at.Folder); err == nil && len(left) > 0 {
			t.Errorf("left is %s, and more", left[0].Name())
		}
	})
}

// A place that was mistyped is not there: trying again would not help. One that goes away
// later, under a store that was opened, is another matter (cloudtest).
func TestMistypedPlace(t *testing.T) {
	each(t, func(t *testing.T, at servertest.Server) {
		create(t, at)
		wrong := config(at)
		wrong.Root += "x"
		_, err := rclone.Open(t.Context(), wrong)
		wantKind(t, "Open", err, cloud.ErrNotExist)
	})
}
