//go:build !windows

package cli

import "os"

// openTTY opens the terminal that controls the process, wherever standard input
// and output lead.
func openTTY() (in, out *os.File, err error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	return f, f, err
}
