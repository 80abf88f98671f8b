//go:build !linux

package backup

import "os"

// setLinkTime does nothing where the standard library has no call for it.
func setLinkTime(*os.Root, string, int64) error { return nil }
