package fakeicloud_test

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/rclone"
	"keepsake.example/cloud/rclone/fakeicloud"
)

// TestHostileAnswers: whatever the server says, the store answers with an
// error of a known kind, or with what is true, and the process lives. rclone
// itself panics at several of these.
func TestHostileAnswers(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	store(t, openStore(t, s, a, "Keepsake", true), "data/there", 1000)
	for path, methods := range map[string][]string{
		"/upload/web": {"Put"}, "/singleFileUpload": {"Put"}, "/update/documents": {"Put"},
		"/download/by_id": {"Get"}, "/moveItemsToTrash": {"Delete"}, "/createFolders": {"Open"},
		"/retrieveItemDetailsInFolders": {"Get of an unknown one", "List", "Stat", "Delete of an unknown one", "Open"},
	} {
		st := openStore(t, s, a, "Keepsake", false) // rclone slows down after each failure
		for _, answer := range hostile {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, path) {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, answer)
				return true
			})
			for _, method := range methods {
				if err := requests[method](t, st, storeConfig(s, a, "Other", true)); err != nil && !known(err) {
					t.Errorf("%s, when %s answers %.60s: %v, which is of no kind", method, path, answer, err)
				}
			}
		}
		s.Intercept(nil)
	}
	if _, err := openStore(t, s, a, "Keepsake", false).Stat(t.Context(), "data/there"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

var requests = map[string]func(t *testing.T, st *rclone.Store, c rclone.Config) error{
	"Put": func(t *testing.T, st *rclone.Store, _ rclone.Config) error {
		return st.Put(t.Context(), "data/"+strings.ToLower(rand.Text()), strings.NewReader("12345"), 5)
	},
	"Get":                   func(t *testing.T, st *rclone.Store, _ rclone.Config) error { return readAll(t, st, "data/there") },
	"Get of an unknown one": func(t *testing.T, st *rclone.Store, _ rclone.Config) error { return readAll(t, st, "data/other") },
	"List": func(t *testing.T, st *rclone.Store, _ rclone.Config) error {
		return st.List(t.Context(), "data/", func(i cloud.Info) error {
			if cloud.CheckName(i.Name) != nil || i.Size < 0 {
				t.Errorf("List gave %+v", i)
			}
			return nil
		})
	},
	"Stat": func(t *testing.T, st *rclone.Store, _ rclone.Config) error {
		_, err := st.Stat(t.Context(), "data/other")
		return err
	},
	"Delete": func(t *testing.T, st *rclone.Store, _ rclone.Config) error {
		return st.Delete(t.Context(), "data/there")
	},
	"Delete of an unknown one": func(t *testing.T, st *rclone.Store, _ rclone.Config) error {
		return st.Delete(t.Context(), "data/other")
	},
	"Open": func(t *testing.T, _ *rclone.Store, c rclone.Config) error {
		st, err := rclone.Open(t.Context(), c)
		if err == nil {
			err = st.Close()
		}
		return err
	},
}

func readAll(t *testing.T, st *rclone.Store, name string) error {
	t.Helper()
	r, err := st.Get(t.Context(), name, 0, -1)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

var hostile = []string{
	`null`, `[]`, `{}`, `[null]`, `[[]]`, `"text"`, `[{}]`, `{"items":null}`, `{"items":[]}`, `{"items":[null]}`, `{"folders":[null]}`,
	`{"results":[]}`, `{"results":[{}]}`, `{"results":[{"document":null}]}`, `{"singleFile":null}`, `[{"items":[null]}]`,
	`[{"items":[{"name":"../../escape","type":"FILE","size":-5,"drivewsid":"x"}]}]`,
	`[{"items":[{"name":"data","type":"FILE","size":5,"drivewsid":"x"}]}]`,
	`[{"items":[{"name":"there","type":"FOLDER","drivewsid":"FOLDER::com.apple.CloudDocs::root"}]}]`,
	`{"data_token":{"url":""}}`, `{"data_token":{"url":"https://setup.icloud.com/none"}}`, `{"data_token":{"url":":// no"}}`,
	`[{"url":"","document_id":""}]`, strings.Repeat(`[`, 100_000),
	``, // last, because rclone tries again, and is slow for a while after it
}

func known(err error) bool {
	for _, kind := range []error{cloud.ErrNotExist, cloud.ErrExist, cloud.ErrUnreachable, cloud.ErrDenied, cloud.ErrFull, cloud.ErrThrottled} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// TestNoDrive: an account that never accepted iCloud Drive's terms.
func TestNoDrive(t *testing.T) {
	s := start(t, fakeicloud.Account{AppleID: person, Password: password, NoDrive: true})
	a := anAccount(t, s)
	if _, err := rclone.Open(t.Context(), storeConfig(s, a, "Keepsake", true)); !known(err) {
		t.Errorf("Open without iCloud Drive: %v, which is of no kind", err)
	}
}
