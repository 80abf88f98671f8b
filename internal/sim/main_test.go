package sim_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"testing"
)

// A run's memory is small and soon of no use: collecting it seldom saves a quarter of the
// processor's time. So does not asking who took it, a little.
func TestMain(m *testing.M) {
	debug.SetGCPercent(1600)
	runtime.MemProfileRate = 0
	os.Exit(m.Run())
}
