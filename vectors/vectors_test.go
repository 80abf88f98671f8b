package vectors_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepsake.example/vectors"
)

func TestParse(t *testing.T) {
	data := []byte("comment: a case: with colons\nexpect: refused\nempty: \n\nbody\r\n\x00\xff")
	got, err := vectors.Parse("x/y.txt", data)
	if err != nil {
		t.Fatal(err)
	}
	want := &vectors.Vector{
		Path: "x/y.txt",
		Fields: []vectors.Field{
			{Name: "comment", Value: "a case: with colons"}, {Name: "expect", Value: "refused"}, {Name: "empty"},
		},
		Body: []byte("body\r\n\x00\xff"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
	if v, ok := got.Get("empty"); v != "" || !ok {
		t.Errorf("Get(empty) = %q, %v", v, ok)
	}
	if v, ok := got.Get("absent"); v != "" || ok {
		t.Errorf("Get(absent) = %q, %v", v, ok)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, data, want string }{
		{"nothing", "", "no header"},
		{"body alone", "\nbody", "no header"},
		{"no line end", "a: b", "no line end"},
		{"no colon", "a b\n", "not of the form"},
		{"no space", "a:b\n", "not of the form"},
		{"no name", ": b\n", "bad name"},
		{"upper case name", "Abc: b\n", "bad name"},
		{"space in name", "a b: c\n", "bad name"},
		{"carriage return", "a: b\r\n", "not printable"},
		{"not UTF-8", "a: \xff\n", "not printable"},
		{"twice", "a: b\na: c\n", "twice"},
		{"second line", "a: b\nc\n", "line 2"},
		{"long header", "a: " + strings.Repeat("b", vectors.MaxHeader) + "\n", "header over"},
		{"long file", "a: b\n\n" + strings.Repeat("b", vectors.MaxFile), "at most"},
	} {
		v, err := vectors.Parse(c.name, []byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Parse = %v, %v, want an error with %q", c.name, v, err, c.want)
		}
	}
}

// Every truncation and every changed byte is refused or is another vector: no
// two files mean the same.
func TestMangled(t *testing.T) {
	data := []byte("name-1: value\nx: y\n\nbody")
	for n := range data {
		mangled := [][]byte{data[:n]}
		for b := range 256 {
			if byte(b) != data[n] {
				m := bytes.Clone(data)
				m[n] = byte(b)
				mangled = append(mangled, m)
			}
		}
		for _, m := range mangled {
			if v, err := vectors.Parse("m", m); err == nil && !bytes.Equal(v.Encode(), m) {
				t.Fatalf("%q parses and is encoded as %q", m, v.Encode())
			}
		}
	}
}

// Every embedded file is a vector that says what must happen, is listed by All,
// and re-encodes to itself.
func TestEmbedded(t *testing.T) {
	dirs, err := fs.ReadDir(vectors.FS, ".")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("ReadDir = %v, %v", dirs, err)
	}
	for _, d := range dirs {
		all, err := vectors.All(d.Name())
		if err != nil || len(all) == 0 {
			t.Fatalf("All(%s) = %d vectors, %v", d.Name(), len(all), err)
		}
		for _, v := range all {
			data, err := vectors.FS.ReadFile(v.Path)
			if err != nil || !bytes.Equal(v.Encode(), data) {
				t.Errorf("%s: does not re-encode to itself (%v)", v.Path, err)
			}
			for _, name := range []string{"comment", "expect"} {
				if value, _ := v.Get(name); value == "" {
					t.Errorf("%s: has no %q", v.Path, name)
				}
			}
		}
	}
	if _, err := vectors.All("absent"); err == nil {
		t.Error("All of an absent folder succeeds")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: b\n\nbody"))
	f.Add([]byte("comment: x\nexpect: refused\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := vectors.Parse("fuzz", data)
		if err != nil {
			return
		}
		if !bytes.Equal(v.Encode(), data) {
			t.Errorf("%q is encoded as %q", data, v.Encode())
		}
	})
}
