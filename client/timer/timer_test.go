package timer_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keepsake.example/client/schedule"
	"keepsake.example/client/timer"
	"keepsake.example/internal/mounttest"
)

var twice = schedule.Times{3*60 + 30, 12 * 60}

func job(program, profile string) timer.Job {
	return timer.Job{Program: program, Profile: profile, Times: twice}
}

// odd are paths that a file of another syntax may break on.
var odd = []string{
	"/home/ada/.config/keepsake/default",
	"/home/Ada Lovelace/a b  c",
	"/home/a%u/%%h/100%",
	"/home/$HOME/${PATH}/$$",
	`/home/"quoted"/it's`,
	`/home/back\slash\n\x41\`,
	"/home/ünïcøde/日本/\u2028",
	"/home/a=b;c#d&e<f>]]>/*/-@+!:|",
	"/home/new\nline\ttab\rreturn",
}

func TestSystemdSaysAllOfIt(t *testing.T) {
	for _, profile := range odd {
		files, err := job("/usr/bin/keep sake%1$2", profile).Systemd()
		if err != nil {
			t.Fatal(err)
		}
		service, clock := sections(t, files[0].Text), sections(t, files[1].Text)
		want := []string{"/usr/bin/keep sake%1$2", "backup", "--unattended", "--profile", profile}
		if got := unquote(t, service["Service.ExecStart"]); !slices.Equal(got, want) {
			t.Errorf("runs %q, want %q", got, want)
		}
		if got := clock["Timer.OnCalendar"]; got != "*-*-* 03:30:00\n*-*-* 12:00:00" || clock["Timer.Persistent"] != "true" || clock["Timer.RandomizedDelaySec"] == "" {
			t.Errorf("comes at %q: %v", got, clock)
		}
	}
}

// sections reads a unit file: "Section.Key" to its values, one a line. Each line is what it seems to be.
func sections(t *testing.T, text string) map[string]string {
	t.Helper()
	found, section := map[string]string{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		key, value, pair := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case pair && !strings.HasSuffix(line, `\`):
			name := section + "." + key
			found[name] = strings.TrimPrefix(found[name]+"\n"+value, "\n")
		default:
			t.Fatalf("a stray line: %q", line)
		}
	}
	return found
}

// unquote reads a command line as systemd.service(5) says, for words in double quotes.
func unquote(t *testing.T, line string) (words []string) {
	t.Helper()
	for len(line) > 0 {
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			if strings.ContainsAny(word, "\"'\\$%;@") {
				t.Fatalf("not quoted: %q", line)
			}
			words, line = append(words, word), rest
			continue
		}
		word, at := "", 1
		for ; line[at] != '"'; at++ {
			switch {
			case line[at] == '\\' && line[at+1] == 'x':
				var b byte
				fmt.Sscanf(line[at+2:at+4], "%02x", &b)
				word, at = word+string(b), at+3
			case line[at] == '\\' && strings.ContainsRune(`"\`, rune(line[at+1])),
				line[at] == '%' && line[at+1] == '%',
				line[at] == '$' && line[at+1] == '$' && len(words) > 0:
				word, at = word+line[at+1:at+2], at+1
			case strings.ContainsRune(`\%`, rune(line[at])) || line[at] == '$' && len(words) > 0:
				t.Fatalf("%q means something else at %q", line, line[at:])
			default:
				word += line[at : at+1]
			}
		}
		words, line = append(words, word), strings.TrimPrefix(line[at+1:], " ")
	}
	return words
}

// systemd itself finds nothing to say about the files.
func TestSystemdVerifies(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		mounttest.Missing(t, "systemd-analyze is not installed (Debian: systemd)")
	}
	dir := t.TempDir()
	target := filepath.Join(dir, "keep sake%1")
	if err := os.WriteFile(target, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var units []string
	for i, profile := range odd {
		j := job(target, fmt.Sprint(profile, i))
		files, err := j.Systemd()
		if err == nil {
			err = timer.Write(dir, files)
		}
		if err != nil {
			t.Fatal(err)
		}
		units = append(units, filepath.Join(dir, j.Name()+".timer"))
	}
	verify := func(units ...string) string {
		cmd := exec.Command(program, append([]string{"verify", "--user", "--man=no"}, units...)...)
		cmd.Env = append(os.Environ(), "SYSTEMD_LOG_TARGET=console", "XDG_RUNTIME_DIR="+dir)
		out, err := cmd.CombinedOutput()
		return fmt.Sprintf("%s%v", out, err)
	}
	if got := verify(units...); strings.Contains(got, "keepsake-") || !strings.HasSuffix(got, "<nil>") {
		t.Errorf("systemd-analyze says: %s", got)
	}
	// And it would have said something.
	bad := filepath.Join(dir, "bad.service")
	if err := os.WriteFile(bad, []byte("[Service]\nExecStart=/nowhere\nPersistent=true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := verify(bad); strings.HasSuffix(got, "<nil>") {
		t.Errorf("systemd-analyze passes anything: %s", got)
	}
}

func TestLaunchdSaysAllOfIt(t *testing.T) {
	for _, profile := range odd {
		f, err := job("/usr/local/bin/keepsake", profile).Launchd()
		if err != nil {
			t.Fatal(err)
		}
		top := plist(t, f.Text)
		want := []any{"/usr/local/bin/keepsake", "backup", "--unattended", "--profile", profile}
		if got := top["ProgramArguments"]; fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("runs %q, want %q", got, want)
		}
		at := []any{map[string]any{"Hour": "3", "Minute": "30"}, map[string]any{"Hour": "12", "Minute": "0"}}
		if got := top["StartCalendarInterval"]; fmt.Sprint(got) != fmt.Sprint(at) {
			t.Errorf("comes at %v", got)
		}
		if top["Label"] != strings.TrimSuffix(f.Name, ".plist") || top["RunAtLoad"] != true {
			t.Errorf("%s is %v", f.Name, top)
		}
	}
}

// plist reads a property list by Apple's document type (PropertyList-1.0.dtd), which is
//
//	plistObject: array | data | date | dict | real | integer | string | true | false
//	plist: plistObject   array: plistObject*   dict: (key, plistObject)*
func plist(t *testing.T, text string) map[string]any {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	top := element(t, d)
	if top == nil || top.Name.Local != "plist" || top.Attr[0].Value != "1.0" {
		t.Fatalf("begins with %v", top)
	}
	dict, ok := object(t, d, *element(t, d)).(map[string]any)
	if more := element(t, d); !ok || more != nil {
		t.Fatalf("not one dictionary, then %v", more)
	}
	if _, err := d.Token(); err == nil {
		if _, err = d.Token(); err != io.EOF {
			t.Fatal("text behind the end: ", err)
		}
	}
	return dict
}

// element is the next element, nil at the end of the one that holds it.
func element(t *testing.T, d *xml.Decoder) *xml.StartElement {
	t.Helper()
	for {
		token, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			return &token
		case xml.EndElement:
			return nil
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				t.Fatalf("stray text %q", token)
			}
		}
	}
}

func object(t *testing.T, d *xml.Decoder, e xml.StartElement) any {
	t.Helper()
	switch e.Name.Local {
	case "array":
		var list []any
		for e := element(t, d); e != nil; e = element(t, d) {
			list = append(list, object(t, d, *e))
		}
		return list
	case "dict":
		dict := map[string]any{}
		for e := element(t, d); e != nil; e = element(t, d) {
			if e.Name.Local != "key" {
				t.Fatalf("%s, where a key belongs", e.Name.Local)
			}
			key := content(t, d, *e)
			dict[key] = object(t, d, *element(t, d))
		}
		return dict
	case "true", "false":
		content(t, d, e)
		return e.Name.Local == "true"
	case "string", "integer":
		return content(t, d, e)
	}
	t.Fatalf("no element %s in a property list", e.Name.Local)
	return nil
}

func content(t *testing.T, d *xml.Decoder, e xml.StartElement) (text string) {
	t.Helper()
	if err := d.DecodeElement(&text, &e); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRefused(t *testing.T) {
	for name, j := range map[string]timer.Job{
		"no time":          {Program: "/k", Profile: "/p"},
		"relative program": job("k", "/p"),
		"relative profile": job("/k", "p"),
		"zero byte":        job("/k", "/p\x00"),
		"not UTF-8":        job("/k", "/p\xff"),
	} {
		if _, err := j.Systemd(); err == nil {
			t.Errorf("%s: systemd gets it", name)
		}
		if _, err := j.Launchd(); err == nil {
			t.Errorf("%s: launchd gets it", name)
		}
	}
	if _, err := job(`/k"k`, "/p").Systemd(); err == nil {
		t.Error("systemd gets a program with a quote in its path")
	}
	if _, err := job("/k", "/p\x01").Launchd(); err == nil {
		t.Error("launchd gets a control character")
	}
}

// Each profile has files of its own; the default one has the plain names.
func TestName(t *testing.T) {
	a, b := job("/k", "/a"), job("/k", "/b")
	plain := a
	plain.Default = true
	if a.Name() == b.Name() || plain.Name() != "keepsake" || !strings.HasPrefix(a.Name(), "keepsake-") {
		t.Error(a.Name(), b.Name(), plain.Name())
	}
}

func TestWriteAndRemove(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "systemd", "user")
	files, err := job("/k", "/p").Systemd()
	if err != nil {
		t.Fatal(err)
	}
	see := func(when string, want timer.Standing) {
		t.Helper()
		if got, err := timer.Look(folder, files); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", when, got, err, want)
		}
	}
	see("before", timer.Absent)
	if n, err := timer.Remove(folder, files); n != 0 || err != nil {
		t.Error("removing nothing: ", n, err)
	}
	if err := timer.Write(folder, files); err != nil {
		t.Fatal(err)
	}
	see("written", timer.Same)
	j := job("/k", "/p")
	j.Times = twice[:1]
	old, err := j.Systemd()
	if err == nil {
		err = timer.Write(folder, old)
	}
	if err != nil {
		t.Fatal("writing over it: ", err)
	}
	see("for other times", timer.Other)
	if err := os.Remove(filepath.Join(folder, files[0].Name)); err != nil {
		t.Fatal(err)
	}
	see("one of two", timer.Other)
	if n, err := timer.Remove(folder, files); n != 1 || err != nil {
		t.Error("removed ", n, err)
	}
	see("removed", timer.Absent)
}

// What somebody else wrote under the same name stays as it is.
func TestForeignFileStays(t *testing.T) {
	folder := t.TempDir()
	files, err := job("/k", "/p").Systemd()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(folder, files[1].Name)
	if err := os.WriteFile(own, []byte("[Timer]\nOnCalendar=weekly\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := timer.Write(folder, files); !errors.Is(err, timer.ErrForeign) {
		t.Errorf("writing: %v", err)
	}
	if _, err := timer.Remove(folder, files); !errors.Is(err, timer.ErrForeign) {
		t.Errorf("removing: %v", err)
	}
	if got, err := timer.Look(folder, files); err != nil || got != timer.Foreign {
		t.Errorf("looking: %v, %v", got, err)
	}
	entries, err := os.ReadDir(folder)
	if text, err2 := os.ReadFile(own); err != nil || err2 != nil || len(entries) != 1 || !strings.Contains(string(text), "weekly") {
		t.Errorf("left %v, %q", entries, text)
	}
}
