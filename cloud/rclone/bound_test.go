package rclone_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/servertest"
	"keepsake.example/cloud/retry"
)

// page is a part of a listing in S3, after which there are others.
func page(w http.ResponseWriter, keys ...string) {
	fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken><NextMarker>more</NextMarker>`)
	for _, key := range keys {
		fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>1</Size><LastModified>2026-11-23T00:00:00.000Z</LastModified></Contents>`, key)
	}
	fmt.Fprint(w, `</ListBucketResult>`)
}

// A server whose listing, or whose answer, has no end does not get all memory, and is not
// asked again.
func TestEndlessAnswers(t *testing.T) {
	front, at := before(t, servertest.RcloneS3(t))
	s := retry.New(create(t, at), retry.Options{})
	_, prefix, _ := strings.Cut(at.Root+"/", "/")
	if prefix != "" {
		prefix = strings.TrimSuffix(prefix, "/") + "/"
	}
	long := strings.Repeat("x", 1000)
	for name, c := range map[string]struct {
		bounds func(t *testing.T)
		answer func(w http.ResponseWriter)
		want   string
	}{
		"entries": {
			func(t *testing.T) { rclone.TestingBounds(t, 300, 0, 0, 0) },
			func(w http.ResponseWriter) { page(w, prefix+"data/aa", prefix+"data/bb", prefix+"data/cc") },
			"more than 300 entries",
		},
		"names": {
			func(t *testing.T) { rclone.TestingBounds(t, 0, 100_000, 0, 0) },
			func(w http.ResponseWriter) { page(w, prefix+"data/"+long) },
			"of names",
		},
		"pages without entries": {
			func(t *testing.T) { rclone.TestingBounds(t, 0, 0, 20, 0) },
			func(w http.ResponseWriter) { page(w) },
			"21 requests gave 0 entries",
		},
		"one page": {
			func(t *testing.T) { rclone.TestingBounds(t, 0, 0, 0, 200<<20) },
			func(w http.ResponseWriter) {
				fmt.Fprint(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Contents><Key>`)
				for more := []byte(strings.Repeat("x", 1<<20)); ; {
					if _, err := w.Write(more); err != nil {
						return
					}
				}
			},
			"of memory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.bounds(t)
			front.set(func(w http.ResponseWriter, r *http.Request) bool {
				if !r.URL.Query().Has("prefix") {
					return false
				}
				c.answer(w)
				return true
			})
			err := s.List(t.Context(), "data/", func(cloud.Info) error { return nil })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("List = %v, want %q", err, c.want)
			}
			err = rclone.Probe(t.Context(), config(at))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Probe = %v, want %q", err, c.want)
			}
		})
	}
}

// An error of a server may have no end either.
func TestEndlessError(t *testing.T) {
	rclone.TestingBounds(t, 0, 0, 0, 200<<20)
	front, at := before(t, servertest.RcloneS3(t))
	s := create(t, at)
	front.set(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		for more := []byte(strings.Repeat(" ", 1<<20)); ; {
			if _, err := w.Write(more); err != nil {
				return true
			}
		}
	})
	err := s.Put(t.Context(), "data/aa", strings.NewReader("a"), 1)
	if err == nil || !strings.Contains(err.Error(), "has no end") {
		t.Errorf("Put = %v, want to be told that there is no end", err)
	}
}
