// Keepsake-cloud speaks to clouds for keepsake, which starts it: the SDKs of
// a dozen clouds are not in the process that holds the key.
package main

import (
	"fmt"
	"os"

	"keepsake.example/cloud/rclone"
)

func main() {
	if _, err := rclone.FromRemote("", ""); err != nil {
		fmt.Fprintln(os.Stderr, "keepsake-cloud: error:", err)
		os.Exit(1)
	}
}
