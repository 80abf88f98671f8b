//go:build cgo

package pkcs11_test

import "os"

const childVariable = "KEEPSAKE_PKCS11_CHILD"

func child() { os.Exit(0) }
