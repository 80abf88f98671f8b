package endtoend_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// secret is something that must be nowhere but in its own places.
type secret struct {
	name string
	text []byte
	// places are patterns of the places where it is by design.
	places []string
	// digits is a secret so short that it is looked for only as a word of its own.
	digits bool
}

// needle is one form of a secret.
type needle struct {
	secret *secret
	form   string
	text   []byte
}

// searcher looks for all forms of all secrets in one pass.
type searcher struct {
	needles  map[uint64][]needle // by their first eight bytes
	squeezed map[uint64][]needle // those to look for where spaces, dashes and case do not count
	found    map[string]bool     // secret and place, also those by design
}

func newSearcher(secrets []*secret) *searcher {
	s := &searcher{map[uint64][]needle{}, map[uint64][]needle{}, map[string]bool{}}
	for _, one := range secrets {
		for form, text := range forms(one) {
			if form == "plain" || !bytes.Equal(text, one.text) {
				add(s.needles, needle{one, form, text})
			}
		}
		for i, text := range rows(one) {
			add(s.squeezed, needle{one, fmt.Sprintf("group %d of its digits", i+1), text})
		}
	}
	return s
}

const keyed = 8

func add(to map[uint64][]needle, n needle) {
	if len(n.text) < keyed {
		panic("too short to look for: " + n.secret.name + ", " + n.form)
	}
	k := binary.LittleEndian.Uint64(n.text)
	to[k] = append(to[k], n)
}

// forms are the ways in which a secret could be written.
func forms(s *secret) map[string][]byte {
	f := map[string][]byte{"plain": s.text}
	if s.digits {
		return f
	}
	f["hex"] = []byte(hex.EncodeToString(s.text))
	f["HEX"] = bytes.ToUpper(f["hex"])
	f["bytes in decimal"] = []byte(strings.Trim(fmt.Sprint(s.text), "[]"))
	for i := range 3 {
		f["base64 after "+strconv.Itoa(i)] = base64Inside(s.text, i, base64.RawStdEncoding)
		f["base64url after "+strconv.Itoa(i)] = base64Inside(s.text, i, base64.RawURLEncoding)
	}
	if text := string(s.text); strconv.Quote(text) == `"`+text+`"` {
		f["quoted"] = []byte(strings.Trim(strconv.QuoteToASCII(text), `"`))
		f["in a URL"] = []byte(url.QueryEscape(text))
		f["in a path"] = []byte(url.PathEscape(text))
		little, big := []byte{}, []byte{}
		for _, u := range utf16.Encode([]rune(text)) {
			little, big = binary.LittleEndian.AppendUint16(little, u), binary.BigEndian.AppendUint16(big, u)
		}
		f["UTF-16LE"], f["UTF-16BE"] = little, big
	}
	return f
}

// base64Inside is what of the base64 of a longer text depends on the secret alone,
// when n bytes come before it.
func base64Inside(text []byte, n int, e *base64.Encoding) []byte {
	all := e.EncodeToString(append(make([]byte, n), text...))
	first := []int{0, 2, 3}[n]
	return []byte(all[first : (n+len(text))*8/6])
}

// rows are 16 hexadecimal digits each, as people write keys: a part of a key is a
// secret too.
func rows(s *secret) (list [][]byte) {
	if len(s.text) != 32 {
		return nil
	}
	digits := hex.EncodeToString(s.text)
	for i := 0; i < len(digits); i += 16 {
		list = append(list, []byte(digits[i:i+16]))
	}
	return list
}

// in searches one place, and reports what is there and should not be.
func (s *searcher) in(place string, data []byte) (leaks []string) {
	leaks = append(s.scan(place, data, s.needles), s.scan(place, squeeze(data), s.squeezed)...)
	slices.Sort(leaks)
	return slices.Compact(leaks)
}

func (s *searcher) scan(place string, data []byte, needles map[uint64][]needle) (leaks []string) {
	var filter [1 << 16]bool // by the first two bytes: most of what there is begins like no needle
	for k := range needles {
		filter[k&0xffff] = true
	}
	for i := 0; i+keyed <= len(data); i++ {
		if !filter[uint16(data[i])|uint16(data[i+1])<<8] {
			continue
		}
		for _, n := range needles[binary.LittleEndian.Uint64(data[i:])] {
			if !bytes.HasPrefix(data[i:], n.text) || n.secret.digits && !alone(data, i, len(n.text)) {
				continue
			}
			s.found[n.secret.name+" in "+place] = true
			if !n.secret.allowed(place) {
				leaks = append(leaks, fmt.Sprintf("%s shows %s (%s)", place, n.secret.name, n.form))
			}
		}
	}
	return leaks
}

func (s *secret) allowed(place string) bool {
	return slices.ContainsFunc(s.places, func(pattern string) bool { return must(filepath.Match(pattern, place)) })
}

// blind says that a secret was found in none of the places where it is by design.
func (s *searcher) blind(one *secret, places []string) bool {
	return len(one.places) > 0 && !slices.ContainsFunc(places, func(place string) bool { return one.allowed(place) && s.found[one.name+" in "+place] })
}

func alone(data []byte, i, n int) bool {
	return (i == 0 || !wordByte(data[i-1])) && (i+n == len(data) || !wordByte(data[i+n]))
}

func wordByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b >= 0x80
}

// squeeze takes out what people put between digits.
func squeeze(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for _, b := range data {
		switch {
		case b == ' ' || b == '\n' || b == '\r' || b == '\t' || b == '-' || b == ':':
		case b >= 'A' && b <= 'Z':
			out = append(out, b|0x20)
		default:
			out = append(out, b)
		}
	}
	return out
}

// folder searches all files under a folder. Places are paths below it.
func (s *searcher) folder(t *testing.T, root string) (places, leaks []string) {
	t.Helper()
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		place := must(filepath.Rel(root, path))
		places = append(places, place)
		leaks = append(leaks, s.in(place, append([]byte(d.Name()+"\n"), data...))...)
		return err
	}))
	return places, leaks
}

// The search finds every form of what was planted, and nothing where nothing is.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(noise)
	k := bytes.Clone(noise[:32])
	random.Read(noise)
	secrets := []*secret{
		{name: "the password", text: []byte("grüne Sofas am Dienstag")}, {name: "K", text: k},
		{name: "a token", text: []byte("eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl")}, {name: "a code", text: []byte("40718293"), digits: true},
	}
	if leaks := newSearcher(secrets).in("noise", noise); leaks != nil {
		t.Errorf("found in noise: %q", leaks)
	}
	planted := 0
	for _, one := range secrets {
		texts := forms(one)
		for i, row := range rows(one) {
			texts["row "+strconv.Itoa(i)] = []byte(strings.ToUpper(string(row[:4])) + " " + string(row[4:8]) + "-" + string(row[8:12]) + "\n" + string(row[12:]))
		}
		for form, text := range texts {
			planted++
			dir := t.TempDir()
			data := slices.Concat(noise[:rand.IntN(1000)], []byte(" "), text, []byte("\n"), noise[:100])
			check(t, os.WriteFile(filepath.Join(dir, "log"), data, 0o600))
			if _, leaks := newSearcher(secrets).folder(t, dir); len(leaks) == 0 || !strings.Contains(leaks[0], one.name) {
				t.Errorf("%s planted in the form %q: found %q", one.name, form, leaks)
			}
		}
	}
	if planted < 40 {
		t.Errorf("only %d plants", planted)
	}
	// A place by design is no leak, and it is known whether the search sees it there.
	k2 := &secret{name: "K", text: k, places: []string{"*/profile/key"}}
	s := newSearcher([]*secret{k2})
	if leaks := s.in("x/profile/key", k); leaks != nil {
		t.Errorf("by design: %q", leaks)
	}
	if s.blind(k2, []string{"else", "x/profile/key"}) || !s.blind(k2, []string{"else", "y/profile/key"}) {
		t.Error("it does not know where it found K")
	}
	if alone([]byte("a40718293 "), 1, 8) {
		t.Error("a part of a word is taken for a code")
	}
}
