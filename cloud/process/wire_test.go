package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
	"keepsake.example/cloud/process"
)

var infos = []cloud.Info{
	{Name: "data/0f", Size: 16 << 20, ModTime: time.Unix(1_800_000_000, 5)},
	{Name: "top", Size: 0, ModTime: time.Unix(0, -1)},
}

const someOpening = `{"create":true,"destination":"s3+https://s3.example/bucket/x","limit_upload":"1M"}`

// decoders read what an end that is not trusted sends, and write it again: the
// same in the one form there is, or another text for the same.
var decoders = map[string]struct {
	good []string
	read func(text string) (again string, err error)
}{
	"info": {
		[]string{line(infos[0]), line(infos[1])},
		func(text string) (string, error) {
			i, err := process.DecodeInfo([]byte(text), "")
			if err != nil {
				return "", err
			}
			if cloud.CheckName(i.Name) != nil || i.Size < 0 {
				return "", errors.New("impossible object")
			}
			return line(i), nil
		},
	},
	"end": {ends(), func(text string) (string, error) {
		told, err := process.DecodeEnd(text)
		return process.EncodeEnd(told), err
	}},
	"counters": {
		[]string{"0 0 0", "7 1099511627776 9"},
		func(text string) (string, error) {
			c, err := process.DecodeCounters(text)
			return process.EncodeCounters(c), err
		},
	},
	"traits": {
		[]string{`{"parallel":8,"lag_ns":3600000000000,"racy":true,"fresh":true}`},
		func(text string) (string, error) {
			t, err := process.DecodeTraits([]byte(text))
			if t.Parallel < 0 || t.Parallel > process.MaxParallel || t.Lag < 0 || t.Lag > time.Hour {
				err = errors.New("impossible traits")
			}
			return fmt.Sprintf(`{"parallel":%d,"lag_ns":%d,"racy":%t,"fresh":%t}`, t.Parallel, t.Lag, t.Racy, t.Fresh), err
		},
	},
	"open": {
		[]string{someOpening},
		func(text string) (string, error) {
			r, err := process.DecodeOpen([]byte(text))
			if err == nil && !r.Destination.Network() {
				err = errors.New("a path")
			}
			again, _ := json.Marshal(map[string]any{"destination": r.Destination.String(), "create": r.Create, "limit_upload": r.LimitUpload})
			return string(again), err
		},
	},
	"range": {
		[]string{"offset=0&length=-1", "offset=9223372036854775807&length=123"},
		func(text string) (string, error) {
			offset, length, err := process.DecodeRange(text)
			return fmt.Sprintf("offset=%d&length=%d", offset, length), err
		},
	},
}

func line(i cloud.Info) string {
	text, err := process.EncodeInfo(i)
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(string(text), "\n")
}

func ends() (texts []string) {
	for _, err := range failures {
		texts = append(texts, process.EncodeEnd(err))
	}
	return append(texts, process.EncodeEnd(nil))
}

// What one end writes the other reads; what is cut off is refused; and what is
// changed is refused or is something that can be said again.
func TestMangled(t *testing.T) {
	for name, d := range decoders {
		for _, text := range d.good {
			if again, err := d.read(text); err != nil || again != text {
				t.Errorf("%s: %s is read as %s, %v", name, text, again, err)
			}
			for n := range text {
				again, err := d.read(text[:n])
				if err == nil && again != text[:n] {
					t.Errorf("%s: %s, cut off, was read as %s", name, text[:n], again)
				}
				for b := range 256 {
					changed := text[:n] + string([]byte{byte(b)}) + text[n+1:]
					stable(t, name, d.read, changed)
				}
			}
		}
	}
}

// stable checks that what was read from a text is written as one that is read as the same.
func stable(t *testing.T, name string, read func(string) (string, error), text string) {
	t.Helper()
	again, err := read(text)
	if err != nil {
		return
	}
	if third, err := read(again); err != nil || third != again {
		t.Fatalf("%s: %q was read as %s, and that as %s, %v", name, text, again, third, err)
	}
}

func fuzz(f *testing.F, name string) {
	for _, text := range decoders[name].good {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { stable(t, name, decoders[name].read, text) })
}

func FuzzInfo(f *testing.F)     { fuzz(f, "info") }
func FuzzEnd(f *testing.F)      { fuzz(f, "end") }
func FuzzCounters(f *testing.F) { fuzz(f, "counters") }
func FuzzTraits(f *testing.F)   { fuzz(f, "traits") }
func FuzzOpen(f *testing.F)     { fuzz(f, "open") }
func FuzzRange(f *testing.F)    { fuzz(f, "range") }

// FuzzRequest asks the serving end for anything: it answers, and never with
// something the protocol does not have.
func FuzzRequest(f *testing.F) {
	f.Add("PUT", "/object/data/a", "body")
	f.Add("GET", "/object/data/a?offset=0&length=3", "")
	f.Add("GET", "/list?prefix=data%2F", "")
	f.Add("DELETE", "/object/data/a", "")
	f.Add("GET", "/stat/data/a", "")
	f.Add("POST", "/open", someOpening)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		request, err := http.NewRequest(method, "http://keepsake-cloud"+target, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(target, "/") {
			return
		}
		h := process.Handler(func(context.Context, process.Request) (cloud.Store, error) { return cloudtest.NewMemory(), nil })
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/open", strings.NewReader(someOpening)))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request)
		result := w.Result()
		end := result.Header.Get(process.HeaderEnd) + result.Trailer.Get(process.HeaderEnd)
		if result.StatusCode == http.StatusOK && target != "/hello" {
			if _, err := process.DecodeEnd(end); err != nil {
				t.Fatalf("%s %s ended with %q", method, target, end)
			}
		}
		io.Copy(io.Discard, result.Body)
	})
}
