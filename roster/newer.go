package roster

import "strings"

// family is how the title of a change begins in every version.
const family = "keepsake fleet change v"

// Newer reports, by the first bytes, whether a signed change has a form that this
// program does not know, because a newer one introduced it. What it says then nobody
// here may decide: a member that refused what others accept would be another group.
func Newer(signed []byte) bool {
	if len(signed) == 0 {
		return false
	}
	if signed[0] != signedVersion[0] {
		return true
	}
	text := string(signed[min(3, len(signed)):min(3+len(title)+1, len(signed))])
	return strings.HasPrefix(text, family) && !strings.HasPrefix(text, title+"\n") && !strings.HasPrefix(title+"\n", text)
}
