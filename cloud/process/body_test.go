package process_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/process"
)

// The serving end stores only what is whole and was ended (spec/cloud-process.md §4):
// also with all its bytes there, a body that breaks off was not meant.
func TestBodyThatBreaksOff(t *testing.T) {
	m := cloudtest.NewMemory()
	h := process.Handler(func(context.Context, process.Request) (cloud.Store, error) { return m, nil })
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/open", strings.NewReader(someOpening)))
	broke := iotest.ErrReader(errors.New("reset"))
	for name, body := range map[string]io.Reader{
		"data/early":  io.MultiReader(strings.NewReader("1234"), broke),
		"data/at-end": io.MultiReader(strings.NewReader("12345"), broke),
		"data/short":  strings.NewReader("1234"),
		"data/long":   strings.NewReader("123456"),
	} {
		r := httptest.NewRequest("PUT", "/object/"+name, body)
		r.ContentLength = 5
		h.ServeHTTP(httptest.NewRecorder(), r)
		if _, err := m.Stat(t.Context(), name); !errors.Is(err, cloud.ErrNotExist) {
			t.Errorf("%s was stored: %v", name, err)
		}
	}
}

// The sending end ends a body only when it is as long as announced and still wanted.
func TestBodyIsEndedWhenItIsRight(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	atEnd := io.MultiReader(strings.NewReader("12345"), readFunc(func() { cancel() }))
	for what, u := range map[string]io.Reader{
		"short":     process.NewUpload(t.Context(), strings.NewReader("1234"), 5),
		"long":      process.NewUpload(t.Context(), strings.NewReader("123456"), 5),
		"cancelled": process.NewUpload(ctx, atEnd, 5),
	} {
		if _, err := io.ReadAll(u); err == nil {
			t.Errorf("a body that is %s was ended", what)
		}
	}
	data, err := io.ReadAll(process.NewUpload(t.Context(), strings.NewReader("12345"), 5))
	if err != nil || !bytes.Equal(data, []byte("12345")) {
		t.Errorf("a body that is right gave %q, %v", data, err)
	}
}

// readFunc is called at the end.
type readFunc func()

func (f readFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

// A child that says done before the end of a range does not make it the end.
func TestShortRange(t *testing.T) {
	s := open(t, "hostile", "short")
	r, err := s.Get(t.Context(), "data/a", 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if data, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || string(data) != "x\n" {
		t.Errorf("a range of three bytes gave %q, %v; want io.ErrUnexpectedEOF", data, err)
	}
}
