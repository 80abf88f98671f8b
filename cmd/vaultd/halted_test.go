package main

import (
	"errors"
	"fmt"
	"testing"

	"keepsake.example/anchor/pkcs11"
	"keepsake.example/vaultd"
)

// A vaultd that halted because its token lost a key is told so, and not to look for an operator's key: the
// two share an error.
func TestHaltedByItsToken(t *testing.T) {
	lost := fmt.Errorf("%w: %w", vaultd.ErrHalted, fmt.Errorf("advancing: %w", pkcs11.ErrNoKey))
	if got := explain(lost).Exit; got != exitHalted {
		t.Errorf("exit code %d", got.Code)
	}
	if got := explain(errors.Join(pkcs11.ErrNoKey)).Exit; got == exitHalted {
		t.Error("a key that an operator's URI does not name halts nothing")
	}
}
