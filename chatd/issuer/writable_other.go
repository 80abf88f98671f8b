//go:build !unix

package issuer

import "os"

// writable is nil when there is something at path: only writing would tell more here.
func writable(path string) error {
	_, err := os.Stat(path)
	return err
}
