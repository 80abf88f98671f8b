//go:build !unix

package audit

import (
	"io"
	"os"
)

// lock keeps nobody out where there is no flock: run one process.
func lock(dir *os.Root, name string) (io.Closer, error) {
	return dir.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
}
