package sim_test

import (
	"os"
	"runtime/debug"
	"testing"
)

// A run's memory is small and soon of no use: collecting it seldom saves a sixth of the
// processor's time.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
