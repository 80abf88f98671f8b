package cobblestone_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"

	"keepsake.example/internal/cobblestone"
)

func TestReaderIsReader(t *testing.T) {
	for _, n := range seams {
		if n > 40*chunk {
			continue
		}
		plaintext, message := testMessage(n)
		r, err := cobblestone.NewReader(testKey, testContext, iotest.HalfReader(bytes.NewReader(message)))
		if err != nil {
			t.Fatal(err)
		}
		if err := iotest.TestReader(r, plaintext); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestReaderWipesWhatItHandedOver(t *testing.T) {
	plaintext, message := testMessage(20 * chunk)
	r, err := cobblestone.NewReader(testKey, testContext, bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, plaintext) {
		t.Fatal(err)
	}
	if kept := cobblestone.TestingOnlyBuffer(r); len(kept) == 0 || !isZero(kept) {
		t.Error("plaintext is kept")
	}
}

// What comes out before an error is whole batches of genuine plaintext.
func TestReaderLetsOutOnlyAuthenticatedBytes(t *testing.T) {
	const batch = cobblestone.BatchChunks
	plaintext, message := testMessage(3*batch*chunk + 10)
	for bad := range int64(3*batch + 1) {
		damaged := bytes.Clone(message)
		damaged[head+bad*sealed] ^= 1
		got, err := openStream(testKey, testContext, bytes.NewReader(damaged))
		wantChunkError(t, err, bad)
		if want := plaintext[:bad/batch*batch*chunk]; !bytes.Equal(got, want) {
			t.Fatalf("chunk %d damaged: %d bytes let out, want %d", bad, len(got), len(want))
		}
	}
}

// A source that breaks is not a damaged message, wherever it breaks: even with
// io.ErrUnexpectedEOF, and even at the very end.
func TestReaderReportsBrokenSource(t *testing.T) {
	plaintext, message := testMessage(20*chunk + 10)
	for _, broken := range []error{io.ErrUnexpectedEOF, errors.New("network down")} {
		for _, n := range []int{0, 10, head, head + 5, head + 16*sealed, len(message) - 1, len(message)} {
			source := io.MultiReader(bytes.NewReader(message[:n]), iotest.ErrReader(broken))
			got, err := openStream(testKey, testContext, source)
			if !errors.Is(err, broken) || errors.Is(err, cobblestone.ErrChunk) {
				t.Errorf("broken after %d bytes: %v, want %v", n, err, broken)
			}
			if !bytes.HasPrefix(plaintext, got) {
				t.Errorf("broken after %d bytes: let out something else", n)
			}
		}
	}
}

// readFunc is a source made of one function.
type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestReaderSurvivesBadSources(t *testing.T) {
	sources := map[string]readFunc{
		"never anything": func([]byte) (int, error) { return 0, nil },
		"negative":       func([]byte) (int, error) { return -1, nil },
		"too much":       func(p []byte) (int, error) { return len(p) + 1, nil },
	}
	_, message := testMessage(100)
	for name, f := range sources {
		for _, n := range []int{0, head, head + 50} {
			if _, err := openStream(testKey, testContext, io.MultiReader(bytes.NewReader(message[:n]), f)); err == nil {
				t.Errorf("%s after %d bytes: no error", name, n)
			}
		}
	}
}

// Nothing that holds a key or plaintext prints it.
func TestRedaction(t *testing.T) {
	const secret = "the plaintext"
	s := cobblestone.NewBuilder(testKey, nil, nil)
	s.Write([]byte(secret))
	message := s.Finish()
	r, err := cobblestone.NewReader(testKey, nil, bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	io.ReadFull(r, make([]byte, 1))
	o, err := cobblestone.NewOpener(testKey, nil, (*[56]byte)(message))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{s, *s, o, *o, r} {
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "v", v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); got != "[redacted]" {
				t.Errorf("%T with %s: %s", v, verb, got)
			}
		}
		if string(text) != `"[redacted]"` || strings.Count(log.String(), "[redacted]") != 2 || len(log.String()) > 300 {
			t.Errorf("%T: JSON %s, log %s", v, text, &log)
		}
	}
}
