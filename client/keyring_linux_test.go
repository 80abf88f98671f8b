package client_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keepsake.example/client"
	"keepsake.example/internal/mounttest"
)

const inSession = "KEEPSAKE_TEST_KEYRING_SESSION"

// The keyring of a real desktop: GNOME Keyring behind the Secret Service, in a D-Bus session of its own. `make test` installs both.
func TestSystemKeyring(t *testing.T) {
	if os.Getenv(inSession) != "" {
		useSystemKeyring(t)
		return
	}
	for _, program := range []string{"dbus-run-session", "gnome-keyring-daemon"} {
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
	script := `printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; exec "$0" -test.run '^TestSystemKeyring$' -test.v`
	cmd := exec.CommandContext(t.Context(), "dbus-run-session", "--", "sh", "-c", script, self)
	cmd.Env = append(os.Environ(), inSession+"=1", "HOME="+home, "XDG_DATA_HOME="+home, "XDG_RUNTIME_DIR="+run)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSystemKeyring") {
		t.Fatalf("in the session: %v\n%s", err, out)
	}
}

func useSystemKeyring(t *testing.T) {
	k := client.SystemKeyring()
	const service, user = "keepsake test", "somebody key"
	wantMissing := func(when string, err error) {
		t.Helper()
		if !errors.Is(err, client.ErrKeyMissing) {
			t.Fatalf("%s: %v, want ErrKeyMissing", when, err)
		}
	}
	_, err := k.Get(service, user)
	wantMissing("before", err)
	for _, secret := range []string{"first", "second, in its place"} {
		if err := k.Set(service, user, secret); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Get(service, user); err != nil || got != secret {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if err := k.Delete(service, user); err != nil {
		t.Fatal(err)
	}
	_, err = k.Get(service, user)
	wantMissing("after", err)
	wantMissing("deleting again", k.Delete(service, user))
}
