package process

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"keepsake.example/cloud"
)

// What both ends write and read (spec/cloud-process.md §3 to §5).
const (
	greeting       = "keepsake-cloud 1\n" // the answer to /hello
	headerEnd      = "Keepsake-End"       // how a request ended: done, or an error
	headerCounters = "Keepsake-Counters"
	endDone        = "done"

	maxText    = 1024      // bytes of an error's text
	maxEnd     = 16 << 10  // bytes of the header that holds it
	maxLine    = 512       // bytes of a line that describes an object
	maxOpening = 64 << 10  // bytes of the request that opens, and of its answer
	maxLag     = time.Hour // of cloud.Traits
	maxDelay   = 24 * time.Hour
)

var errWire = errors.New("cloud/process: not as the protocol has it")

// kinds are all the errors that travel. The first that an error is speaks.
var kinds = []struct {
	name string
	is   error
}{
	{"not-exist", cloud.ErrNotExist},
	{"exist", cloud.ErrExist},
	{"denied", cloud.ErrDenied},
	{"full", cloud.ErrFull},
	{"throttled", cloud.ErrThrottled},
	{"unreachable", cloud.ErrUnreachable},
	{"short", io.ErrUnexpectedEOF},
	{"other", nil},
}

// An Error is what the child told of a cloud, in its words, or that the child
// itself is gone.
type Error struct {
	Destination cloud.Destination // which cloud
	Text        string            // one line of printable characters
	Kind        error             // of package cloud, or io.ErrUnexpectedEOF; nil for a defect
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.Kind }

type errorWire struct {
	Kind    string `json:"kind"`
	Text    string `json:"text"`
	AfterMS int64  `json:"after_ms,omitempty"`
}

// encodeEnd writes how a request ended for a header: nothing but letters, digits
// and %.
func encodeEnd(err error) string {
	if err == nil {
		return endDone
	}
	w := errorWire{Kind: kindOf(err), Text: clean(err.Error())}
	if d, ok := errors.AsType[*cloud.DelayError](err); ok {
		w.AfterMS = min(max(d.After, 0), maxDelay).Milliseconds()
	}
	data, err := json.Marshal(w)
	if err != nil {
		panic("cloud/process: internal error: " + err.Error()) // strings and a number
	}
	return url.QueryEscape(string(data))
}

func kindOf(err error) string {
	for _, k := range kinds {
		if k.is == nil || errors.Is(err, k.is) {
			return k.name
		}
	}
	panic("unreachable: the last kind is any")
}

// clean makes a text that is safe to show on a terminal: one line of printable
// characters, not too long.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText-len("…")], "") + "…"
	}
	return text
}

// decodeEnd gives what the other end wrote with encodeEnd as told, or why that
// cannot be as err.
func decodeEnd(value string) (told, err error) {
	if value == endDone {
		return nil, nil
	}
	if len(value) > maxEnd {
		return nil, errWire
	}
	text, err := url.QueryUnescape(value)
	if err != nil {
		return nil, errWire
	}
	var w errorWire
	if err := decodeJSON([]byte(text), &w); err != nil {
		return nil, err
	}
	if w.Text != clean(w.Text) || w.AfterMS < 0 || w.AfterMS > maxDelay.Milliseconds() {
		return nil, errWire
	}
	for _, k := range kinds {
		if k.name == w.Kind {
			return w.delayed(&Error{Text: w.Text, Kind: k.is})
		}
	}
	return nil, errWire
}

// delayed adds how long the store asked to wait. Only two kinds can ask.
func (w errorWire) delayed(told *Error) (error, error) {
	switch {
	case w.AfterMS == 0:
		return told, nil
	case told.Kind != cloud.ErrThrottled && told.Kind != cloud.ErrUnreachable:
		return nil, errWire
	}
	return &cloud.DelayError{After: time.Duration(w.AfterMS) * time.Millisecond, Err: told}, nil
}

// decodeJSON reads one object and nothing else, without unknown fields.
func decodeJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errWire, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: text behind the end", errWire)
	}
	return nil
}

type infoWire struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
	Time int64  `json:"time_ns"` // since 1970
}

func encodeInfo(i cloud.Info) ([]byte, error) {
	line, err := json.Marshal(infoWire{i.Name, i.Size, i.ModTime.UnixNano()})
	return append(line, '\n'), err
}

// decodeInfo reads a line that describes an object whose name begins with prefix.
func decodeInfo(line []byte, prefix string) (cloud.Info, error) {
	var w infoWire
	if err := decodeJSON(line, &w); err != nil {
		return cloud.Info{}, err
	}
	if err := cloud.CheckName(w.Name); err != nil || !strings.HasPrefix(w.Name, prefix) || w.Size < 0 {
		return cloud.Info{}, errWire
	}
	return cloud.Info{Name: w.Name, Size: w.Size, ModTime: time.Unix(0, w.Time)}, nil
}

func encodeCounters(c cloud.Counters) string {
	return fmt.Sprintf("%d %d %d", c.Requests, c.Sent, c.Received)
}

func decodeCounters(value string) (cloud.Counters, error) {
	var n [3]int64
	parts := strings.Split(value, " ")
	if len(parts) != len(n) {
		return cloud.Counters{}, errWire
	}
	for i, part := range parts {
		var err error
		if n[i], err = strconv.ParseInt(part, 10, 64); err != nil || n[i] < 0 || part != strconv.FormatInt(n[i], 10) {
			return cloud.Counters{}, errWire
		}
	}
	return cloud.Counters{Requests: n[0], Sent: n[1], Received: n[2]}, nil
}

// decodeTraits reads the answer to /open.
func decodeTraits(data []byte) (cloud.Traits, error) {
	var t cloud.Traits
	if err := decodeJSON(data, &t); err != nil {
		return cloud.Traits{}, err
	}
	if t.Parallel < 0 || t.Parallel > MaxParallel || t.Lag < 0 || t.Lag > maxLag {
		return cloud.Traits{}, errWire
	}
	return t, nil
}

type openWire struct {
	Destination string `json:"destination"`
	Create      bool   `json:"create"`
	LimitUpload string `json:"limit_upload"`
}

func decodeOpen(data []byte) (Request, error) {
	var w openWire
	if err := decodeJSON(data, &w); err != nil {
		return Request{}, err
	}
	d, err := cloud.ParseDestination(w.Destination)
	if err != nil {
		return Request{}, err
	}
	if !d.Network() || d.String() != w.Destination || len(w.LimitUpload) > 1024 {
		return Request{}, errWire
	}
	return Request{d, w.Create, w.LimitUpload}, nil
}

// decodeRange reads the query of a Get.
func decodeRange(query string) (offset, length int64, err error) {
	if n, err := fmt.Sscanf(query, "offset=%d&length=%d", &offset, &length); err != nil || n != 2 {
		return 0, 0, errWire
	}
	if offset < 0 || length < -1 || query != fmt.Sprintf("offset=%d&length=%d", offset, length) {
		return 0, 0, errWire
	}
	return offset, length, nil
}
