//go:build !unix

package durable

import "os"

// syncDir does nothing: Windows has no call to flush a folder opened for
// reading, and NTFS journals the names.
func syncDir(*os.File) error { return nil }
