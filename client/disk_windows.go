package client

import (
	"path/filepath"
	"strings"
)

// sameDisk says whether two absolute paths lie on one drive.
func sameDisk(a, b string) bool {
	return strings.EqualFold(filepath.VolumeName(a), filepath.VolumeName(b))
}
