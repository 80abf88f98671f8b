//go:build !linux

package durable

import (
	"errors"
	"os"
)

// setDirect fails: everything goes through the page cache.
func setDirect(*os.File, bool) error { return errors.ErrUnsupported }

func refusedDirect(error) bool { return false }
