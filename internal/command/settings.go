package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/BurntSushi/toml"
)

// MaxSettings is the largest file of settings, in bytes.
const MaxSettings = 1 << 20

// ErrTooLong tells that a file cannot be what it was given as.
var ErrTooLong = errors.New("too long")

// ReadFile reads a file, or a pipe, of at most most bytes. The caller clears what is secret.
func ReadFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// Room for all at once: what grows leaves copies of secrets behind.
	text := bytes.NewBuffer(make([]byte, 0, min(max(info.Size(), 0), most)+bytes.MinRead))
	n, err := text.ReadFrom(io.LimitReader(f, most+1))
	if err == nil && n > most {
		err = fmt.Errorf("%s: %w: over %d bytes", path, ErrTooLong, most)
	}
	if err != nil {
		clear(text.Bytes())
		return nil, err
	}
	return text.Bytes(), nil
}

// ReadSettings gives the text of a file of settings to parse; made says which command makes
// such files.
func ReadSettings[C any](file, made string, parse func([]byte) (*C, error)) (*C, error) {
	text, err := ReadFile(file, MaxSettings)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := parse(text)
	if err != nil {
		return nil, BadConfig(file+": "+err.Error(), "what the settings mean is written in the file that "+made+" makes")
	}
	return c, nil
}

// DecodeSettings reads TOML strictly: a setting that is not known is refused, for it is one that
// somebody relies on.
func DecodeSettings(text []byte, into any) error {
	meta, err := toml.Decode(string(text), into)
	if err != nil {
		return err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return fmt.Errorf("unknown setting %q", unknown[0].String())
	}
	return nil
}

// CheckAddress refuses a setting that is no address to listen at: HOST:PORT, where HOST may be "".
func CheckAddress(setting, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s is %q, and no HOST:PORT with a number from 0 to 65535", setting, address)
	}
	return nil
}

// Beside is a file that the settings in file name, relative to it; "" stays.
func Beside(file, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// SettingsTemplate is a commented file of settings, in which quote and list write values.
func SettingsTemplate(name, text string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{"quote": quote, "list": quoteAll}).Parse(text))
}

// WriteSettings fills a template, and has check read what came of it.
func WriteSettings(t *template.Template, c any, check func([]byte) error) ([]byte, error) {
	var b bytes.Buffer
	if err := t.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	if err := check(b.Bytes()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// quote writes a TOML string.
func quote(s string) (string, error) {
	var b bytes.Buffer
	err := toml.NewEncoder(&b).Encode(map[string]string{"v": s})
	return string(bytes.TrimSpace(bytes.TrimPrefix(b.Bytes(), []byte("v = ")))), err
}

// quoteAll writes a TOML list of strings.
func quoteAll(all []string) (string, error) {
	var quoted []string
	for _, s := range all {
		q, err := quote(s)
		if err != nil {
			return "", err
		}
		quoted = append(quoted, q)
	}
	return "[" + strings.Join(quoted, ", ") + "]", nil
}

// Duration is written with its unit, "20ms": a bare number is refused, so that nobody's seconds
// are taken for nanoseconds.
type Duration time.Duration

// UnmarshalText reads "20ms", "168h".
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// String writes "10m" and not "10m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	for _, tail := range []string{"m0s", "h0m"} {
		if cut, ok := strings.CutSuffix(s, tail); ok {
			s = cut + tail[:1]
		}
	}
	return s
}

// NewFolder makes dir, or takes it when it is empty; hint is for when it is not.
func NewFolder(dir, hint string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("looking into the folder: %w", err)
	}
	if len(entries) > 0 {
		return "", Fail(Exists, dir+" is not empty", hint)
	}
	return dir, nil
}
