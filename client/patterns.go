package client

import "path"

// cleanPatterns gives patterns as they are compared with paths: ./Media is Media, as a shell
// completes it. One that is nothing but a folder itself stays as it is, and is refused.
func cleanPatterns(patterns []string) []string {
	var list []string
	for _, p := range patterns {
		clean := path.Clean(p)
		if clean == "." || clean == "/" {
			clean = "/"
		}
		list = append(list, clean)
	}
	return list
}
