// Package mounttest runs a test in a mount namespace of its own, where it may mount
// disks that are small, full, read-only or gone, and where mounts vanish with it even
// if it is killed. It is for tests only.
//
// It is also the only place where a test is skipped: `make test` sets the variable
// [Everything], and then what cannot run fails and says what it needs.
package mounttest

import (
	"os"
	"testing"
)

// Everything is the environment variable that turns what would be skipped into a failure.
const Everything = "KEEPSAKE_TEST_EVERYTHING"

// Missing ends a test that cannot run: as a failure under `make test`, else skipped.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(Everything) != "" {
		t.Fatalf("cannot run here, and make test runs everything: %s", what)
	}
	t.Skip(what)
}
