// Package anchortest is the suite that every implementation of [anchor.Anchor] runs.
package anchortest

import (
	"testing"

	"keepsake.example/anchor"
)

// Run runs the suite. open opens the anchor of the name again and again.
func Run(t *testing.T, open func(t *testing.T, name string) anchor.Anchor) {}
