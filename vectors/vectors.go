// Package vectors holds Keepsake's test vectors: one file, one case, with the
// outcome that is expected and the layer that must refuse. They are embedded, so
// that another implementation written in Go imports this package; any other
// reads the files.
//
// A file is a header and, after an empty line, an optional body of any bytes:
//
//	comment: what the case is about
//	expect: refused
//	layer: digit
//	input: "0011 ..."
//
// A header line is a name of a-z, 0-9 and "-", a colon, a space and a value, and
// ends in one line feed. Values are UTF-8 without control characters. Names do
// not repeat. Each sub-folder belongs to one document of spec/, which lists its
// names.
package vectors

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// FS holds the vector files, one sub-folder for each document of spec/.
//
//go:embed backup fleet key ledger oprf p256 password replica roster sealed vault vaultapi
var FS embed.FS

// MaxFile is the longest vector file in bytes, MaxHeader the longest header.
const (
	MaxFile   = 16 << 20
	MaxHeader = 64 << 10
)

// Field is one header line.
type Field struct{ Name, Value string }

// Vector is one case.
type Vector struct {
	Path   string // inside FS
	Fields []Field
	Body   []byte // nil when the file ends with the header
}

// Get returns the value of a header line, and whether there is one.
func (v *Vector) Get(name string) (value string, ok bool) {
	for _, f := range v.Fields {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

// Encode returns the bytes of the file. For every data that Parse accepts,
// Encode(Parse(data)) == data.
func (v *Vector) Encode() []byte {
	var b bytes.Buffer
	for _, f := range v.Fields {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	if v.Body != nil {
		b.WriteByte('\n')
		b.Write(v.Body)
	}
	return b.Bytes()
}

// Parse reads one vector file. The vector shares the body's memory with data.
func Parse(path string, data []byte) (*Vector, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("vectors: %s: %d bytes, at most %d are read", path, len(data), MaxFile)
	}
	v := &Vector{Path: path}
	for rest := data; ; {
		if len(data)-len(rest) > MaxHeader {
			return nil, fmt.Errorf("vectors: %s: header over %d bytes", path, MaxHeader)
		}
		if len(rest) == 0 {
			break
		}
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		if ended && len(line) == 0 {
			v.Body = after
			break
		}
		f, err := parseField(string(line), ended)
		if err != nil {
			return nil, fmt.Errorf("vectors: %s: header line %d: %w", path, len(v.Fields)+1, err)
		}
		if _, double := v.Get(f.Name); double {
			return nil, fmt.Errorf("vectors: %s: %q is there twice", path, f.Name)
		}
		v.Fields, rest = append(v.Fields, f), after
	}
	if len(v.Fields) == 0 {
		return nil, fmt.Errorf("vectors: %s: no header", path)
	}
	return v, nil
}

func parseField(line string, ended bool) (Field, error) {
	name, value, ok := strings.Cut(line, ": ")
	switch {
	case !ended:
		return Field{}, errors.New("no line end")
	case !ok:
		return Field{}, errors.New(`not of the form "name: value"`)
	case name == "" || strings.ContainsFunc(name, isNotName):
		return Field{}, fmt.Errorf("bad name %q", name)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return Field{}, errors.New("value is not printable UTF-8")
	}
	return Field{Name: name, Value: value}, nil
}

func isNotName(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-')
}

// All reads every vector of a sub-folder of FS, in the order of their names.
func All(dir string) ([]*Vector, error) {
	var all []*Vector
	err := fs.WalkDir(FS, dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := FS.ReadFile(path)
		if err != nil {
			return err
		}
		v, err := Parse(path, data)
		all = append(all, v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading vectors of %s: %w", dir, err)
	}
	return all, nil
}
