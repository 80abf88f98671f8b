package cloud

import (
	"fmt"
	"slices"
	"strings"
)

// Marker is a name no object may have: adapters that need to recognise their
// own folder put a file of this name into it.
const Marker = "keepsake-cloud"

// MaxName is the length of the longest name, in bytes. A hundred and
// twenty-eight leave room under the 143 bytes that eCryptfs, the narrowest
// file system in use, keeps for a name.
const MaxName = 128

var folders = []string{"ring", "head", "snap", "index", "data", "meta", "lock", "retired"}

// Folders lists the folders an object can lie in (spec/backup-format.md).
func Folders() []string { return slices.Clone(folders) }

// CheckName says what is wrong with the name of an object, nil if nothing is.
//
//	name   = [ folder "/" ] leaf        ; at most 128 bytes
//	folder = one of Folders
//	leaf   = 1*( %x61-7A / DIGIT / "-" ) ; a-z 0-9 -
//
// A leaf without a folder must be neither a folder nor Marker. Lower case
// alone, so that a cloud that ignores case cannot confuse two names; no dot,
// so that no name climbs out of its folder or hides in it.
func CheckName(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("cloud: name of %d bytes is longer than %d", len(name), MaxName)
	}
	folder, leaf, inFolder := strings.Cut(name, "/")
	if !inFolder {
		leaf = name
	}
	switch {
	case !isLeaf(leaf):
		return fmt.Errorf("cloud: name %q is not made of a-z, 0-9 and -", name)
	case inFolder && !slices.Contains(folders, folder):
		return fmt.Errorf("cloud: name %q lies in no known folder", name)
	case !inFolder && (leaf == Marker || slices.Contains(folders, leaf)):
		return fmt.Errorf("cloud: name %q is taken by the store itself", name)
	}
	return nil
}

func isLeaf(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != ""
}
