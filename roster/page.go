package roster

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// page is a text that is written or read line by line. After the first line that
// does not fit a reading page is bad for good.
type page struct {
	written strings.Builder
	text    string // not read yet
	line    int    // how many were read
	reading bool
	bad     bool
}

// say writes a line, or reads it. Each "%" among the words stands for a field.
func (p *page) say(words string, fields ...any) {
	if p.reading {
		p.bad = p.bad || !p.next(words, fields...)
		return
	}
	for i, w := range strings.Split(words, " ") {
		if i > 0 {
			p.written.WriteByte(' ')
		}
		if w == "%" {
			w, fields = write(fields[0]), fields[1:]
		}
		p.written.WriteString(w)
	}
	p.written.WriteByte('\n')
}

// next reads the next line if it is of these words, and reports whether it is. A
// line of these words with a field that does not fit is one, and makes the page bad.
func (p *page) next(words string, fields ...any) bool {
	line, rest, ended := strings.Cut(p.text, "\n")
	want, got := strings.Split(words, " "), strings.Split(line, " ")
	if p.bad || !ended || len(got) != len(want) {
		return false
	}
	for i, w := range want {
		if w != "%" && w != got[i] {
			return false
		}
	}
	for i, w := range want {
		if w == "%" {
			p.bad = p.bad || !read(fields[0], got[i])
			fields = fields[1:]
		}
	}
	if !p.bad {
		p.text, p.line = rest, p.line+1
	}
	return true
}

// write returns the one form of a field.
func write(field any) string {
	switch f := field.(type) {
	case *uint8:
		return strconv.FormatUint(uint64(*f), 10)
	case *uint32:
		return strconv.FormatUint(uint64(*f), 10)
	case *uint64:
		return strconv.FormatUint(*f, 10)
	case *span:
		return f.String()
	case *bool:
		if *f {
			return "yes"
		}
		return "no"
	case *string:
		return *f
	case *[32]byte:
		return hex.EncodeToString(f[:])
	case []byte:
		return hex.EncodeToString(f)
	}
	panic(fmt.Sprintf("roster: internal error: a field of type %T", field))
}

// read reads a field, and reports whether it is in its one form.
func read(field any, s string) bool {
	var err error
	switch f := field.(type) {
	case *uint8:
		err = number(f, s, 8)
	case *uint32:
		err = number(f, s, 32)
	case *uint64:
		err = number(f, s, 64)
	case *span:
		err = f.parse(s)
	case *bool:
		*f = s == "yes"
	case *string:
		*f = s
	case *[32]byte:
		err = bytesOf(f[:], s)
	case []byte:
		err = bytesOf(f, s)
	}
	return err == nil && write(field) == s
}

func number[T uint8 | uint32 | uint64](f *T, s string, bits int) error {
	n, err := strconv.ParseUint(s, 10, bits)
	*f = T(n)
	return err
}

func bytesOf(f []byte, s string) error {
	if len(s) != hex.EncodedLen(len(f)) { // Decode writes as far as the text goes
		return ErrText
	}
	_, err := hex.Decode(f, []byte(s))
	return err
}

// span is a time in milliseconds, which people read in the largest unit that it is
// a whole number of: 30s, 5m, 7d.
type span uint64

var units = []struct {
	name string
	ms   span
}{{"d", 24 * 3600 * 1000}, {"h", 3600 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}}

// String returns the one form.
func (s *span) String() string {
	if *s == 0 {
		return "0s"
	}
	for _, u := range units {
		if *s%u.ms == 0 {
			return strconv.FormatUint(uint64(*s/u.ms), 10) + u.name
		}
	}
	return "" // the last unit always fits
}

func (s *span) parse(text string) error {
	digits := strings.TrimRight(text, "dhms")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > maxDuration {
		return ErrText
	}
	for _, u := range units {
		if u.name == text[len(digits):] {
			*s = span(n) * u.ms // under 2^64: n is at most 366 days in ms
			return nil
		}
	}
	return ErrText
}
