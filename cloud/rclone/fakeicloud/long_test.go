//go:build long

package fakeicloud_test

import (
	"fmt"
	"testing"

	"keepsake.example/cloud"
	"keepsake.example/cloud/cloudtest"
)

// The whole suite, on listings that are prompt: `make long`. TestConformanceLate has most of it.
func TestConformance(t *testing.T) {
	s := start(t)
	a := anAccount(t, s)
	n := 0
	cloudtest.Run(t, func(t *testing.T) cloud.Store {
		n++
		return openStore(t, s, a, fmt.Sprintf("Keepsake/check-%d", n), true)
	})
}
