package endtoend_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs is the folder of the binaries.
var programs string

// programsVar tells a test that runs itself again where they are.
const programsVar = "KEEPSAKE_TEST_PROGRAMS"

// TestMain builds what the tests run, as it is shipped: without C.
func TestMain(m *testing.M) {
	if programs = os.Getenv(programsVar); programs != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "keepsake-endtoend-")
	if err != nil {
		fail(err)
	}
	programs = dir
	build := exec.Command("go", "build", "-o", dir+"/", "keepsake.example/cmd/keepsake", "keepsake.example/cmd/vaultd", "keepsake.example/cmd/chatd", "keepsake.example/cmd/devnet")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fail(fmt.Errorf("building the programs: %w\n%s", err, out))
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fail(err)
	}
	os.Exit(code)
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
