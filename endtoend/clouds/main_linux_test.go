package clouds_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var long = flag.Bool("long", false, "more positions, and tests that wait for a minute")

// programs is the folder of the binaries.
var programs string

// TestMain builds what the tests run, as it is shipped: without C.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "6") // they wait more than they compute
	if programs = os.Getenv("KEEPSAKE_TEST_PROGRAMS"); programs != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "keepsake-clouds-")
	if err != nil {
		fail(err)
	}
	programs = dir
	build("../..", "./cmd/keepsake")
	build("../../cloud/rclone", "./cmd/keepsake-cloud", "./servers/rclone", "./fakedrive/fake-drive")
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fail(err)
	}
	os.Exit(code)
}

// build builds commands of a module.
func build(module string, commands ...string) {
	c := exec.Command("go", append([]string{"build", "-trimpath", "-o", programs + "/"}, commands...)...)
	c.Dir = module
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		fail(fmt.Errorf("building %v: %w\n%s", commands, err, out))
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func program(name string) string { return filepath.Join(programs, name) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
