package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/cloud/rclone/servertest"
	"keepsake.example/internal/mounttest"
)

const inSession = "KEEPSAKE_TEST_KEYRING_SESSION"

// The keyring of a real desktop: GNOME Keyring behind the Secret Service, in a D-Bus session of its
// own. `make test` installs both.
func TestKeyring(t *testing.T) {
	if os.Getenv(inSession) != "" {
		useKeyring(t)
		return
	}
	t.Parallel()
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon", "dbus-send"} {
		if _, err := exec.LookPath(program); err != nil {
			mounttest.Missing(t, program+" is not installed; make test installs it")
		}
	}
	home := t.TempDir()
	run := filepath.Join(home, "run")
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := `printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; exec "$0" -test.run '^TestKeyring$' -test.v`
	cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--", "sh", "-c", script, self)
	cmd.Env = append(os.Environ(), inSession+"=1", "HOME="+home, "XDG_DATA_HOME="+home, "XDG_RUNTIME_DIR="+run)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestKeyring") {
		t.Fatalf("in the session: %v\n%s", err, out)
	}
}

func useKeyring(t *testing.T) {
	s := servertest.RcloneWebDAV(t)
	w := newWorld(t)
	w.env = append(w.env, "DBUS_SESSION_BUS_ADDRESS="+os.Getenv("DBUS_SESSION_BUS_ADDRESS"), "XDG_RUNTIME_DIR="+os.Getenv("XDG_RUNTIME_DIR"))
	login := "webdav+http://" + s.Addr
	file := filepath.Join(w.home, "secret")
	write(t, file, serverSecret)
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", file), 0, "sealed by a key in the system keyring")
	for _, f := range w.files() {
		if text, err := os.ReadFile(f); err != nil || strings.Contains(string(text), serverUser) {
			t.Errorf("%v\n%s", err, text)
		}
	}
	w.check(login + "/keepsake")
	w.want(w.run("list"), 0, "keyring")

	// The desktop locks it. Nobody is there to unlock it: that is said, and nothing hangs.
	dbus(t, "org.freedesktop.Secret.Service.Lock", "array:objpath:/org/freedesktop/secrets/collection/login")
	w.want(w.run("check", login+"/keepsake"), 16, "keyring", "--store file")
	w.want(w.run("login", login, "--user", serverUser, "--secret-file", file, "--store", "file"), 0, "which only you can read.")
	w.check(login + "/keepsake")
	w.want(w.run("logout", login, "--yes"), 0)
}

func dbus(t *testing.T, method string, args ...string) {
	t.Helper()
	all := append([]string{"--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets", method}, args...)
	if out, err := exec.CommandContext(t.Context(), "dbus-send", all...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", method, err, out)
	}
}
