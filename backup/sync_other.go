//go:build !linux

package backup

import "os"

func syncAll(root *os.Root, batch []*part) error { return syncEach(root, batch) }
