package roster

import "strings"

// family is how the title of a change begins in every version.
const family = "keepsake fleet change v"

// Version returns the version of the program that introduced the form of a signed
// change, by its first bytes; 0 for one that this program does not know, because a
// newer one introduced it. What such a change says nobody here may decide: a member
// that refused what others accept would be another group. What is no change in any
// form is of version 1, which refuses it.
func Version(signed []byte) uint32 {
	if len(signed) == 0 {
		return 1
	}
	if signed[0] != signedVersion[0] {
		return 0
	}
	text := string(signed[min(3, len(signed)):min(3+len(title)+1, len(signed))])
	switch {
	case !strings.HasPrefix(text, family) || agree(text, title+"\n"):
		return 1
	case agree(text, titleDevice+"\n"):
		return 2
	}
	return 0
}

// agree reports whether a text begins with a line, or is a beginning of it.
func agree(text, line string) bool {
	return strings.HasPrefix(text, line) || strings.HasPrefix(line, text)
}
