//go:build cgo

package pkcs11_test

import (
	"testing"

	"keepsake.example/anchor"
	"keepsake.example/anchor/anchortest"
	"keepsake.example/anchor/pkcs11"
)

func TestConformance(t *testing.T) {
	made := map[string]pkcs11.Options{}
	anchortest.RunDevice(t, func(t *testing.T, name string) anchor.Device {
		opts, ok := made[name]
		if !ok {
			opts = token(t)
			made[name] = opts
		}
		return must(pkcs11.Open(t.Context(), opts))
	}, store.Custodian())
}
