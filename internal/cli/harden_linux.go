package cli

import "golang.org/x/sys/unix"

// Harden keeps the memory of this process, which holds the key, out of core
// files and out of reach of other processes of the same user (no ptrace, no
// /proc/PID/mem). Failure of either step leaves the other; there is nothing the
// person could do about it, so it is not an error.
func Harden() {
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
