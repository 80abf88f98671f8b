package process_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/process"
)

// A folder in a real child process is as good a store as a folder.
func TestConformance(t *testing.T) {
	cloudtest.Run(t, func(t *testing.T) cloud.Store { return open(t, "dir", filepath.Join(t.TempDir(), "cloud")) })
}

// Every kind of error arrives as what it was, from each method, and its words with it.
func TestErrorsTravel(t *testing.T) {
	s := open(t, "errors", "")
	for name, want := range failures {
		_, statErr := s.Stat(t.Context(), name)
		_, getErr := read(s, name)
		for method, err := range map[string]error{
			"Put":    s.Put(t.Context(), name, strings.NewReader("12345"), 5),
			"Delete": s.Delete(t.Context(), name), "Stat": statErr, "Get": getErr,
		} {
			wantSame(t, method+" of "+name, err, want)
		}
	}
	if err := s.List(t.Context(), "", nil); !errors.Is(err, cloud.ErrDenied) {
		t.Errorf("List = %v, want ErrDenied", err)
	}
}

func wantSame(t *testing.T, what string, got, want error) {
	t.Helper()
	if got == nil || got.Error() != process.Clean(want.Error()) {
		t.Errorf("%s = %v, want the words of %v", what, got, want)
	}
	if e, ok := errors.AsType[*process.Error](got); !ok || e.Destination != somewhere {
		t.Errorf("%s = %#v, which does not say of which cloud", what, got)
	}
	for _, kind := range []error{
		cloud.ErrNotExist, cloud.ErrExist, cloud.ErrUnreachable, cloud.ErrDenied, cloud.ErrFull, cloud.ErrThrottled, io.ErrUnexpectedEOF,
	} {
		if errors.Is(got, kind) != errors.Is(want, kind) {
			t.Errorf("%s = %v, which is %v: %t", what, got, kind, errors.Is(got, kind))
		}
	}
	d, ok := errors.AsType[*cloud.DelayError](want)
	got2, ok2 := errors.AsType[*cloud.DelayError](got)
	if ok != ok2 || ok && d.After != got2.After {
		t.Errorf("%s = %v, whose delay is not that of %v", what, got, want)
	}
}

func read(s cloud.Store, name string) ([]byte, error) {
	r, err := s.Get(context.Background(), name, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// Everybody on the device can read what a process is started with: it is one word.
func TestArguments(t *testing.T) {
	program, said := filepath.Join(t.TempDir(), "keepsake-cloud"), filepath.Join(t.TempDir(), "said")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '%s|' \"$@\" >'"+said+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := cloud.Destination{Kind: cloud.KindSFTP, Host: "host.example", User: "ada", Path: "/private"}
	if _, err := process.Open(t.Context(), process.Options{Program: program, Destination: d, LimitUpload: "1M"}); !errors.Is(err, process.ErrProgram) {
		t.Errorf("Open = %v, want ErrProgram", err)
	}
	if args, err := os.ReadFile(said); err != nil || string(args) != "serve|" {
		t.Errorf("it was started with %q, %v", args, err)
	}
}

func TestTraitsAndCountersTravel(t *testing.T) {
	s := open(t, "errors", "")
	if got, want := cloud.TraitsOf(s), (failing{}).Traits(); got != want {
		t.Errorf("traits %+v, want %+v", got, want)
	}
	if got, want := cloud.CountersOf(s), (failing{}).Counters(); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

// What a library of a provider does wrong ends a request, not the child.
func TestPanicIsAnError(t *testing.T) {
	s := open(t, "errors", "")
	err := s.Put(t.Context(), "meta/panic", strings.NewReader("1"), 1)
	if err == nil || !strings.Contains(err.Error(), "a library's") || errors.Is(err, cloud.ErrUnreachable) {
		t.Errorf("Put = %v, want the panic's words, unclassified", err)
	}
	if err := s.Delete(t.Context(), "meta/nothing"); err != nil {
		t.Errorf("Delete afterwards: %v", err)
	}
}

func TestOpenRefused(t *testing.T) {
	o := optionsOf("errors", "")
	o.LimitUpload = "1M"
	_, err := process.Open(t.Context(), o)
	if !errors.Is(err, cloud.ErrDenied) || !strings.Contains(err.Error(), "limit 1M of gdrive:Folder") {
		t.Errorf("Open = %v, want what the child said", err)
	}
	o.Destination = cloud.Destination{Kind: cloud.KindPath, Path: "/tmp"}
	if _, err := process.Open(t.Context(), o); err == nil {
		t.Error("a path was opened by another process")
	}
}

func TestTooLarge(t *testing.T) {
	s := open(t, "errors", "")
	body := bytes.NewReader(make([]byte, process.MaxObject+1))
	if err := s.Put(t.Context(), "meta/large", body, process.MaxObject+1); err == nil || body.Len() != process.MaxObject+1 {
		t.Errorf("Put of more than an object may have: %v, %d bytes left unread", err, body.Len())
	}
	if err := s.Put(t.Context(), "meta/large", body, process.MaxObject); err == nil || errors.Is(err, process.ErrProtocol) {
		t.Errorf("Put of a body a byte longer than announced: %v", err)
	}
	if err := s.Put(t.Context(), "meta/large", bytes.NewReader(make([]byte, process.MaxObject)), process.MaxObject); err != nil {
		t.Errorf("Put of the largest object: %v", err)
	}
}

func TestClosed(t *testing.T) {
	s := open(t, "dir", filepath.Join(t.TempDir(), "cloud"))
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "meta/a"); err == nil || errors.Is(err, cloud.ErrNotExist) {
		t.Errorf("Stat of a closed store = %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if path, err := process.Find(); !errors.Is(err, process.ErrMissing) || !errors.Is(err, process.ErrProgram) {
		t.Errorf("Find = %s, %v; want ErrMissing", path, err)
	}
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	want := filepath.Join(dir, "keepsake-cloud")
	if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if path, err := process.Find(); err != nil || path != want {
		t.Errorf("Find = %s, %v; want %s", path, err, want)
	}
}
