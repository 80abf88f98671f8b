package mounttest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

const inside = "KEEPSAKE_TEST_ISOLATED"

// Mounts reports whether the test runs in a mount namespace of its own. If not, it runs
// the test there, with env besides, and reports what came of it: the caller returns. An
// ordinary user gets a user namespace around it, where tmpfs can be mounted.
func Mounts(t *testing.T, env ...string) bool {
	t.Helper()
	return isolated(t, 0, env)
}

// Networks is Mounts with a network of its own, in which the test may make bridges,
// cables and further networks; nothing but the loopback is in it, and it vanishes with
// the test.
func Networks(t *testing.T, env ...string) bool {
	t.Helper()
	if !isolated(t, syscall.CLONE_NEWNET, env) {
		return false
	}
	if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		Missing(t, "iproute2 makes no network here: "+err.Error()+": "+string(out))
	}
	return true
}

func isolated(t *testing.T, besides uintptr, env []string) bool {
	t.Helper()
	if entered(t) {
		return true
	}
	c := exec.CommandContext(t.Context(), os.Args[0], again(t)...)
	c.Env = append(append(os.Environ(), env...), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | besides, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	run(t, c)
	return false
}

// RootMounts is Mounts for what only root can mount, such as the image of a disk. An
// ordinary user needs sudo without a password, as for installing packages.
func RootMounts(t *testing.T) bool {
	t.Helper()
	if os.Getuid() == 0 {
		return Mounts(t)
	}
	if err := exec.CommandContext(t.Context(), "sudo", "-n", "true").Run(); err != nil {
		Missing(t, "only root may mount the image of a disk: run as root, or let sudo ask for no password")
	}
	run(t, exec.CommandContext(t.Context(), "sudo", append([]string{"-n", "unshare", "-m", "env", inside + "=1", os.Args[0]}, again(t)...)...))
	return false
}

func entered(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) == "" {
		return false
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatalf("keeping mounts to this test: %v", err)
	}
	return true
}

func again(t *testing.T) []string { return []string{"-test.run=^" + t.Name() + "$", "-test.v"} }

func run(t *testing.T, c *exec.Cmd) {
	t.Helper()
	out, err := c.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM):
		Missing(t, "mounting is not permitted, not even in a user namespace: run as root, or allow user namespaces")
	case err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("in a mount namespace of its own: %v\n%s", err, out)
	default:
		t.Logf("in a mount namespace of its own:\n%s", out)
	}
}
