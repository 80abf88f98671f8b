package client

import "io/fs"

// readableByOthers cannot tell: Windows has no modes to look at.
func readableByOthers(fs.FileInfo) bool { return false }
