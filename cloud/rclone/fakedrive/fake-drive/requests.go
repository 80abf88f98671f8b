package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"keepsake.example/cloud/rclone/fakedrive"
)

// requests is one line: kinds sorted, spaces in their names as underscores.
func requests(c fakedrive.Counters) string {
	var b strings.Builder
	fmt.Fprintf(&b, "total=%d sent=%d received=%d", c.Total(), c.Sent, c.Received)
	for _, op := range slices.Sorted(maps.Keys(c.Requests)) {
		fmt.Fprintf(&b, " %s=%d", strings.ReplaceAll(op, " ", "_"), c.Requests[op])
	}
	for _, r := range c.Foreign {
		fmt.Fprintf(&b, " foreign=%s", strings.ReplaceAll(r, " ", "_"))
	}
	return b.String()
}
