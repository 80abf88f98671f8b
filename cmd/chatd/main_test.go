package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"keepsake.example/internal/command"
)

var pin = strings.Repeat("0", 64)

// buffer is a writer that a server and a test share.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// chatd runs the command.
func chatd_(t *testing.T, want int, args ...string) (out, errs string) {
	t.Helper()
	var o, e buffer
	if code := (&app{command.Output{Out: &o, Err: &e}}).run(context.Background(), args); code != want {
		t.Fatalf("chatd %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

// newDir makes a development configuration with both roles.
func newDir(t *testing.T, more ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "chatd")
	chatd_(t, 0, append([]string{"init", dir, "--url", "https://127.0.0.1:8443", "--vault", "https://127.0.0.1:7443=" + pin,
		"--role", "insecure-both", "--insecure-terminal", "--insecure-self-signed", "127.0.0.1"}, more...)...)
	return dir
}

func edit(t *testing.T, dir string, replace ...string) string {
	t.Helper()
	file := filepath.Join(dir, "chatd.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.NewReplacer(replace...).Replace(string(text))
	if changed == string(text) {
		t.Fatalf("nothing to replace: %q", replace)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInitMakesWhatServeNeeds(t *testing.T) {
	dir := newDir(t)
	out, errs := chatd_(t, 0, "check-config", "--config", filepath.Join(dir, "chatd.toml"))
	if out != "ok\n" || !strings.Contains(errs, "warning: insecure: sender insecure-terminal") {
		t.Errorf("%s%s", out, errs)
	}
	for _, secret := range []string{"issuer.key", "issuer.secret", "name.key", "client.key", "chatd.toml", "tls.key"} {
		info, err := os.Stat(filepath.Join(dir, secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", secret, info, err)
		}
	}
}

func TestInitOverwritesNothing(t *testing.T) {
	dir := newDir(t)
	_, errs := chatd_(t, 13, "init", dir, "--role", "insecure-both", "--url", "https://x.example", "--vault", "https://v.example="+pin)
	if !strings.Contains(errs, "chatd: error: ") || !strings.Contains(errs, "chatd: hint: ") {
		t.Error(errs)
	}
}

func TestRoles(t *testing.T) {
	for what, tt := range map[string]struct {
		args          []string
		relay, issuer bool
	}{
		"both":       {[]string{"--role", "insecure-both", "--vault", "https://v.example=" + pin}, true, true},
		"own issuer": {[]string{"--vault", "https://v.example=" + pin, "--issuer", "https://id.example"}, true, false},
		"relay":      {[]string{"--role", "relay", "--vault", "https://v.example=" + pin, "--issuer", "https://id.example", "--jwks", "https://id.example/keys"}, true, false},
		"issuer":     {[]string{"--role", "issuer"}, false, true},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		chatd_(t, 0, append([]string{"init", dir, "--url", "https://chat.example", "--insecure-self-signed", "chat.example"}, tt.args...)...)
		c, err := readConfig(filepath.Join(dir, "chatd.toml"))
		if err != nil {
			t.Fatal(err)
		}
		if (c.Relay != nil) != tt.relay || (c.Issuer != nil) != tt.issuer {
			t.Errorf("%s: %+v", what, c)
		}
		// A relay's folder has nothing that makes tokens.
		if _, err := os.Stat(filepath.Join(dir, "issuer.key")); (err == nil) != tt.issuer {
			t.Errorf("%s: the issuer's key: %v", what, err)
		}
		chatd_(t, 0, "check-config", "--config", filepath.Join(dir, "chatd.toml"))
	}
}

func TestWrongCommandLines(t *testing.T) {
	for _, args := range []string{
		"nothing", "serve --no-such-flag", "init", "init a b", "init d", "init d --url http://x.example", "init d --url https://x.example",
		"init d --url https://x.example --vault x", "init d --url https://x.example --role queen", "init d --url https://x.example --vault https://v=" + pin, "init d --url https://x.example --role relay --vault https://v=" + pin,
		"init d --url https://x.example --listen here --role issuer", "check-audit", "version x",
	} {
		_, errs := chatd_(t, 2, strings.Fields(args)...)
		if !strings.Contains(errs, "chatd: hint: ") {
			t.Errorf("%s: no hint: %s", args, errs)
		}
	}
	chatd_(t, 4, "serve", "--config", filepath.Join(t.TempDir(), "none"))
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	for what, replace := range map[string][]string{
		"unknown setting":    {"[limits]", "[limits]\nfoo = 1"},
		"unknown part":       {"[limits]", "[more]\n[limits]"},
		"time without unit":  {`body_timeout   = "10s"`, "body_timeout = 10"},
		"admin on a network": {`admin = "127.0.0.1:8444"`, `admin = "0.0.0.0:8444"`},
		"no audit":           {`audit            = "audit.jsonl"`, `audit = ""`},
		"another sender":     {`"insecure-terminal"`, `"pigeon"`},
		"a pin cut short":    {pin, pin[1:]},
		"not TOML":           {"[limits]", "[limits"},
		"no port":            {`listen = "127.0.0.1:8443"`, `listen = "127.0.0.1"`},
		"no such port":       {`admin = "127.0.0.1:8444"`, `admin = "127.0.0.1:84440"`},
		"a limit below one":  {`relays = 512`, `relays = -5`},
		"times that clash":   {`relay_timeout = "15s"`, `relay_timeout = "60s"`},
		"a vaultd by http":   {`"https://127.0.0.1:7443"`, `"http://127.0.0.1:7443"`},
		"an empty handle":    {`allow = ["*@127.0.0.1"]`, `allow = [""]`},
		"mail without host":  {`sender = "insecure-terminal"`, `sender = "smtp"`, `host = "localhost"`, `host = ""`},
		"another's key":      {`tls_key         = "tls.key"`, `tls_key = "client.key"`},
	} {
		dir := newDir(t)
		_, errs := chatd_(t, 3, "check-config", "--config", edit(t, dir, replace...))
		if !strings.Contains(errs, "chatd: error: ") || !strings.Contains(errs, "chatd: hint: ") {
			t.Errorf("%s: %s", what, errs)
		}
	}
	chatd_(t, 0, "check-config", "--config", edit(t, newDir(t), `admin = "127.0.0.1:8444"`, `admin = "0.0.0.0:8444"`, "insecure_admin_on_network = false", "insecure_admin_on_network = true"))
}

// Every setting is in the file that init writes, with a comment before it, and
// has its default there.
func TestFileExplainsEverySetting(t *testing.T) {
	s := setting{url: "https://chat.example", listen: "127.0.0.1:8443", role: "insecure-both", vaults: []vaultConfig{{"https://v.example", pin}}, alg: "EdDSA", jwks: "discover", mail: "localhost:25"}
	c, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	c.Relay.Issuers = []trustedIssuer{{Name: "https://id.example", Audience: "a", Algorithms: []string{"EdDSA"}, Discover: true, MaxLife: command.Duration(time.Hour)}}
	text, err := c.write()
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if _, err := toml.Decode(string(text), &all); err != nil {
		t.Fatal(err)
	}
	compare(t, "", reflect.TypeFor[config](), all)
	got, err := parseConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Limits.limits(), defaultLimits().limits()) || !reflect.DeepEqual(got.Issuer.Limits, defaultIssuerLimits()) {
		t.Errorf("not the defaults: %+v", got.Limits)
	}
	// A paragraph of settings begins with a comment.
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		if !strings.Contains(paragraph, "#") {
			t.Errorf("not explained: %s", paragraph)
		}
	}
}

// compare looks for each setting of a struct in the file.
func compare(t *testing.T, name string, s reflect.Type, file map[string]any) {
	t.Helper()
	for i := range s.NumField() {
		f := s.Field(i)
		tag := f.Tag.Get("toml")
		if tag == "" {
			continue
		}
		v, ok := file[tag]
		if !ok {
			t.Errorf("%s%s is not in the file", name, tag)
			continue
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if list, ok := v.([]map[string]any); ok {
			v = list[0]
		}
		if table, ok := v.(map[string]any); ok && inner.Kind() == reflect.Struct {
			compare(t, name+tag+".", inner, table)
		}
	}
}

// What the help of init shows makes what it says.
func TestExamplesOfInitWork(t *testing.T) {
	text := strings.NewReplacer("\\\n", " ", "3f0c...64 hex digits, from vaultd init...", pin, "URL=PIN", "https://vault1.internal:7443="+pin, "/etc/", t.TempDir()+"/a").Replace(initCommand.Example)
	for i, line := range strings.Split(text, "\n") {
		args := strings.Fields(line)[1:]
		args[1] += strconv.Itoa(i) // each in a folder of its own
		chatd_(t, 0, args...)
	}
}

func TestHelpTeaches(t *testing.T) {
	out, _ := chatd_(t, 0, "help")
	for _, c := range program.Commands {
		if !strings.Contains(out, c.Name) || !strings.Contains(out, c.Short) {
			t.Errorf("help does not name %s", c.Name)
		}
		for _, args := range [][]string{{"help", c.Name}, {c.Name, "--help"}} {
			if text, _ := chatd_(t, 0, args...); !strings.Contains(text, c.Long) || !strings.Contains(text, "Exit codes:") {
				t.Errorf("%v: %s", args, text)
			}
		}
	}
	for line := range strings.Lines(out) {
		if len(line) > 82 {
			t.Errorf("a line of %d: %s", len(line), line)
		}
	}
	if text, _ := chatd_(t, 0, "version"); !strings.HasPrefix(text, "chatd ") {
		t.Error(text)
	}
}

// served waits for the line in which serve says where it listens.
func served(errs *buffer) (listen string) {
	at := regexp.MustCompile(`"msg":"serving","listen":"([^"]+)"`)
	for listen == "" {
		if m := at.FindStringSubmatch(errs.String()); m != nil {
			listen = m[1]
		}
	}
	return listen
}

// status asks the running server how it stands. There is no vaultd.
func status(t *testing.T, errs *buffer) {
	t.Helper()
	admin := regexp.MustCompile(`"admin":"([^"]+)"`).FindStringSubmatch(errs.String())[1]
	table := ""
	for !strings.Contains(table, "AWAY") { // the first probe finds out
		runtime.Gosched()
		table, _ = chatd_(t, 0, "status", "--admin", admin)
	}
	for _, want := range []string{"ready     NO: ", "requests  0 being relayed", "https://127.0.0.1:7443"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	text, _ := chatd_(t, 0, "status", "--admin", admin, "--json")
	var st struct{ Vaults []struct{ Away bool } }
	if err := json.Unmarshal([]byte(text), &st); err != nil || len(st.Vaults) != 1 || !st.Vaults[0].Away {
		t.Errorf("%s: %v", text, err)
	}
}

func TestNobodyAnswersStatus(t *testing.T) {
	_, errs := chatd_(t, 8, "status", "--admin", "127.0.0.1:1")
	if !strings.Contains(errs, "chatd: hint: ") {
		t.Error(errs)
	}
}

// The status of another server, a vaultd's say, is not taken for an issuer that is ready.
func TestStatusOfAnotherServer(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"fleet":"ab","ready":true}`) }))
	defer other.Close()
	if _, errs := chatd_(t, 8, "status", "--admin", strings.TrimPrefix(other.URL, "http://")); !strings.Contains(errs, "is no chatd") {
		t.Error(errs)
	}
}

// Whatever goes wrong, there is something to do.
func TestExplanationsHaveHints(t *testing.T) {
	for _, e := range explanations {
		if e.Hint == "" {
			t.Errorf("%v: no hint", e.Is)
		}
	}
}

func TestServeUntilTheSignal(t *testing.T) {
	dir := newDir(t)
	file := edit(t, dir, `listen = "127.0.0.1:8443"`, `listen = "127.0.0.1:0"`, `admin = "127.0.0.1:8444"`, `admin = "127.0.0.1:0"`, `drain_delay   = "5s"`, `drain_delay = "-1s"`)
	ctx, stop := context.WithCancel(context.Background())
	var out, errs buffer
	code := make(chan int)
	go func() {
		code <- (&app{command.Output{Out: &out, Err: &errs}}).run(ctx, []string{"serve", "--config", file})
	}()
	listen := served(&errs)

	roots := x509.NewCertPool()
	text, err := os.ReadFile(filepath.Join(dir, "tls.crt"))
	if err != nil || !roots.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	res, err := client.Get("https://" + listen + "/v1/jwks.json")
	if err != nil {
		t.Fatal(err)
	}
	served, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	written, err := os.ReadFile(filepath.Join(dir, "jwks.json"))
	if err != nil || !bytes.Equal(served, written) {
		t.Errorf("the keys served are %s, those written %s", served, written)
	}
	body, err := json.Marshal(map[string]string{"handle": "ann@127.0.0.1", "key": strings.Repeat("A", 43)})
	if err != nil {
		t.Fatal(err)
	}
	if res, err = client.Post("https://"+listen+"/v1/login", "application/json", bytes.NewReader(body)); err != nil || res.StatusCode != 202 {
		t.Fatal(res, err)
	}
	res.Body.Close()
	client.CloseIdleConnections()
	status(t, &errs)
	stop()
	if c := <-code; c != 0 {
		t.Errorf("exit %d: %s", c, errs.String())
	}
	if !strings.Contains(errs.String(), "insecure-terminal: the code for ann@127.0.0.1 is ") {
		t.Errorf("no code: %s", errs.String())
	}
	if got, _ := chatd_(t, 0, "check-audit", filepath.Join(dir, "audit.jsonl")); !strings.HasPrefix(got, "1 ") {
		t.Error(got)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit.jsonl"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	chatd_(t, 5, "check-audit", filepath.Join(dir, "audit.jsonl"))
}
