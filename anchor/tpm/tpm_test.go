package tpm_test

import (
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
)

func TestConformance(t *testing.T) {
	boxes := map[string]*box{}
	anchortest.RunDevice(t, func(_ *testing.T, name string) anchor.Device {
		if boxes[name] == nil {
			boxes[name] = prepared(t)
		}
		return boxes[name].open()
	}, custodian)
}
