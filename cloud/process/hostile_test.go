package process_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/process"
)

// lies are answers that the protocol does not have, to any request about objects.
var lies = map[string]http.HandlerFunc{
	"status":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "\x1b[31mno", http.StatusTeapot) },
	"no-end":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") },
	"empty":      func(http.ResponseWriter, *http.Request) {},
	"odd-end":    func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(process.HeaderEnd, "finished") },
	"odd-kind":   endWith(`{"kind":"invented","text":""}`),
	"odd-text":   endWith(`{"kind":"other","text":"\u001b[31m"}`),
	"long-text":  endWith(`{"kind":"other","text":"` + strings.Repeat("a", 5000) + `"}`),
	"odd-delay":  endWith(`{"kind":"throttled","text":"","after_ms":99999999999}`),
	"minus":      endWith(`{"kind":"throttled","text":"","after_ms":-1}`),
	"wrong-wait": endWith(`{"kind":"full","text":"","after_ms":5}`),
	"odd-counters": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(process.HeaderCounters, "1 -2 3")
		w.Header().Set(process.HeaderEnd, "done")
	},
	"many-headers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Much", strings.Repeat("a", 300<<10))
	},
	"endless": func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	},
	"long-line":  listing(`{"name":"data/` + strings.Repeat("a", 600) + `","size":1,"time_ns":1}`),
	"bad-name":   listing(`{"name":"../a","size":1,"time_ns":1}`),
	"elsewhere":  listing(`{"name":"meta/b","size":1,"time_ns":1}`),
	"minus-size": listing(`{"name":"data/a","size":-1,"time_ns":1}`),
	"two":        listing(`{"name":"data/a","size":1,"time_ns":1}`, `{"name":"data/a","size":1,"time_ns":1}`),
	"abort":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
}

func endWith(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(process.HeaderEnd, strings.NewReplacer("{", "%7B", "}", "%7D", `"`, "%22").Replace(text))
	}
}

func listing(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", process.HeaderEnd)
		io.WriteString(w, strings.Join(lines, "\n")+"\n")
		w.Header().Set(process.HeaderEnd, "done")
	}
}

// hostile greets and opens as it should, and lies then.
func hostile(which string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		if which == "version" {
			io.WriteString(w, "keepsake-cloud 2\n")
			return
		}
		io.WriteString(w, process.Greeting)
	})
	mux.HandleFunc("POST /open", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", process.HeaderEnd)
		traits := "{}"
		switch which {
		case "traits":
			traits = `{"parallel":1000000}`
		case "long-traits":
			traits = strings.Repeat(" ", 1<<20)
		}
		io.WriteString(w, traits)
		w.Header().Set(process.HeaderEnd, "done")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if which == "dies" {
			fmt.Fprintln(os.Stderr, "last words")
			os.Exit(7)
		}
		if which == "short" {
			listing("x")(w, r)
			return
		}
		lies[which](w, r)
	})
	return mux
}

// Whatever the child answers, a request ends with an error that is no error of a
// cloud, and what it gave is no more than was asked for. Every answer is read by Stat;
// those that each of the others reads in its own way by that one too.
func TestHostileAnswers(t *testing.T) {
	for which := range lies {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			s := open(t, "hostile", which)
			wantLie := func(name string, err error) {
				if !errors.Is(err, process.ErrProtocol) || errors.Is(err, cloud.ErrUnreachable) || strings.Contains(err.Error(), "\x1b") {
					t.Errorf("%s = %v, want ErrProtocol", name, err)
				}
			}
			_, err := s.Stat(t.Context(), "data/a")
			wantLie("Stat", err)
			if slices.Contains([]string{"no-end", "odd-end", "endless", "abort"}, which) {
				wantLie("Get", getSome(t, s))
				wantLie("Put", s.Put(t.Context(), "data/a", strings.NewReader("body"), 4))
			}
			if slices.Contains([]string{"no-end", "bad-name", "long-line"}, which) {
				wantLie("List", s.List(t.Context(), "data/", func(cloud.Info) error { return nil }))
				wantLie("Delete", s.Delete(t.Context(), "data/a"))
			}
		})
	}
}

func getSome(t *testing.T, s cloud.Store) error {
	r, err := s.Get(t.Context(), "data/a", 0, 3)
	if err != nil {
		return err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if len(data) > 3 {
		t.Errorf("Get of three bytes gave %d", len(data))
	}
	return err
}

// A program that is another one is told from a cloud that is out of reach.
func TestWrongProgram(t *testing.T) {
	for _, c := range []struct{ name, arg, words string }{
		{"echo", "", "does not speak the protocol"},
		{"noise", "", "does not speak the protocol"},
		{"exit", "", "(exit status 3)"},
		{"hostile", "version", "another version"},
	} {
		t.Run(c.name+c.arg, func(t *testing.T) {
			t.Parallel()
			_, err := process.Open(t.Context(), optionsOf(c.name, c.arg))
			if !errors.Is(err, process.ErrProgram) || errors.Is(err, cloud.ErrUnreachable) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("Open = %v, want ErrProgram with %q", err, c.words)
			}
			if c.name == "exit" && !strings.Contains(err.Error(), "a?[31m library is missing") {
				t.Errorf("Open = %v, want what the program said, harmless", err)
			}
		})
	}
	o := optionsOf("exit", "")
	o.Program = t.TempDir()
	if _, err := process.Open(t.Context(), o); !errors.Is(err, process.ErrProgram) {
		t.Errorf("Open of a folder = %v, want ErrProgram", err)
	}
}

func TestHostileTraits(t *testing.T) {
	for _, which := range []string{"traits", "long-traits"} {
		if _, err := process.Open(t.Context(), optionsOf("hostile", which)); !errors.Is(err, process.ErrProtocol) {
			t.Errorf("Open with %s = %v, want ErrProtocol", which, err)
		}
	}
}
