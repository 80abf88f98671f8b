package account

import "io/fs"

// readableByOthers cannot tell: Windows has no modes to look at, and the
// user's configuration folder is the user's alone there.
func readableByOthers(fs.FileInfo) bool { return false }
