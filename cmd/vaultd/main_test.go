package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"keepsake.example/fleet"
	"keepsake.example/internal/command"
	"keepsake.example/internal/mounttest"
	"keepsake.example/token"
	"keepsake.example/vaultd"
)

// TestMain lets the test binary be vaultd itself, for tests that need processes of their own.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"vaultd": main}) }

// result is how a command ended.
type result struct {
	code     int
	out, err string
}

func vault(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := (&app{Output: command.Output{Out: &out, Err: &errs}}).run(t.Context(), args)
	return result{code, out.String(), errs.String()}
}

func (r result) wants(t *testing.T, e command.Exit, parts ...string) result {
	t.Helper()
	if r.code != e.Code {
		t.Fatalf("exit code %d, want %d\n%s%s", r.code, e.Code, r.out, r.err)
	}
	for _, part := range parts {
		if !strings.Contains(r.out+r.err, part) {
			t.Errorf("no %q in\n%s%s", part, r.out, r.err)
		}
	}
	return r
}

// jwks writes an issuer's public keys to a file.
func jwks(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner("https://id.example.org", key)
	if err != nil {
		t.Fatal(err)
	}
	data, err := signer.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// freePorts is an address with two free ports in a row, for both listeners.
func freePorts(t *testing.T) string {
	t.Helper()
	for range 50 {
		port := mounttest.Port(t, 0)
		a := fmt.Sprint("127.0.0.1:", port)
		next, err := nextPort(a)
		if err != nil {
			continue
		}
		if b, err := net.Listen("tcp", next); err == nil {
			b.Close()
			mounttest.Port(t, port+1)
			return a
		}
	}
	t.Fatal("no two free ports in a row")
	return ""
}

// founded makes a fleet for development.
func founded(t *testing.T, more ...string) (dir string, made initJSON) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "vault")
	args := []string{"init", dir, "--issuer", "https://id.example.org", "--jwks", jwks(t), "--listen", freePorts(t), "--insecure-software-anchor", "--insecure-any-relay", "--json"}
	r := vault(t, append(args, more...)...).wants(t, command.Done, "insecure_software_anchor")
	if err := json.Unmarshal([]byte(r.out), &made); err != nil {
		t.Fatal(err)
	}
	return dir, made
}

// unlocked is the configuration, without the locking of memory: it would last for the whole
// test process.
func unlocked(t *testing.T, dir string) string {
	t.Helper()
	config := filepath.Join(dir, "vaultd.toml")
	text := must(os.ReadFile(config))
	if err := os.WriteFile(config, bytes.Replace(text, []byte("lock_memory = true"), []byte("lock_memory = false"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// serving runs vaultd in this process until the function it returns is called.
func serving(t *testing.T, dir string) (stop func() result) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	config := unlocked(t, dir)
	go func() {
		code <- (&app{Output: command.Output{Out: &out, Err: &errs}}).run(ctx, []string{"serve", "--config", config})
	}()
	awaitReady(t, must(readConfig(config)).Admin, code)
	return func() result {
		cancel()
		return result{<-code, out.String(), errs.String()}
	}
}

func awaitReady(t *testing.T, admin string, ended <-chan int) {
	t.Helper()
	for range 6000 { // a minute: the machine may be busy
		if _, err := get(t.Context(), "GET", admin, "/readyz"); err == nil {
			return
		}
		select {
		case c := <-ended:
			t.Fatalf("ended with %d before it was ready", c)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("never ready")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// init, serve, status, bundle, checkpoint: what the help says, in this order.
func TestFoundServeAndAsk(t *testing.T) {
	dir, made := founded(t)
	id, err := fleet.ParseID(made.Fleet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Open(must(os.ReadFile(made.Bundle)), id); err != nil {
		t.Errorf("the bundle that init wrote: %v", err)
	}
	stop := serving(t, dir)
	config := "--config=" + filepath.Join(dir, "vaultd.toml")
	vault(t, "status", config).wants(t, command.Done, made.Fleet, "ready         yes", "INSECURE", "insecure_software_anchor", "insecure_any_relay", "memory_unlocked")
	var st vaultd.Status
	if err := json.Unmarshal([]byte(vault(t, "status", config, "--json").wants(t, command.Done).out), &st); err != nil || st.Fleet != made.Fleet || len(st.Insecure) < 3 {
		t.Errorf("status --json: %+v, %v", st, err)
	}
	file := filepath.Join(t.TempDir(), "bundle")
	vault(t, "bundle", config, "--out", file, "--fleet", made.Fleet).wants(t, command.Done, "serial", "INSECURE")
	vault(t, "bundle", "--inspect", file).wants(t, command.Done, "compare it")
	vault(t, "bundle", "--inspect", file, "--fleet", strings.Repeat("0", 64)).wants(t, exitFile, "another fleet")
	vault(t, "checkpoint", config).wants(t, command.Done, "checkpoint made")
	vault(t, "serve", config).wants(t, exitBusy)
	r := stop().wants(t, command.Done)
	for _, part := range []string{`"msg":"insecure"`, made.Server, made.Fleet, `"msg":"draining"`} {
		if !strings.Contains(r.err, part) {
			t.Errorf("no %s in the log:\n%s", part, r.err)
		}
	}
	vault(t, "status", config).wants(t, exitUnreachable, "hint")
}

// Strangers who connect and say nothing take no more places than there are for one address; the
// rest is closed before its TLS, and counted.
func TestIdleStrangersAreTurnedAway(t *testing.T) {
	dir, _ := founded(t)
	file := filepath.Join(dir, "vaultd.toml")
	text := bytes.Replace(must(os.ReadFile(file)), []byte("connections_per_address = 100"), []byte("connections_per_address = 3"), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	stop := serving(t, dir)
	defer stop()
	c := must(readConfig(file))
	// Silent ones are closed after 5 s, whoever they are. On a busy machine the first may be gone when the fourth comes: then
	// it is tried again. What tells the two ends apart is the count of those that had no place.
	for end := time.Now().Add(time.Minute); ; {
		for range 3 {
			defer must(net.Dial("tcp", c.Listen)).Close()
		}
		fourth := must(net.Dial("tcp", c.Listen))
		defer fourth.Close()
		fourth.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := fourth.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a fourth: %v", err)
		}
		m := string(must(get(t.Context(), "GET", c.Admin, "/metrics")))
		if !regexp.MustCompile(`(?m)^vaultd_connections [0-3]$`).MatchString(m) {
			t.Fatal("more than three have a place")
		}
		if !strings.Contains(m, `vaultd_connections_refused_total{reason="address"} 0`) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("none was turned away")
		}
	}
}

// A replica that was rolled back says so, what to do, and ends with its own code.
func TestRolledBack(t *testing.T) {
	dir, _ := founded(t)
	image := filepath.Join(t.TempDir(), "image")
	state, config := filepath.Join(dir, "state"), filepath.Join(dir, "vaultd.toml")
	if err := os.CopyFS(image, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	stop := serving(t, dir)
	vault(t, "checkpoint", "--config", config).wants(t, command.Done)
	stop().wants(t, command.Done)
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(state, os.DirFS(image)); err != nil {
		t.Fatal(err)
	}
	vault(t, "serve", "--config", config).wants(t, exitRolledBack, "do not delete or replace anything", "doc/vaultd.md")
}

// A folder that is not mounted is no reason to found anything: the hint says what is missing.
func TestMissingFolders(t *testing.T) {
	dir, _ := founded(t)
	config := "--config=" + unlocked(t, dir)
	anchor, aside := filepath.Join(dir, "anchor"), filepath.Join(dir, "aside")
	without := func(folder string, make bool, parts ...string) {
		t.Helper()
		if err := os.Rename(folder, aside); err != nil {
			t.Fatal(err)
		}
		if make {
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if r := vault(t, "serve", config).wants(t, command.NotFound, parts...); strings.Contains(r.err, "found a fleet") {
			t.Errorf("advised to found anew: %s", r.err)
		}
		if err := errors.Join(os.RemoveAll(folder), os.Rename(aside, folder)); err != nil {
			t.Fatal(err)
		}
	}
	without(anchor, false, "the anchor is missing", "mount")
	without(anchor, true, "the anchor is missing", "mount") // the mount point alone
	serving(t, dir)().wants(t, command.Done)
}

// Files of another fleet than the one that vaultd.toml names are not run.
func TestFilesOfAnotherFleet(t *testing.T) {
	dir, made := founded(t)
	file := unlocked(t, dir)
	text := bytes.Replace(must(os.ReadFile(file)), []byte(made.Fleet), []byte(strings.Repeat("ab", 32)), 1)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	vault(t, "serve", "--config", file).wants(t, command.Config, "the files are of fleet "+made.Fleet, "hint")
}

// A disk that is full says so in the answer to a checkpoint.
func TestCheckpointOnAFullDisk(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "making a checkpoint: no space left on device", http.StatusInsufficientStorage)
	}))
	defer admin.Close()
	address := strings.TrimPrefix(admin.URL, "http://")
	vault(t, "checkpoint", "--admin", address).wants(t, command.NoRoom, "no space left", "hint: make room")
}

// Every refusal has its own exit code and says what to do.
func TestRefusals(t *testing.T) {
	dir, _ := founded(t)
	keys := jwks(t)
	good := []string{"init", filepath.Join(t.TempDir(), "x"), "--issuer", "i", "--jwks", keys}
	vault(t).wants(t, command.Done, "To begin")
	vault(t, "help", "serve").wants(t, command.Done, "--accept-clock", "Exit codes")
	vault(t, "fly").wants(t, command.Misused, "unknown command")
	vault(t, "status", "--fly").wants(t, command.Misused, "vaultd help status")
	vault(t, "status", "x").wants(t, command.Misused)
	vault(t, "init", "x").wants(t, command.Misused, "--issuer")
	vault(t, good...).wants(t, command.Config, "insecure_software_anchor")
	alone := filepath.Join(t.TempDir(), "alone")
	vault(t, "init", alone, "--issuer", "i", "--jwks", keys, "--insecure-software-anchor").wants(t, command.Done, "under relays")
	vault(t, "serve", "--config", filepath.Join(alone, "vaultd.toml")).wants(t, command.Config, "relays is empty", "chatd init prints")
	vault(t, append(good, "--insecure-software-anchor", "--insecure-any-relay", "--algorithm", "HS256")...).wants(t, command.Config)
	vault(t, "init", dir, "--issuer", "i", "--jwks", keys, "--insecure-software-anchor").wants(t, command.Exists)
	for want, more := range map[string]string{
		"belong together":   "--name a",
		"nobody could ever": "--name a --data-center d --advertise 127.0.0.1:1",
		"--quorum is 0":     "--name a --data-center d --advertise 127.0.0.1:1 --operator x=" + strings.Repeat("ab", 32),
		"--quorum is 2":     "--name a --data-center d --advertise 127.0.0.1:1 --quorum 2 --operator x=" + strings.Repeat("ab", 32),
		"said once":         "--name a --data-center d --advertise 127.0.0.1:1 --join " + strings.Repeat("ab", 32) + " --groups 2",
		"no fleet id":       "--name a --data-center d --advertise 127.0.0.1:1 --join abc",
		"0 groups":          "--groups 0",
		"is not NAME=KEY":   "--operator x",
		"3 groups":          "--groups 3",
		"11 attempts":       "--attempts 11",
		"must be 1 to 10":   "--attempts 256",
		"not negative":      "--insecure-waits -5s",
		"wait of":           "--insecure-waits 99999h",
		`"A"`:               "--name A --data-center d --advertise 127.0.0.1:1 --join " + strings.Repeat("ab", 32),
		`"münchen"`:         "--name a --data-center münchen --advertise 127.0.0.1:1 --join " + strings.Repeat("ab", 32),
		`address "x"`:       "--name a --data-center d --advertise x --join " + strings.Repeat("ab", 32),
		"is there twice":    "--name a --data-center d --advertise 127.0.0.1:1 --quorum 1 --operator x=" + strings.Repeat("ab", 32) + " --operator y=" + strings.Repeat("ab", 32),
	} {
		vault(t, append(append(good, "--insecure-software-anchor"), strings.Fields(more)...)...).wants(t, command.Misused, want)
	}
	vault(t, "join", "--config", filepath.Join(dir, "vaultd.toml")).wants(t, command.Misused, "--from or --roster")
	vault(t, "join", "--config", filepath.Join(dir, "vaultd.toml"), "--from", "127.0.0.1:1").wants(t, command.Config, "peers is empty")
	vault(t, "serve", "--config", filepath.Join(dir, "no.toml")).wants(t, command.NotFound)
	vault(t, "status", "--admin", "127.0.0.1:1").wants(t, exitUnreachable, "hint")
	// Whatever goes wrong, there is something to do.
	for _, c := range []struct {
		e    command.Exit
		args string
	}{
		{exitUnreachable, "status --admin 127.0.0.1:99999"},
		{exitUnreachable, "status --admin here"},
		{command.NotFound, "status --config nowhere/vaultd.toml"},
		{exitFile, "status --config " + dir},
		{exitFile, "bundle --inspect " + keys},
		{command.Misused, "bundle --inspect " + filepath.Join(dir, "bundle") + " --fleet 00"},
		{command.NotFound, "bundle --inspect " + filepath.Join(dir, "nothing")},
		{exitFile, "operator submit " + dir},
		{exitFile, "operator submit " + long(t)},
		{command.NotFound, "operator sign x --key nowhere"},
		{command.Misused, "operator keygen Alice"},
		{command.Misused, "replace two"},
		{command.NotFound, "init " + keys + "/x --issuer i --insecure-software-anchor --jwks " + keys},
	} {
		vault(t, strings.Fields(c.args)...).wants(t, c.e, "vaultd: hint: ")
	}
	var e struct {
		Error struct {
			Code string
			Exit int
			Hint string
		}
	}
	r := vault(t, "fly", "--json")
	r = vault(t, "status", "--json", "--admin", "127.0.0.1:1").wants(t, exitUnreachable)
	if err := json.Unmarshal([]byte(r.out), &e); err != nil || e.Error.Code != "unreachable" || e.Error.Exit != 8 || e.Error.Hint == "" {
		t.Errorf("--json of an error: %s", r.out)
	}
}

// long is a file that is longer than any change.
func long(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "long")
	if err := os.WriteFile(file, make([]byte, maxChangeFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// The configuration is strict, and what init writes says the defaults.
func TestConfig(t *testing.T) {
	dir, _ := founded(t)
	text := string(must(os.ReadFile(filepath.Join(dir, "vaultd.toml"))))
	if _, err := parseConfig([]byte(text)); err != nil {
		t.Fatal(err)
	}
	text = regexp.MustCompile(`(?m)^listen = .*`).ReplaceAllString(text, `listen = "127.0.0.1:7443"`)
	for name, change := range map[string][2]string{
		"unknown setting":      {"lock_memory", "lok_memory"},
		"bare number":          {`quantum = "20ms"`, `quantum = 20`},
		"bare number in text":  {`quantum = "20ms"`, `quantum = "20"`},
		"another anchor":       {`anchor     = "software"`, `anchor = "tpm"`},
		"unaccepted anchor":    {"insecure_software_anchor = true", "insecure_software_anchor = false"},
		"two sources of keys":  {"jwks_file", "jwks_url = \"https://x\"\njwks_file"},
		"no issuer":            {"\n[[issuer]]", "\n[[isuer]]"},
		"twice":                {"lock_memory = true", "lock_memory = true\nlock_memory = true"},
		"a number for a list":  {"relays = []", "relays = 3"},
		"not TOML at all":      {"listen", "=="},
		"no fleet id":          {"fleet = \"", "fleet = \"x"},
		"a limit out of place": {"[limits]", "[limit]"},
		"a limit out of range": {`commit = "4s"`, `commit = "-4s"`},
		"no port":              {`:7443"`, `"`},
		"no state":             {`state      = "state"`, `state      = ""`},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s: no %q in the file", name, change[0])
		}
		if _, err := parseConfig([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	got := must(parseConfig([]byte(text)))
	if got.Limits != defaults().Limits {
		t.Errorf("the file says %+v, the defaults are %+v", got.Limits, defaults().Limits)
	}
}

// Each setting is in the commented file, under its own name, with a reason above it.
func TestConfigExplainsEverySetting(t *testing.T) {
	dir, _ := founded(t)
	text := string(must(os.ReadFile(filepath.Join(dir, "vaultd.toml"))))
	for _, s := range []any{config{}, issuer{}, limits{}, chip{}, slot{}} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(s)) {
			name, ok := f.Tag.Lookup("toml")
			if !ok || name == "limits" || name == "issuer" || name == "tpm" || name == "pkcs11" || name == "jwks_url" {
				continue
			}
			if !strings.Contains(text, "\n"+name+" ") {
				t.Errorf("the file does not say %s", name)
			}
		}
	}
	if lines := strings.Count(text, "\n#"); lines < 50 {
		t.Errorf("only %d lines of comments", lines)
	}
}

// A kill at any moment loses nothing: vaultd in a process of its own starts again
// after each SIGKILL, with the same bundle, and counts on.
func TestKilledProcessStartsAgain(t *testing.T) {
	dir, made := founded(t)
	config := filepath.Join(dir, "vaultd.toml")
	admin := must(readConfig(config)).Admin
	for range 3 {
		c := exec.Command("vaultd", "serve", "--config", config) // this test's binary: TestMain
		var errs bytes.Buffer
		c.Stderr, c.Stdout = &errs, io.Discard
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan int, 1)
		go func() { c.Wait(); ended <- c.ProcessState.ExitCode() }()
		awaitReady(t, admin, ended)
		got, err := get(t.Context(), "GET", admin, "/bundle")
		if err != nil || !bytes.Equal(got, must(os.ReadFile(made.Bundle))) {
			t.Errorf("another bundle after a kill: %v", err)
		}
		if _, err := get(t.Context(), "POST", admin, "/checkpoint"); err != nil {
			t.Error(err)
		}
		text := string(must(os.ReadFile("/proc/" + strconv.Itoa(c.Process.Pid) + "/status")))
		status := must(get(t.Context(), "GET", admin, "/status"))
		if strings.Contains(text, "VmLck:\t       0 kB") != bytes.Contains(status, []byte("memory_unlocked")) {
			t.Errorf("the status does not tell whether memory is locked:\n%s\n%s", status, text)
		}
		c.Process.Kill()
		<-ended
	}
}
