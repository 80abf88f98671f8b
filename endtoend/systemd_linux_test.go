package endtoend_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepsake.example/internal/mounttest"
)

// A real systemd user manager takes the units that keepsake installs, and runs a missed backup within what
// they allow it; the next start finds nothing to do.
func TestSystemdRunsTheSchedule(t *testing.T) {
	if !mounttest.Mounts(t, programsVar+"="+programs) {
		return
	}
	m := startManager(t)
	m.write("chats/a.txt", "hello")
	m.run("keepsake", "enable", "chats", "--cloud", "cloud", "--key-out", "a.key", "--key-store", "file")
	m.run("keepsake", "backup", "--schedule", "03:30", "--on-battery") // a laptop that runs the tests may be on its own
	m.missed(".config/keepsake/default/schedule.json")
	m.run("keepsake", "schedule", "systemd", "--install", "--yes")
	if got := m.run("systemctl", "--user", "list-timers", "--all"); !strings.Contains(got, "keepsake.timer") || !strings.Contains(got, " left") {
		t.Errorf("no timer runs:\n%s", got)
	}
	for range 2 {
		m.run("systemctl", "--user", "start", "keepsake.service")
		got := m.run("systemctl", "--user", "show", "keepsake.service", "-p", "Result,ExecMainStatus,NoNewPrivileges,MemoryDenyWriteExecute")
		if !sameLines(got, "ExecMainStatus=0", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes", "Result=success") {
			t.Fatalf("the service: %s", got)
		}
	}
	var status struct {
		Snapshots int `json:"snapshots"`
		Schedule  struct{ Timer, Runner string }
	}
	check(t, json.Unmarshal([]byte(m.run("keepsake", "status", "--json")), &status))
	if status.Snapshots != 1 || status.Schedule.Timer != "systemd timer keepsake.timer" {
		t.Errorf("status: %+v", status)
	}
	m.run("keepsake", "schedule", "systemd", "--uninstall", "--yes")
	if got := m.run("systemctl", "--user", "list-timers", "--all"); strings.Contains(got, "keepsake") {
		t.Errorf("after --uninstall:\n%s", got)
	}
}

func sameLines(text string, want ...string) bool {
	return slices.Equal(slices.Sorted(slices.Values(strings.Fields(text))), slices.Sorted(slices.Values(want)))
}

// manager is a user with a systemd of her own.
type manager struct {
	t    *testing.T
	home string
	env  []string
}

func startManager(t *testing.T) *manager {
	t.Helper()
	const run = "/run/user/0"
	m := &manager{t: t, home: t.TempDir()}
	m.env = []string{"HOME=" + m.home, "XDG_RUNTIME_DIR=" + run, "PATH=" + programs + ":" + os.Getenv("PATH"), "TZ=UTC"}
	check(t, syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	// What sd_booted(3) looks for: without it systemd takes itself for a guest in a container without one.
	check(t, os.MkdirAll("/run/systemd/system", 0o755))
	check(t, os.MkdirAll(run, 0o700))
	m.start("dbus-daemon", "--session", "--nofork", "--nopidfile", "--address=unix:path="+run+"/bus")
	m.start("/usr/lib/systemd/systemd", "--user")
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		out, err := m.command("systemctl", "--user", "list-timers").CombinedOutput()
		if err == nil {
			return m
		}
		if time.Now().After(deadline) {
			mounttest.Missing(t, "no systemd user manager starts here: "+string(out))
		}
	}
}

func (m *manager) command(name string, args ...string) *exec.Cmd {
	path := name
	if !filepath.IsAbs(name) {
		path = "/usr/bin/" + name
	}
	if name == "keepsake" {
		path = program(name)
	}
	c := exec.CommandContext(m.t.Context(), path, args...)
	c.Env, c.Dir = m.env, m.home
	return c
}

func (m *manager) start(name string, args ...string) {
	m.t.Helper()
	c := m.command(name, args...)
	if err := c.Start(); err != nil {
		mounttest.Missing(m.t, "systemd and dbus-daemon are needed: "+err.Error())
	}
	m.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
}

func (m *manager) run(name string, args ...string) string {
	m.t.Helper()
	c := m.command(name, args...)
	var errs strings.Builder
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, errs.String())
	}
	return string(out)
}

func (m *manager) write(name, text string) {
	m.t.Helper()
	check(m.t, os.MkdirAll(filepath.Dir(filepath.Join(m.home, name)), 0o700))
	check(m.t, os.WriteFile(filepath.Join(m.home, name), []byte(text), 0o600))
}

// missed makes a schedule look chosen four days ago.
func (m *manager) missed(name string) {
	m.t.Helper()
	var s map[string]any
	check(m.t, json.Unmarshal(must(os.ReadFile(filepath.Join(m.home, name))), &s))
	s["chosen"] = time.Now().Add(-4 * 24 * time.Hour).UTC().Format(time.RFC3339)
	m.write(name, string(must(json.Marshal(s))))
}
