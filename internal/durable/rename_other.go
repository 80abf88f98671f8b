//go:build !linux

package durable

import "os"

func renameNew(root *os.Root, _ *os.File, temp, name string) error {
	return linkNew(root, temp, name)
}
