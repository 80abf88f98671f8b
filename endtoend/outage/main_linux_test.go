package outage_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

var times = flag.Int("times", 1, "let everything fail so many times, which takes two minutes each")

// table is where the times of the outages are written.
var table = flag.String("table", "", "write how long service was away to this `FILE`")

var only = flag.String("only", "", "let nothing happen but the outages whose name this `EXPRESSION` matches")

// What a test that runs itself again in a network of its own is told.
const (
	programsVar = "KEEPSAKE_TEST_PROGRAMS"
	timesVar    = "KEEPSAKE_TEST_TIMES"
	tableVar    = "KEEPSAKE_TEST_TABLE"
	onlyVar     = "KEEPSAKE_TEST_ONLY"
)

// programs is the folder of the binaries.
var programs string

// TestMain builds what the tests run, as it is shipped: without C.
func TestMain(m *testing.M) {
	flag.Parse()
	if programs = os.Getenv(programsVar); programs != "" {
		*table, *only = os.Getenv(tableVar), os.Getenv(onlyVar)
		if n := os.Getenv(timesVar); n != "" {
			*times = must(strconv.Atoi(n))
		}
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "keepsake-outage-")
	if err != nil {
		fail(err)
	}
	programs = dir
	if err := build(".", "", dir); err != nil {
		fail(err)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fail(err)
	}
	os.Exit(code)
}

// build builds the servers of a source tree, with a build tag or "".
func build(tree, tag, into string) error {
	c := exec.Command("go", "build", "-trimpath", "-tags", tag, "-o", into+"/", "keepsake.example/cmd/vaultd", "keepsake.example/cmd/chatd")
	c.Dir = tree
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// environment is what the test is told when it runs itself again.
func environment() []string {
	return []string{programsVar + "=" + programs, tableVar + "=" + *table, timesVar + "=" + strconv.Itoa(*times), onlyVar + "=" + *only}
}

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
